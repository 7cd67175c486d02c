//! A way to a server that is cut on the third HTTP/2 ping (RFC 9113 section 6.7).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PREFACE: usize = 24;
const HEADER: usize = 9;
const PING: u8 = 6;
const ACK: u8 = 1;
const TOLERATED: usize = 2;

/// Leads from a new address to this one.
pub(crate) async fn cut_on_pings(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, to));
        }
    });
    address
}

/// Both streams are dropped at the end: the connection is cut.
async fn pass(client: TcpStream, to: SocketAddr) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut preface = [0; PREFACE];
        from_client.read_exact(&mut preface).await?;
        to_server.write_all(&preface).await?;
        let mut pings = 0;
        loop {
            let mut frame = vec![0; HEADER];
            from_client.read_exact(&mut frame).await?;
            let length =
                usize::from(frame[0]) << 16 | usize::from(frame[1]) << 8 | usize::from(frame[2]);
            if frame[3] == PING && frame[4] & ACK == 0 {
                pings += 1;
            }
            if pings > TOLERATED {
                return std::io::Result::Ok(());
            }
            frame.resize(HEADER + length, 0);
            from_client.read_exact(&mut frame[HEADER..]).await?;
            to_server.write_all(&frame).await?;
        }
    };
    let answers = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::select! {
        _ = requests => {}
        _ = answers => {}
    }
}
