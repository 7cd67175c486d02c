//! "Record and redact": the shape of what Konnect sends to a provider, for questions about Konnect that only a real one
//! answers. Off unless a provider's file names a directory.
//!
//! Written by one thread, off the way of a call; what it cannot keep up with is left out. At most two files of 4 MiB
//! each for a provider.

mod redact;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, mpsc};
use std::thread;

use bytes::Bytes;
use http::request;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::metrics::ProviderLabel;
use crate::path::Operation;

/// Requests that wait to be written; more are left out.
const QUEUE: usize = 64;
/// When a file is full, it takes the place of the one that was full before it.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Headers whose values tell nothing of anybody.
const HARMLESS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "transfer-encoding",
    "user-agent",
];

/// One request, as it came.
struct Request {
    file: PathBuf,
    time: Timestamp,
    method: http::Method,
    route: &'static str,
    has_query: bool,
    version: http::Version,
    headers: http::HeaderMap,
    body: Bytes,
}

/// What is kept of a request.
#[derive(Serialize)]
struct Kept {
    time: Timestamp,
    method: String,
    route: &'static str,
    has_query: bool,
    http_version: String,
    headers: Vec<(String, String)>,
    body: Value,
}

/// The writer, which starts with the first request that is to be kept. `None`: the system has no thread to give.
static WRITER: LazyLock<Option<mpsc::SyncSender<Request>>> = LazyLock::new(|| {
    let (sender, requests) = mpsc::sync_channel(QUEUE);
    let writer = thread::Builder::new().name("capture".to_owned());
    let started = writer.spawn(move || write(&requests));
    started.ok().map(|_| sender)
});

/// Keeps the shape of a request in a directory.
pub(crate) fn keep(
    directory: &Path,
    provider: &ProviderLabel,
    head: &request::Parts,
    operation: Operation,
    body: &Bytes,
) {
    let Some(writer) = &*WRITER else { return };
    // A full queue, or a writer that has ended: the call matters more.
    let _ = writer.try_send(Request {
        file: directory.join(format!("{}.jsonl", provider.as_str())),
        time: Timestamp::now(),
        method: head.method.clone(),
        route: operation.route(),
        has_query: head.uri.query().is_some(),
        version: head.version,
        headers: head.headers.clone(),
        body: body.clone(),
    });
}

fn write(requests: &mpsc::Receiver<Request>) {
    let mut failed: HashMap<PathBuf, io::ErrorKind> = HashMap::new();
    for request in requests {
        let file = &request.file;
        match append(file, &kept(&request)) {
            Ok(()) => drop(failed.remove(file)),
            // Told once, not for each call.
            Err(error) => {
                if failed.insert(file.clone(), error.kind()) != Some(error.kind()) {
                    tracing::error!(file = %file.display(), %error, "requests are not recorded: let `record` in the provider's file name a directory that is there and that the gateway may write to");
                }
            }
        }
    }
}

fn kept(request: &Request) -> Kept {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let known = HARMLESS.contains(&name.as_str());
        let value = match value.to_str() {
            Ok(text) if known && text.len() <= 200 => text.to_owned(),
            Ok(text) => redact::class(text),
            Err(_) => "<no text>".to_owned(),
        };
        // A name may be a value as well.
        let legal = |b: u8| b.is_ascii_lowercase() || b == b'-';
        let name = name.as_str();
        let plain = name.len() <= 40 && name.bytes().all(legal);
        let name = if plain { name } else { "<header>" };
        (name.to_owned(), value)
    };
    Kept {
        time: request.time,
        method: request.method.to_string(),
        route: request.route,
        has_query: request.has_query,
        http_version: format!("{:?}", request.version),
        headers: request.headers.iter().map(header).collect(),
        body: redact::body(&request.body),
    }
}

fn append(path: &Path, kept: &Kept) -> io::Result<()> {
    let mut line = serde_json::to_vec(kept)?;
    line.push(b'\n');
    let mut file = open(path)?;
    if file.metadata()?.len() + line.len() as u64 > LARGEST {
        fs::rename(path, path.with_extension("old.jsonl"))?;
        file = open(path)?;
    }
    file.write_all(&line)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}
