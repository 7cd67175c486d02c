//! What hyper does not tell: whether a request told its length in two ways.
//!
//! Of `Transfer-Encoding` and `Content-Length` together hyper believes the first, takes the second out of the head and
//! closes the connection afterwards, as RFC 9112 section 6.3 allows. We refuse it, and so must know. The bytes that are
//! read are searched for lines of that name; when there were more than hyper has shown us, one is hidden.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::Request;
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const LINE: &[u8] = b"\ncontent-length:";

/// What has been read from one connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    /// How much of [`LINE`] the last bytes were.
    matched: AtomicU8,
    /// Lines that were read.
    lines: AtomicUsize,
    /// Lines that hyper has shown.
    shown: AtomicUsize,
}

// One task reads a connection and serves its HTTP/1 requests: nothing here is ordered by the atomics.
impl Framing {
    fn read(&self, bytes: &[u8]) {
        let mut matched = usize::from(self.matched.load(Ordering::Relaxed));
        for byte in bytes {
            matched = match LINE.get(matched) {
                Some(expected) if byte.eq_ignore_ascii_case(expected) => matched + 1,
                _ => usize::from(*byte == b'\n'),
            };
            if matched == LINE.len() {
                self.lines.fetch_add(1, Ordering::Relaxed);
                matched = 0;
            }
        }
        let matched = u8::try_from(matched).unwrap_or_default();
        self.matched.store(matched, Ordering::Relaxed);
    }

    /// Whether the length of a request that has just been read was told in two ways; to be asked once for each.
    pub(crate) fn is_ambiguous<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        let shown = usize::from(headers.contains_key(CONTENT_LENGTH));
        let shown = self.shown.fetch_add(shown, Ordering::Relaxed) + shown;
        headers.contains_key(TRANSFER_ENCODING) && self.lines.load(Ordering::Relaxed) > shown
    }
}

/// A connection whose bytes are looked at as they are read, if it can be one of HTTP/1.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    framing: Option<Arc<Framing>>,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, framing: Option<Arc<Framing>>) -> Self {
        Self { stream, framing }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(framing) = &self.framing {
            framing.read(buf.filled().get(before..).unwrap_or_default());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str]) -> usize {
        let framing = Framing::default();
        for chunk in chunks {
            framing.read(chunk.as_bytes());
        }
        framing.lines.load(Ordering::Relaxed)
    }

    #[test]
    fn a_line_is_found_in_any_case_and_however_it_arrives() {
        for (chunks, found) in [
            (&["POST / HTTP/1.1\r\nContent-Length: 1\r\n"][..], 1),
            (&["x\nCONTENT-LENGTH:1\ncontent-length:1"], 2),
            (&["x\r\ncont", "ent-le", "ngth", ": 1"], 1),
            (&["\n\ncontent-length:"], 1),
            (&["\r\ncontent-\ncontent-length:"], 1),
            (&["\r\nx-content-length: 1\r\ncontent-lengthy: 1"], 0),
            (&[r#"{"a":"content-length: 1"}"#], 0),
        ] {
            assert_eq!(lines(chunks), found, "{chunks:?}");
        }
    }
}
