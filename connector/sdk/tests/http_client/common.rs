//! What the subjects share: a client with planted secrets, answers, deadlines, the passing of time.

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use dcr_connector::SecretFile;
use dcr_connector::fault::{Fault, Outcome, Reason};
use dcr_connector::http::{
    Answer, BaseUrl, Client, ClientAuthMethod, ClientCredentials, StatusCode, TokenEndpoint,
};
use dcr_connector::model::Deadline;
use tempfile::NamedTempFile;
use tokio::task::JoinSet;
use tokio::time;

use crate::server::{Asked, Reply, Server};

/// Longer than anything here should take, and shorter than the client's own limits.
const SOON: Duration = Duration::from_secs(5);

/// The connector's own secret. What an IdP gives or says, and nobody may print, begins so as well.
pub(crate) const SECRET: &str = "planted-secret";
pub(crate) const TOKEN: &str = "POST /token";

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let in_time = time::timeout(SOON, future).await;
    in_time.unwrap_or_else(|_| panic!("not within {SOON:?}: {what}"))
}

/// A deadline that no test waits for.
pub(crate) fn ample() -> Deadline {
    Deadline::after(Duration::from_mins(1))
}

pub(crate) fn short() -> Deadline {
    Deadline::after(Duration::from_millis(300))
}

/// Lets time pass for all timers, and for nobody who waits.
pub(crate) async fn pass(duration: Duration) {
    time::pause();
    time::advance(duration).await;
    time::resume();
}

pub(crate) fn client(server: &Server) -> Client {
    client_of(&server.url())
}

pub(crate) fn client_of(url: &str) -> Client {
    Client::new(BaseUrl::parse(url, false).unwrap(), None).unwrap()
}

pub(crate) fn secret_file(secret: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(secret.as_bytes()).unwrap();
    file
}

pub(crate) fn credentials(secret: &NamedTempFile) -> ClientCredentials {
    ClientCredentials {
        token_endpoint: TokenEndpoint::Below(vec!["token".to_owned()]),
        client_id: "connector".to_owned(),
        secret_file: SecretFile::unwatched(secret.path()),
        scope: None,
        audience: None,
        auth_method: ClientAuthMethod::default(),
    }
}

/// A client with the planted secret. Its file has to live as long.
pub(crate) fn authorized(server: &Server) -> (Arc<Client>, NamedTempFile) {
    let secret = secret_file(SECRET);
    let client = client(server).authorized_by(credentials(&secret));
    (Arc::new(client), secret)
}

/// `send`, by a task of its own.
pub(crate) fn start<F>(
    client: &Arc<Client>,
    send: impl FnOnce(Arc<Client>) -> F,
) -> JoinSet<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let mut task = JoinSet::new();
    task.spawn(send(Arc::clone(client)));
    task
}

/// What every task answered.
pub(crate) async fn done<T: Send + 'static>(tasks: JoinSet<T>) -> Vec<T> {
    soon("the callers", tasks.join_all()).await
}

pub(crate) async fn get_thing(client: Arc<Client>) -> Result<Answer, Fault> {
    client.get(&["thing"]).send(ample()).await
}

/// So many callers of `GET /thing` at once.
pub(crate) fn callers(client: &Arc<Client>, count: usize) -> JoinSet<Result<Answer, Fault>> {
    let mut callers = JoinSet::new();
    for _ in 0..count {
        callers.spawn(get_thing(Arc::clone(client)));
    }
    callers
}

pub(crate) fn all_ok(answers: Vec<Result<Answer, Fault>>) {
    for answer in answers {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
}

pub(crate) fn told(fault: &Fault) -> (&'static str, Outcome, Reason) {
    (fault.kind().name(), fault.done(), fault.why())
}

/// The bytes of an answer; `headers` are whole lines.
pub(crate) fn bytes(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} So\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

pub(crate) fn answer(status: u16, body: impl AsRef<[u8]>) -> Reply {
    Reply::Answer(bytes(status, "", body))
}

/// What the token endpoint gives for the nth time: a token of that number, which lives 100 s.
pub(crate) fn granted(asked: &Asked) -> Reply {
    let nth = asked.nth;
    answer(
        200,
        format!(r#"{{"access_token":"planted-token-{nth}","expires_in":100}}"#),
    )
}

/// The numbers of the tokens that these requests bore.
pub(crate) fn bore(asked: &[Asked]) -> Vec<usize> {
    asked.iter().map(bore_one).collect()
}

pub(crate) fn bore_one(asked: &Asked) -> usize {
    let number = asked
        .bearer()
        .and_then(|token| token.strip_prefix("planted-token-"));
    number.unwrap().parse().unwrap()
}
