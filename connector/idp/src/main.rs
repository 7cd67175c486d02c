//! The small IdP as a program of its own, for whoever tries a connector.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use dcr_idp::{Options, random_secret, serve, write_secret};
use tokio::net::TcpListener;

const TOKEN_LIFETIME: Duration = Duration::from_mins(5);

/// A small identity provider. Its clients are in memory and end with it.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Arguments {
    /// Where to serve; a loopback address, since it is plain HTTP. Port 0 is any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = loopback)]
    listen: SocketAddr,
    /// The client id of the admin: the connector's own credential.
    #[arg(long, value_name = "ID", default_value = "dcr-connector")]
    client_id: String,
    /// A file that does not exist yet, for the admin's secret.
    #[arg(long, value_name = "FILE")]
    client_secret_file: PathBuf,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let Arguments {
        listen,
        client_id,
        client_secret_file: file,
    } = Arguments::parse();
    let listener = TcpListener::bind(listen).await?;
    let secret = random_secret()?;
    write_secret(&file, &secret).map_err(|e| {
        let sentence = format!(
            "--client-secret-file {} cannot be written: {e}",
            file.display()
        );
        io::Error::new(e.kind(), sentence)
    })?;
    writeln!(
        io::stdout(),
        "base_url: http://{}\nclient_id: {client_id}\nclient_secret_file: {}",
        listener.local_addr()?,
        file.display()
    )?;
    let options = Options {
        admin_id: client_id,
        admin_secret: secret,
        token_lifetime: TOKEN_LIFETIME,
        clients: BTreeMap::new(),
    };
    serve(listener, options, std::future::pending()).await
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "must be an IP address and a port".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("must be a loopback address: this is plain HTTP, for trying things".to_owned())
    }
}
