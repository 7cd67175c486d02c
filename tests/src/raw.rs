//! HTTP/1.1 by hand, for what no client library would send.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::{Answer, PATIENCE};

/// One connection.
#[derive(Debug)]
pub struct Raw(TcpStream);

impl Raw {
    /// Connects to `HOST:PORT`, or to that of a URL.
    pub async fn connect(to: &str) -> Self {
        let authority = to.split_once("://").map_or(to, |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        match TcpStream::connect(authority).await {
            Ok(stream) => Self(stream),
            Err(e) => panic!("cannot connect to {authority}: {e}"),
        }
    }

    /// Connects from another address of this machine, as another peer.
    ///
    /// # Errors
    /// When the other side has no room for it.
    pub async fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        socket.connect(to).await.map(Self)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the other side has hung up.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Reads one answer, by its `Content-Length` or to the end of the connection.
    ///
    /// # Errors
    /// A sentence, when there was no whole answer in time.
    pub async fn answer(&mut self) -> Result<Answer, String> {
        let mut read = Vec::new();
        let whole = async {
            loop {
                if let Some(answer) = parse(&read, false) {
                    return Ok(answer);
                }
                match self.0.read_buf(&mut read).await {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(e) => return Err(e.to_string()),
                }
            }
            parse(&read, true).ok_or_else(|| format!("hung up after {} bytes", read.len()))
        };
        match tokio::time::timeout(PATIENCE, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no whole answer within {PATIENCE:?}")),
        }
    }

    /// Waits until the other side hangs up, without an answer.
    ///
    /// # Errors
    /// A sentence, when it says something or stays.
    pub async fn hung_up(&mut self) -> Result<(), String> {
        let mut read = Vec::new();
        match tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut read)).await {
            Ok(Ok(0) | Err(_)) => Ok(()),
            Ok(Ok(_)) => Err(String::from_utf8_lossy(&read).into_owned()),
            Err(_) => Err(format!("still connected after {PATIENCE:?}")),
        }
    }
}

/// Sends the bytes of one request on a connection of its own and reads the answer.
///
/// # Errors
/// A sentence, when there was no whole answer in time.
pub async fn exchange(to: &str, request: &[u8]) -> Result<Answer, String> {
    let mut connection = Raw::connect(to).await;
    connection.write(request).await.map_err(|e| e.to_string())?;
    connection.answer().await
}

/// An answer, once all of it is there.
#[must_use]
pub fn parse(read: &[u8], closed: bool) -> Option<Answer> {
    let end = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = read.split_at_checked(end + 4)?;
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(status.as_bytes()).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    let length: Option<usize> = headers
        .get("content-length")
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let body = match length {
        Some(length) => body.get(..length)?,
        None if status == StatusCode::NO_CONTENT => &[],
        None if closed => body,
        None => return None,
    };
    Some(Answer {
        status,
        headers,
        body: Bytes::copy_from_slice(body),
    })
}
