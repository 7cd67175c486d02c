//! What sends spans to a collector: where to, and by which way, comes from the configuration alone.

use std::error::Error;
use std::thread;
use std::time::Duration;

use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};

/// For one batch of spans.
pub(super) const EXPORT: Duration = Duration::from_secs(5);

/// What the exporter would send beside the spans. Its other variables are overridden by what is said here, but for
/// compression, which it does not have, and the sizes of batches and spans (`OTEL_BSP_*`, `OTEL_SPAN_*`).
const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
];

/// An exporter to this URL.
pub(super) fn to(endpoint: &str) -> Result<SpanExporter, String> {
    if let Some(name) = HEADERS.iter().find(|name| is_set(name)) {
        return Err(format!(
            "the environment has {name}, which would go to the collector; unset it: nothing of the configuration \
             is taken from the environment, where every child and every dump of a process can see it"
        ));
    }
    // The exporter's client asks for one, also for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(EXPORT)
        .with_http_client(client()?)
        .build()
        .map_err(|error| format!("traces cannot be sent: {error}"))
}

/// The exporter's client: it takes no proxy from the environment and follows nobody to another place.
fn client() -> Result<reqwest::blocking::Client, String> {
    // It brings a runtime of its own, which cannot be begun within another.
    let made = thread::Builder::new().spawn(|| {
        reqwest::blocking::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(EXPORT)
            .build()
    });
    let cannot = |error: &dyn Error| format!("traces cannot be sent: {error}");
    match made.map_err(|error| cannot(&error))?.join() {
        Ok(client) => client.map_err(|error| cannot(&error)),
        Err(_) => Err(
            "traces cannot be sent: making a client panicked; the panic is in the log".to_owned(),
        ),
    }
}

fn is_set(name: &str) -> bool {
    std::env::vars_os().any(|(known, _)| known == name)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_collector_cannot_send_traces_elsewhere() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let collector = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("http://{}/", collector.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
            elsewhere.local_addr().unwrap()
        );
        let answering = thread::spawn(move || {
            let (mut peer, _) = collector.accept().unwrap();
            let _read = peer.read(&mut [0; 4096]).unwrap();
            peer.write_all(answer.as_bytes()).unwrap();
        });
        let client = client().unwrap();
        let sent = tokio::task::spawn_blocking(move || client.post(to).send());
        let status = sent.await.unwrap().map(|answer| answer.status().as_u16());
        assert_eq!(status.unwrap(), 307);
        assert!(elsewhere.accept().is_err(), "nobody comes");
        answering.join().unwrap();
    }
}
