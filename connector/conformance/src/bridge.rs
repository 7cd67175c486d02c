//! Plays the gateway: makes calls as it does, remembers what was made, and notes what holds for every call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dcr_proto::v1;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::check::{Stop, Verdict, broken};
use crate::checks::{Cleaned, Drained};
use crate::connection::{CannotRun, Connections};
use crate::journal::Journal;
use crate::options::Options;
use crate::pace::{PATIENT, Pace};
use crate::process::Process;
use crate::refusal::{Refusal, name};
use crate::rpc::{Client, Rpc};
use crate::tokens::Tokens;

/// What the gateway gives a call.
pub(crate) const USUAL_TIME: Duration = Duration::from_secs(8);
/// Between two looks at what changes by itself.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// In the place of a message.
const WITHHELD: &str = "(withheld, for it holds a secret)";

pub(crate) type Answer<T> = Result<T, Refusal>;

/// The gateway of a run, shared by its checks.
#[derive(Debug)]
pub(crate) struct Bridge {
    options: Options,
    connections: Connections,
    channel: Channel,
    described: v1::DescribeConnectorResponse,
    tokens: Option<Tokens>,
    made: Mutex<Made>,
    /// What the clean-up found.
    pub(crate) cleaned: OnceCell<Cleaned>,
    pub(crate) pace: Pace,
    pub(crate) journal: Journal,
    /// What the end of the connector was like, or why it could not be brought about.
    pub(crate) drained: OnceCell<Result<Drained, String>>,
}

/// What a run may have to clean up.
#[derive(Debug, Default, Clone)]
pub(crate) struct Made {
    pub(crate) clients: Vec<(v1::Caller, String)>,
    /// Operations whose creates were not answered, or not yet.
    pub(crate) operations: Vec<(v1::Caller, String)>,
}

/// A client that a check made.
#[derive(Debug, Clone)]
pub(crate) struct TestClient {
    pub(crate) id: String,
    pub(crate) secret: v1::Secret,
    pub(crate) secret_id: String,
    pub(crate) operation_id: String,
}

impl Bridge {
    /// Connects, and asks the connector what it is.
    pub(crate) async fn begin(options: Options) -> Result<Self, CannotRun> {
        let connections = Connections::new(&options)?;
        if let Some(id) = options.terminate
            && Process::of(id).is_none()
        {
            let sentence =
                format!("--terminate {id}: there is no such process; name the connector's");
            return Err(CannotRun::Usage(sentence));
        }
        let tokens = Tokens::new(&options.tokens).map_err(CannotRun::Usage)?;
        let channel = connections.open().await?;
        let mut bridge = Self {
            options,
            connections,
            channel,
            described: v1::DescribeConnectorResponse::default(),
            tokens,
            made: Mutex::default(),
            cleaned: OnceCell::new(),
            pace: Pace::default(),
            journal: Journal::default(),
            drained: OnceCell::new(),
        };
        let described = bridge.ask(v1::DescribeConnectorRequest {}).await;
        bridge.described = described.map_err(|refusal| {
            CannotRun::Unreachable(format!(
                "what listens there does not describe itself: {refusal}"
            ))
        })?;
        Ok(bridge)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn described(&self) -> &v1::DescribeConnectorResponse {
        &self.described
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn can(&self, capability: v1::Capability) -> bool {
        self.described
            .capabilities()
            .any(|known| known == capability)
    }

    /// How long a late commit may take to show itself.
    pub(crate) fn settle_after(&self) -> Duration {
        let told = self.described.settle_after.unwrap_or_default();
        Duration::from_secs(u64::try_from(told.seconds).unwrap_or_default().min(900))
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that the run has made, or may have made.
    pub(crate) fn all_made(&self) -> Made {
        self.made().clone()
    }

    /// Notes a create before it is sent: whoever stops waiting for it must still look for its client.
    fn may_make<Q: Rpc>(&self, asked: &Q) {
        if let Some(create) = cast(asked) {
            self.made().operations.push(operation_of(create));
        }
    }

    /// Forgets a create that has made nothing, or a client that is known.
    fn is_settled<Q: Rpc>(&self, asked: &Q) {
        let Some(create) = cast(asked) else { return };
        let (operations, settled) = (&mut self.made().operations, operation_of(create));
        // One of as many as were sent with this operation.
        if let Some(at) = operations.iter().position(|noted| *noted == settled) {
            operations.swap_remove(at);
        }
    }

    /// Makes a call with the time that the gateway usually gives it.
    pub(crate) async fn ask<Q: Rpc>(&self, request: Q) -> Answer<Q::Answer> {
        self.ask_within(USUAL_TIME, request).await
    }

    /// Makes a call that must be answered within this time.
    pub(crate) async fn ask_within<Q: Rpc>(&self, time: Duration, request: Q) -> Answer<Q::Answer> {
        let mut request = Request::new(request);
        request.set_timeout(time);
        self.send(self.channel(), request).await
    }

    /// Makes a call whose metadata are complete already.
    pub(crate) async fn send<Q: Rpc>(
        &self,
        channel: Channel,
        request: Request<Q>,
    ) -> Answer<Q::Answer> {
        let answer = self.send_noting_no_failure(channel, request).await;
        answer.map_err(|mut refusal| {
            if self.journal.refused::<Q>(&refusal) {
                WITHHELD.clone_into(&mut refusal.message);
            }
            refusal
        })
    }

    /// Makes a call that may end otherwise than the rules for every call say: there is no time for an answer, or the gRPC
    /// library itself refuses it.
    pub(crate) async fn send_quietly<Q: Rpc>(&self, request: Request<Q>) -> Answer<Q::Answer> {
        let answer = self.send_noting_no_failure(self.channel(), request).await;
        answer.map_err(|refusal| self.without_secrets(refusal))
    }

    /// The same, as it may be printed.
    pub(crate) fn without_secrets(&self, mut refusal: Refusal) -> Refusal {
        if self.journal.knows_secret_in(&refusal) {
            WITHHELD.clone_into(&mut refusal.message);
        }
        refusal
    }

    /// What asks to slow down has done nothing, and is asked again, unless it is a call that is never sent again: then the
    /// check is tried again.
    async fn send_noting_no_failure<Q: Rpc>(
        &self,
        channel: Channel,
        request: Request<Q>,
    ) -> Answer<Q::Answer> {
        for _ in 1..PATIENT {
            let (metadata, message) = (request.metadata().clone(), request.get_ref().clone());
            let again = Request::from_parts(metadata, tonic::Extensions::default(), message);
            let answer = self.send_once(channel.clone(), again).await;
            let is_throttled = matches!(&answer, Err(refusal) if refusal.throttled().is_some());
            if !is_throttled || Q::gives_a_secret() {
                return answer;
            }
        }
        self.send_once(channel, request).await
    }

    async fn send_once<Q: Rpc>(
        &self,
        channel: Channel,
        mut request: Request<Q>,
    ) -> Answer<Q::Answer> {
        if let Ok(id) = MetadataValue::try_from(Uuid::now_v7().as_simple().to_string()) {
            request.metadata_mut().insert("x-request-id", id);
        }
        self.pace.wait().await;
        let asked = request.get_ref().clone();
        self.may_make(&asked);
        let client = Client::new(channel).max_decoding_message_size(4 * 1024 * 1024);
        // The channel gives up when the call's own time is over; this is for what escapes it.
        let sent = tokio::time::timeout(USUAL_TIME * 2, Q::send(client, request)).await;
        match sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer came"))) {
            Ok(answer) => {
                let answer = answer.into_inner();
                self.journal.answered::<Q>(&answer);
                self.remember(&asked, &answer);
                self.is_settled(&asked);
                Ok(answer)
            }
            Err(status) => {
                let refusal = Refusal::of(Q::NAME, &status);
                if let Some(time) = refusal.throttled() {
                    self.pace.slow_down(time);
                }
                if refusal.outcome == Some(v1::Outcome::NotApplied) {
                    self.is_settled(&asked);
                }
                Err(refusal)
            }
        }
    }

    fn remember<Q: Rpc>(&self, asked: &Q, answer: &Q::Answer) {
        if let (Some(asked), Some(created)) = (
            cast::<Q, v1::CreateClientRequest>(asked),
            cast::<Q::Answer, v1::CreateClientResponse>(answer),
        ) {
            self.journal.delivered(created.secret.as_ref());
            let caller = asked.caller.clone().unwrap_or_default();
            self.made()
                .clients
                .push((caller, created.client_id.clone()));
        }
        if let Some(rotated) = cast::<Q::Answer, v1::RotateClientSecretResponse>(answer) {
            self.journal.delivered(rotated.secret.as_ref());
        }
        if let Some(added) = cast::<Q::Answer, v1::AddClientSecretResponse>(answer) {
            self.journal.delivered(added.secret.as_ref());
        }
    }

    /// Makes a call that must succeed.
    pub(crate) async fn done<Q: Rpc>(&self, request: Q) -> Result<Q::Answer, Stop> {
        self.ask(request)
            .await
            .map_err(|refusal| broken(refusal.to_string()))
    }

    /// Makes a call that must be refused with this code and, where a reason is given, one of these; a mutation with
    /// NOT_APPLIED. What every refusal owes is judged by the group `answers`.
    pub(crate) async fn refused<Q: Rpc>(
        &self,
        request: Q,
        code: Code,
        reasons: &[&str],
    ) -> Result<Refusal, Stop> {
        let Err(refusal) = self.ask(request).await else {
            let due = name(code);
            return Err(broken(format!("{} succeeded, where {due} is due", Q::NAME)));
        };
        if refusal.is_silence || refusal.code != code {
            return Err(broken(format!("{refusal}; {} is due", name(code))));
        }
        if refusal
            .reason()
            .is_some_and(|reason| !reasons.is_empty() && !reasons.contains(&reason))
        {
            let due = reasons.join(" or ");
            return Err(broken(format!("{refusal}; the reason {due} is due")));
        }
        if Q::MUTATES
            && refusal
                .outcome
                .is_some_and(|outcome| outcome != v1::Outcome::NotApplied)
        {
            return Err(broken(format!("{refusal}; NOT_APPLIED is due")));
        }
        Ok(refusal)
    }

    /// A new client with what every IdP takes.
    pub(crate) async fn client(&self) -> Result<TestClient, Stop> {
        self.client_of(self.create()).await
    }

    /// A new client as it is asked for.
    pub(crate) async fn client_of(
        &self,
        request: v1::CreateClientRequest,
    ) -> Result<TestClient, Stop> {
        let operation_id = request.operation.clone().unwrap_or_default().operation_id;
        let created = self.done(request).await?;
        Ok(TestClient {
            id: created.client_id,
            secret: created.secret.unwrap_or_default(),
            secret_id: created.secret_id,
            operation_id,
        })
    }

    /// The ids of a client's secrets that work.
    pub(crate) async fn live_secrets(&self, client_id: &str) -> Result<Vec<String>, Stop> {
        let listed = self.done(self.list_secrets(client_id)).await?;
        let live = listed.secrets.into_iter();
        let live = live.filter(|secret| secret.status() == v1::SecretStatus::Active);
        Ok(live.map(|secret| secret.secret_id).collect())
    }

    /// Every managed client of the caller's installation.
    pub(crate) async fn listed(&self, caller: v1::Caller) -> Result<Vec<v1::ManagedClient>, Stop> {
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..10_000 {
            let mut request = self.list(500, &token);
            request.caller = Some(caller.clone());
            let page = self.done(request).await?;
            all.extend(page.clients);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
        Err(broken(
            "ListManagedClients gave 10,000 pages and no last one",
        ))
    }

    /// Tries until it succeeds, for as long as the IdP may lag behind.
    pub(crate) async fn eventually<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        self.within(self.options.patience, attempt).await
    }

    /// Tries until it succeeds, for this long.
    pub(crate) async fn within<T, F>(
        &self,
        time: Duration,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        let deadline = Instant::now() + time;
        loop {
            let tried = attempt().await;
            if tried.is_ok() || Instant::now() >= deadline {
                return tried;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The secret must work at the token endpoint, or must not; passes where no endpoint is known.
    pub(crate) async fn secret_works(
        &self,
        client_id: &str,
        secret: &v1::Secret,
        works: bool,
    ) -> Verdict {
        self.eventually(|| async {
            let Some(tokens) = &self.tokens else {
                return Ok(());
            };
            let opens = tokens
                .opens(client_id, secret, None)
                .await
                .map_err(broken)?;
            match (opens, works) {
                (true, false) => Err(broken("a secret that must not work any more got a token")),
                (false, true) => Err(broken("a secret that must work got no token")),
                _ => Ok(()),
            }
        })
        .await
    }

    /// The client must get a token with this scope, or must not.
    pub(crate) async fn scope_is_granted(
        &self,
        client: &TestClient,
        scope: &str,
        granted: bool,
    ) -> Verdict {
        self.eventually(|| async {
            let Some(tokens) = &self.tokens else {
                return Err(Stop::Skipped("needs --token-url".to_owned()));
            };
            let opens = tokens
                .opens(&client.id, &client.secret, Some(scope))
                .await
                .map_err(broken)?;
            match (opens, granted) {
                (true, false) => Err(broken(format!(
                    "a token with the scope {scope} was given without a registration"
                ))),
                (false, true) => Err(broken(format!(
                    "no token with the scope {scope}, which the registration grants"
                ))),
                _ => Ok(()),
            }
        })
        .await
    }
}

/// Who creates, and by which operation.
fn operation_of(create: &v1::CreateClientRequest) -> (v1::Caller, String) {
    let caller = create.caller.clone().unwrap_or_default();
    let operation = create.operation.clone().unwrap_or_default();
    (caller, operation.operation_id)
}

/// A value as one of another type, if that is what it is.
fn cast<T: 'static, U: 'static>(value: &T) -> Option<&U> {
    (value as &dyn std::any::Any).downcast_ref()
}

/// The bridge as checks share it.
pub(crate) type Shared = Arc<Bridge>;
