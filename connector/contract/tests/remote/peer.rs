//! A peer that speaks HTTP/2 frame by frame, so that it can do what no server would.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// RFC 9113 section 7.
pub(crate) const CANCEL: u32 = 0x8;
pub(crate) const REFUSED_STREAM: u32 = 0x7;
pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What the peer does when a whole request has come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// Answers a `DeleteClient` with DELETED.
    Answer,
    /// Ends the call with UNAVAILABLE, as a proxy does, and nothing else.
    ProxyStatus,
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code, which says that this stream was not begun.
    GoAwayBelow(u32),
    /// GOAWAY that counts this stream as begun, and then the end of the connection.
    GoAwayAboveThenClose,
    /// The end of the connection.
    Close,
    /// Nothing, for ever.
    Silence,
}

/// A listening peer. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    requests: Vec<Vec<u8>>,
    script: VecDeque<Act>,
}

impl Seen {
    /// The last act of the script is for ever.
    fn next(&mut self) -> Act {
        match self.script.len() {
            0 => Act::Silence,
            1 => self.script[0],
            _ => self.script.pop_front().unwrap(),
        }
    }
}

impl Peer {
    /// A peer that acts so on its first requests, and in the last way on all others.
    pub(crate) async fn new(script: &[Act]) -> Self {
        Self::with_streams(script, 100).await
    }

    /// The same, with a limit of concurrent streams on each connection.
    pub(crate) async fn with_streams(script: &[Act], streams: u32) -> Self {
        let mut connections = JoinSet::new();
        let peer = Self::meeting(move |stream, seen| {
            seen.lock().unwrap().connections += 1;
            let connection = connection(stream, streams, Arc::clone(seen));
            connections.spawn(async move {
                let _ended = connection.await;
            });
        });
        let peer = peer.await;
        peer.act(script);
        peer
    }

    /// A peer that ends every connection as soon as it is made.
    pub(crate) async fn hanging_up() -> Self {
        Self::meeting(|stream, seen| {
            drop(stream);
            seen.lock().unwrap().connections += 1;
        })
        .await
    }

    /// A peer that meets every connection so.
    async fn meeting(mut meet: impl FnMut(TcpStream, &Arc<Mutex<Seen>>) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let all = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                meet(stream, &all);
            }
        });
        Self {
            address,
            seen,
            _tasks: tasks,
        }
    }

    /// From now on it acts so.
    pub(crate) fn act(&self, script: &[Act]) {
        self.seen.lock().unwrap().script = script.iter().copied().collect();
    }

    /// How many requests came whole.
    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }

    /// Whether a request came twice.
    pub(crate) fn saw_one_twice(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        let different: BTreeSet<_> = seen.requests.iter().collect();
        different.len() < seen.requests.len()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

async fn connection(mut stream: TcpStream, streams: u32, seen: Arc<Mutex<Seen>>) -> Option<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.ok()?;
    // SETTINGS_MAX_CONCURRENT_STREAMS.
    let mut limit = vec![0, 3];
    limit.extend(streams.to_be_bytes());
    write(&mut stream, 4, 0, 0, &limit).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        let id = u32::from_be_bytes(id);
        if kind == 4 && flags & 1 == 0 {
            write(&mut stream, 4, 1, 0, &[]).await?;
        }
        // PING: who does not answer is taken for dead.
        if kind == 6 && flags & 1 == 0 {
            write(&mut stream, 6, 1, 0, &payload).await?;
        }
        // A request has come when DATA has that says more than its end: hyper sends that in a frame of its own.
        if kind != 0 || payload.is_empty() {
            continue;
        }
        let act = {
            let mut seen = seen.lock().unwrap();
            seen.requests.push(payload);
            seen.next()
        };
        perform(&mut stream, id, act).await?;
    }
}

async fn perform(stream: &mut TcpStream, id: u32, act: Act) -> Option<()> {
    const GRPC: &[u8] = b"\x5f\x10application/grpc";
    let go_away = |last: u32, code: u32| [last.to_be_bytes(), code.to_be_bytes()].concat();
    match act {
        Act::Answer => {
            // `:status: 200` is entry 8 of HPACK's static table, `content-type` 31.
            write(stream, 1, 4, id, &[b"\x88", GRPC].concat()).await?;
            write(stream, 0, 0, id, b"\0\0\0\0\x02\x08\x01").await?;
            write(stream, 1, 5, id, b"\0\x0bgrpc-status\x010").await
        }
        Act::ProxyStatus => {
            let trailers = [b"\x88", GRPC, b"\0\x0bgrpc-status\x0214"].concat();
            write(stream, 1, 5, id, &trailers).await
        }
        Act::Reset(code) => write(stream, 3, 0, id, &code.to_be_bytes()).await,
        Act::GoAwayBelow(code) => {
            write(stream, 7, 0, 0, &go_away(id.saturating_sub(2), code)).await
        }
        Act::GoAwayAboveThenClose => {
            write(stream, 7, 0, 0, &go_away(id, NO_ERROR)).await?;
            None
        }
        Act::Close => None,
        Act::Silence => Some(()),
    }
}

async fn write(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) -> Option<()> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).await.ok()
}
