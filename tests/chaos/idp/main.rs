//! The scripted IdP of the chaos suite: the admin API and the token endpoint that the memory connector speaks to, written
//! without it. It misbehaves by a seed, and its table outlives its process.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a scripted IdP that fails fails the suite"
)]

mod answers;
mod journal;
mod mishaps;
mod requests;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::answers::Idp;

/// Serves until it is killed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The table: read at the start, and written from then on.
    #[arg(long)]
    journal: PathBuf,
    /// The credentials of the admin API, one a line: id and secret.
    #[arg(long)]
    credentials: PathBuf,
    /// What the mishaps are drawn from.
    #[arg(long)]
    seed: u64,
    /// How many in a hundred requests go wrong.
    #[arg(long)]
    mishaps: u32,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let idp = Idp::open(
        &arguments.journal,
        arguments.credentials,
        arguments.seed,
        arguments.mishaps,
    )?;
    let idp = Arc::new(idp);
    let listener = TcpListener::bind(arguments.listen).await?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let idp = Arc::clone(&idp);
        let service = service_fn(move |request| Arc::clone(&idp).answer(request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}
