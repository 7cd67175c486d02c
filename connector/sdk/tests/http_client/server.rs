//! A scripted HTTP/1.1 server on loopback. It records what it was asked; what its script does not expect, and what
//! is no proper request, fails the test that started it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::common::soon;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method and target, undecoded.
    pub(crate) line: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The how-manieth of this line, from 1.
    pub(crate) nth: usize,
    /// The how-manieth connection it came on, from 1.
    pub(crate) connection: usize,
}

impl Asked {
    /// The names of all headers, sorted.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} came twice");
        value
    }

    /// The access token.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The form's pairs, in order.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        let form = "application/x-www-form-urlencoded";
        assert_eq!(self.header("content-type"), Some(form));
        url::form_urlencoded::parse(self.body.as_bytes())
            .into_owned()
            .collect()
    }
}

/// What the server does next.
pub(crate) enum Reply {
    /// Writes this and reads the next request.
    Answer(Vec<u8>),
    /// Writes this and ends the connection.
    Cut(Vec<u8>),
    /// Writes this, waits at the gate and ends the connection.
    CutLater(Vec<u8>, Gate),
    /// Waits at the gate first.
    Held(Gate, Box<Reply>),
    /// Fails the test.
    Unexpected,
}

/// Holds requests until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    waiting: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// The reply, once the gate is open.
    pub(crate) fn hold(&self, reply: Reply) -> Reply {
        Reply::Held(self.clone(), Box::new(reply))
    }

    /// Returns when so many requests have come to it.
    pub(crate) async fn reached_by(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        let reached = waiting.wait_for(|waiting| *waiting >= count);
        soon("requests at the gate", reached).await.unwrap();
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

type Script = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;

struct State {
    address: SocketAddr,
    script: Script,
    asked: Mutex<Vec<Asked>>,
    wrong: Mutex<Vec<String>>,
    /// What still came on connections that were cut.
    late: Mutex<String>,
    connections: watch::Sender<usize>,
    ended: watch::Sender<usize>,
}

/// The running server; its tasks end with it.
pub(crate) struct Server {
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            address: listener.local_addr().unwrap(),
            script: Box::new(script),
            asked: Mutex::default(),
            wrong: Mutex::default(),
            late: Mutex::default(),
            connections: watch::Sender::default(),
            ended: watch::Sender::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self {
            state,
            _tasks: tasks,
        }
    }

    /// A server that nobody is to ask anything.
    pub(crate) async fn start_unasked() -> Self {
        Self::start(|_| Reply::Unexpected).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.state.address)
    }

    /// All requests with this line.
    pub(crate) fn asked(&self, line: &str) -> Vec<Asked> {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|a| a.line == line).cloned().collect()
    }

    /// The lines of all requests, in the order in which they came.
    pub(crate) fn lines(&self) -> Vec<String> {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().map(|a| a.line.clone()).collect()
    }

    /// What still came on connections that had been cut.
    pub(crate) fn late(&self) -> String {
        self.state.late.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Returns when so many connections have ended on both sides.
    pub(crate) async fn ended(&self, count: usize) {
        let mut ended = self.state.ended.subscribe();
        let reached = ended.wait_for(|ended| *ended >= count);
        soon("the connection's end", reached).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let wrong = self.state.wrong.lock().unwrap();
            assert!(wrong.is_empty(), "the server met {wrong:#?}");
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        state.connections.send_modify(|count| *count += 1);
        let number = *state.connections.borrow();
        connections.spawn(serve(stream, number, Arc::clone(&state)));
    }
}

async fn serve(mut stream: TcpStream, connection: usize, state: Arc<State>) {
    let mut buffer = Vec::new();
    loop {
        let asked = match read(&mut stream, &mut buffer, &state).await {
            Ok(Some(asked)) => asked,
            Ok(None) => break,
            Err(wrong) => return state.wrong.lock().unwrap().push(wrong),
        };
        let asked = {
            let mut all = state.asked.lock().unwrap();
            let nth = all.iter().filter(|a| a.line == asked.line).count() + 1;
            let asked = Asked {
                nth,
                connection,
                ..asked
            };
            all.push(asked.clone());
            asked
        };
        let mut reply = (state.script)(&asked);
        if let Reply::Held(gate, held) = reply {
            gate.pass().await;
            reply = *held;
        }
        match reply {
            // A client that reads no further has its reasons; what it makes of them is the test's affair.
            Reply::Answer(bytes) => drop(stream.write_all(&bytes).await),
            Reply::Cut(bytes) => {
                let _ = stream.write_all(&bytes).await;
                cut(stream, buffer, &state).await;
                break;
            }
            Reply::CutLater(bytes, gate) => {
                let _ = stream.write_all(&bytes).await;
                gate.pass().await;
                cut(stream, buffer, &state).await;
                break;
            }
            Reply::Held(..) | Reply::Unexpected => {
                return state.wrong.lock().unwrap().push(format!("{asked:?}"));
            }
        }
    }
    state.ended.send_modify(|ended| *ended += 1);
}

/// Ends the connection, and waits until the client has seen it and closed as well.
async fn cut(mut stream: TcpStream, mut buffer: Vec<u8>, state: &State) {
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut buffer).await;
    let late = String::from_utf8_lossy(&buffer);
    state.late.lock().unwrap().push_str(&late);
}

/// One whole request, or none when the connection ends between two.
async fn read(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    state: &State,
) -> Result<Option<Asked>, String> {
    let end_of_head = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) if buffer.is_empty() => return Ok(None),
            Ok(0) | Err(_) => return Err("half a head".to_owned()),
            Ok(_) => {}
        }
    };
    let head = String::from_utf8(buffer[..end_of_head].to_vec()).map_err(|e| e.to_string())?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let line = first
        .strip_suffix(" HTTP/1.1")
        .ok_or_else(|| format!("no request line: {first:?}"))?;
    if line.split(' ').count() != 2 {
        return Err(format!("no method and target: {line:?}"));
    }
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").ok_or(line)?;
            Ok((name.to_ascii_lowercase(), value.to_owned()))
        })
        .collect::<Result<Vec<_>, &str>>()
        .map_err(|line| format!("no header: {line:?}"))?;
    let mut asked = Asked {
        line: line.to_owned(),
        headers,
        body: String::new(),
        nth: 0,
        connection: 0,
    };
    if asked.header("host") != Some(&state.address.to_string()) {
        return Err(format!("meant for another host: {asked:?}"));
    }
    if asked.header("transfer-encoding").is_some() {
        return Err(format!("a body of no announced length: {asked:?}"));
    }
    let length = asked.header("content-length").unwrap_or("0");
    let length: usize = length
        .parse()
        .map_err(|_| format!("a length: {length:?}"))?;
    buffer.drain(..end_of_head + 4);
    while buffer.len() < length {
        if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
            return Err(format!("half a body: {asked:?}"));
        }
    }
    let body = buffer.drain(..length).collect();
    asked.body = String::from_utf8(body).map_err(|e| e.to_string())?;
    Ok(Some(asked))
}
