//! Konnect's seven operations, and what lies around them.

use std::sync::Arc;

use axum::extract::{self, Extension};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::{Router, body};
use bytes::Bytes;
use dcr_contract::model::{
    AbortTarget, Call, ClientId, Deletion, OperationId, RegistrationChange, SecretId,
};
use dcr_contract::{Connector, Fault};
use dcr_runtime::Shutdown;
use dcr_runtime::telemetry::Cause;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Version, request};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::audit::Audit;
use crate::capture;
use crate::guard::{Guard, Protections, Watched};
use crate::head::{self, Ambiguity};
use crate::keys::{Denial, Key};
use crate::konnect::{self, Event, Oddities};
use crate::limits::Loss;
use crate::metrics::Metrics;
use crate::path::{Operation, Target};
use crate::providers::Provider;
use crate::record::{Record, record};
use crate::reply::Refusal;
use crate::state::{Live, State};
use crate::view::View;

const LARGEST_BODY: usize = 64 * 1024;

#[derive(Debug)]
struct Gateway {
    live: Live,
    metrics: Arc<Metrics>,
    protections: Protections,
    audit: Audit,
    shutdown: Shutdown,
    runtime: Handle,
}

/// Konnect's HTTP for these providers, which may be replaced. Undoing what nobody got the answer to is tracked by
/// `shutdown`. Must be called within a tokio runtime.
pub(crate) fn router(
    live: Live,
    protections: Protections,
    registry: &mut Registry,
    audit: &Audit,
    shutdown: &Shutdown,
) -> Router {
    let metrics = Arc::new(Metrics::new(registry));
    audit.register(registry);
    registry.register_collector(Box::new(live.lasting().limiters.clone()));
    registry.register_collector(Box::new(View {
        live: live.clone(),
        metrics: Arc::clone(&metrics),
    }));
    let gateway = Arc::new(Gateway {
        live,
        metrics: Arc::clone(&metrics),
        protections,
        audit: audit.clone(),
        shutdown: shutdown.clone(),
        runtime: Handle::current(),
    });
    let routes = Router::new().fallback(answer).with_state(gateway);
    surrounded(routes, metrics)
}

/// What lies around every call.
fn surrounded(routes: Router, metrics: Arc<Metrics>) -> Router {
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    // From the outside in.
    routes.layer(
        ServiceBuilder::new()
            .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, NO_STORE))
            .layer(middleware::from_fn_with_state(metrics, record))
            .layer(CatchPanicLayer::custom(|_| {
                let fault = Fault::internal("a handler panicked; the panic is in the log");
                Refusal::Fault(fault).into_response()
            })),
    )
}

/// Answers one call: whose it is, what it asks for, its body, its handler; in this order, so that a stranger learns
/// nothing and sends nothing.
async fn answer(
    extract::State(gateway): extract::State<Arc<Gateway>>,
    Extension(record): Extension<Arc<Record>>,
    request: axum::extract::Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    head::judge(&head).map_err(|ambiguity| gateway.ambiguous(ambiguity, &record))?;
    let state = gateway.live.now();
    let (provider, key, rest) = gateway.admit(&state, &head, &record)?;
    let target = Target::of(&head.method, rest).inspect(|target| {
        let _first = record.operation.set(target.operation);
    });
    let audited = gateway.audit.call(&record);
    let answer = async {
        provider.limiter.admit(key)?;
        gateway.act(provider, &target?, &head, body, &record).await
    };
    audited.end(answer.await).await
}

impl Gateway {
    /// Does what a call asks for.
    async fn act(
        &self,
        provider: &Provider,
        target: &Target<'_>,
        head: &request::Parts,
        body: body::Body,
        record: &Record,
    ) -> Result<Response, Refusal> {
        let _in_flight = self.metrics.in_flight(&provider.label);
        let body = read(body, record).await?;
        if let Some(directory) = &provider.record {
            capture::keep(directory, &provider.label, head, target.operation, &body);
        }
        let _slot = provider.bulkhead.enter(record.deadline).await?;
        if target.operation.gives_secret() {
            self.audit.ready().await?;
        }
        let context = Context {
            gateway: self,
            provider,
            record,
            version: head.version,
            call: Call {
                caller: provider.caller.clone(),
                deadline: record.deadline,
                reference: record.reference.clone(),
            },
        };
        match target.operation {
            Operation::CreateClient => context.create_client(&body).await,
            Operation::DeleteClient => context.delete_client(target).await,
            Operation::RotateSecret => context.rotate_secret(target).await,
            Operation::EventHook => context.event_hook(target, &body).await,
            Operation::ListSecrets => context.list_secrets(target).await,
            Operation::AddSecret => context.add_secret(target).await,
            Operation::RemoveSecret => context.remove_secret(target).await,
        }
    }

    /// The provider of a call whose key opens it, that key, and what follows the provider's path.
    fn admit<'s, 'p>(
        &self,
        state: &'s State,
        head: &'p request::Parts,
        record: &Record,
    ) -> Result<(&'s Provider, &'s Key, &'p str), Refusal> {
        let found = state.providers.find(head.uri.path());
        let number = found.map(|(number, ..)| number);
        if let Some((_, provider, _)) = found {
            let _first = record.provider.set(provider.label.clone());
        }
        let now = Timestamp::now();
        let key = state
            .keys
            .judge(number, &head.headers, now)
            .map_err(|denial| self.denied(denial, record))?;
        let _first = record.key.set(key.id());
        let (_, provider, rest) =
            found.ok_or_else(|| self.denied(Denial::UnknownProvider, record))?;
        key.used(now);
        Ok((provider, key, rest))
    }

    fn denied(&self, denial: Denial, record: &Record) -> Refusal {
        match self.live.lasting().strangers.note(record.peer) {
            Ok(()) => Refusal::Denied(denial),
            Err(after) => Refusal::DeniedTooOften { denial, after },
        }
    }

    fn ambiguous(&self, ambiguity: Ambiguity, record: &Record) -> Refusal {
        let often = self.live.lasting().strangers.note(record.peer).is_err();
        Refusal::Ambiguous { ambiguity, often }
    }
}

/// Reads a body of at most 64 KiB; one that announces more is not read at all.
async fn read(body: body::Body, record: &Record) -> Result<Bytes, Refusal> {
    use body::HttpBody as _;
    if body.size_hint().lower() > LARGEST_BODY as u64 {
        return Err(Refusal::BodyTooLarge);
    }
    let whole = body::to_bytes(body, LARGEST_BODY);
    // What remains of the call's time must do for the connector, so the body gets half.
    let patience = record.deadline.at_most(record.deadline.remaining() / 2);
    match tokio::time::timeout_at(patience.instant(), whole).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => Err(Refusal::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(Refusal::BodyCut),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

/// What a handler works with.
struct Context<'a> {
    gateway: &'a Gateway,
    provider: &'a Provider,
    record: &'a Record,
    /// Of the request.
    version: Version,
    call: Call,
}

impl Context<'_> {
    async fn create_client(&self, body: &[u8]) -> Result<Response, Refusal> {
        let client = self.understood(|oddities| konnect::new_client(body, oddities))?;
        self.provider.limiter.pinned(&client.origin)?;
        if client.probe {
            self.outcome("probe");
        }
        let _first = self.record.origin.set(client.origin.clone());
        let operation = self.operation();
        let mut guard = self.guard(operation, AbortTarget::Create)?;
        let connector = &self.provider.connector;
        let created = guard.judge(connector.create_client(&self.call, operation, client).await)?;
        let _first = self.record.client_id.set(created.client_id.clone());
        self.secret(created.secret_id.as_ref());
        self.adjusted(&created.adjustments);
        Ok(guard.hand_over(
            StatusCode::CREATED,
            konnect::created(&created)?,
            self.version,
        ))
    }

    async fn delete_client(&self, target: &Target<'_>) -> Result<Response, Refusal> {
        let client_id = self.about(target.client_id()?);
        let operation = self.operation();
        let connector = &self.provider.connector;
        let counted = self.provider.limiter.count(Loss::Delete)?;
        let deletion = connector.delete_client(&self.call, operation, &client_id);
        match counted.judge(deletion.await, |d| *d == Deletion::Deleted)? {
            Deletion::Deleted => {}
            Deletion::Absent => self.outcome("absent"),
            Deletion::LeftInPlace => self.outcome("left_in_place"),
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    async fn rotate_secret(&self, target: &Target<'_>) -> Result<Response, Refusal> {
        let client_id = self.about(target.client_id()?);
        let operation = self.operation();
        let connector = &self.provider.connector;
        let counted = self.provider.limiter.count(Loss::Rotation)?;
        let secret = connector.rotate_client_secret(&self.call, operation, &client_id);
        let secret = counted.judge(secret.await, |_| true)?;
        self.secret(secret.secret_id.as_ref());
        Ok(json(StatusCode::OK, konnect::rotated(&client_id, &secret)?))
    }

    async fn event_hook(&self, target: &Target<'_>, body: &[u8]) -> Result<Response, Refusal> {
        let client_id = self.about(target.client_id()?);
        let event = self.understood(|oddities| konnect::event(body, &client_id, oddities))?;
        if let Some(origin) = event.origin() {
            self.provider.limiter.pinned(origin)?;
            let _first = self.record.origin.set(origin.clone());
        }
        let (call, id, connector) = (&self.call, &client_id, &self.provider.connector);
        let operation = self.operation();
        match event {
            Event::Updated(update) => {
                let adjustments = connector.update_client(call, operation, id, update).await?;
                self.adjusted(&adjustments);
            }
            Event::Registered(entity, origin) => {
                self.registered(
                    connector
                        .add_registration(call, operation, id, entity, origin)
                        .await?,
                );
            }
            Event::Deregistered(entity, origin) => {
                let done = connector
                    .remove_registration(call, operation, id, entity, origin)
                    .await?;
                self.registered(done);
            }
            Event::Unknown(name) => {
                self.gateway.metrics.unknown_event(&name);
                self.outcome("unknown_event");
            }
        }
        Ok(StatusCode::OK.into_response())
    }

    async fn list_secrets(&self, target: &Target<'_>) -> Result<Response, Refusal> {
        let client_id = self.about(target.client_id()?);
        let connector = &self.provider.connector;
        let secrets = connector
            .list_client_secrets(&self.call, &client_id)
            .await?;
        Ok(json(StatusCode::OK, konnect::listed(&client_id, &secrets)?))
    }

    async fn add_secret(&self, target: &Target<'_>) -> Result<Response, Refusal> {
        let client_id = self.about(target.client_id()?);
        let operation = self.operation();
        let mut guard = self.guard(operation, AbortTarget::AddSecret(client_id.clone()))?;
        let connector = &self.provider.connector;
        let added = connector
            .add_client_secret(&self.call, operation, &client_id)
            .await;
        let added = guard.judge(added)?;
        self.secret(Some(&added.secret_id));
        Ok(guard.hand_over(
            StatusCode::CREATED,
            konnect::added(&client_id, &added)?,
            self.version,
        ))
    }

    async fn remove_secret(&self, target: &Target<'_>) -> Result<Response, Refusal> {
        use dcr_contract::model::Removal;
        let (client_id, secret_id) = target.client_and_secret_id()?;
        let client_id = self.about(client_id);
        self.secret(Some(&secret_id));
        let operation = self.operation();
        let connector = &self.provider.connector;
        let counted = self.provider.limiter.count(Loss::Rotation)?;
        let removed = connector.remove_client_secret(&self.call, operation, &client_id, &secret_id);
        match counted.judge(removed.await, |r| *r == Removal::Removed)? {
            Removal::Removed => {}
            Removal::Absent => self.outcome("absent"),
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// Reads a body, and counts what nobody understands in it.
    fn understood<T>(
        &self,
        read: impl FnOnce(&mut Oddities) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut oddities = Oddities::default();
        let read = read(&mut oddities);
        let metrics = &self.gateway.metrics;
        oddities
            .unknown_members
            .iter()
            .for_each(|name| metrics.unknown_member(name));
        oddities
            .ignored_values
            .iter()
            .for_each(|member| metrics.ignored_value(member));
        read
    }

    /// Notes which client the call is about.
    fn about(&self, client_id: ClientId) -> ClientId {
        self.record.client_id.get_or_init(|| client_id).clone()
    }

    /// Names the operation that begins.
    fn operation(&self) -> OperationId {
        *self.record.operation_id.get_or_init(OperationId::generate)
    }

    /// Notes which secret the call is about.
    fn secret(&self, secret_id: Option<&SecretId>) {
        if let Some(secret_id) = secret_id {
            let _first = self.record.secret_id.set(secret_id.clone());
        }
    }

    fn outcome(&self, outcome: &'static str) {
        let _first = self.record.outcome.set(outcome);
    }

    fn registered(&self, change: RegistrationChange) {
        match change {
            RegistrationChange::Changed => {}
            RegistrationChange::Unchanged => self.outcome("unchanged"),
            RegistrationChange::NotMapped => self.outcome("not_mapped"),
        }
    }

    fn adjusted(&self, adjustments: &[dcr_contract::model::Adjustment]) {
        for adjustment in adjustments {
            tracing::info!(
                provider = self.provider.label.as_str(),
                reference = %self.record.reference,
                field = %adjustment.field,
                "done differently from what was asked: {}", adjustment.sentence
            );
        }
    }

    /// The guard of a call that is about to create something.
    ///
    /// # Errors
    /// When too much of the provider's is still to be undone.
    fn guard(&self, operation: OperationId, target: AbortTarget) -> Result<Guard, Refusal> {
        self.provider.pending.admit()?;
        let watched = Watched {
            connector: self.provider.connector.clone(),
            caller: self.call.caller.clone(),
            reference: self.call.reference.clone(),
            operation,
            target,
            provider: self.provider.label.clone(),
            pending: self.provider.pending.clone(),
            metrics: Arc::clone(&self.gateway.metrics),
            audit: self.gateway.audit.clone(),
            cause: Cause::current(),
            shutdown: self.gateway.shutdown.clone(),
            runtime: self.gateway.runtime.clone(),
        };
        Ok(Guard::new(watched, self.gateway.protections))
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn call(routes: Router) -> (u16, String) {
        let metrics = Arc::new(Metrics::new(&mut Registry::default()));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = surrounded(routes, metrics).oneshot(request).await.unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let reference = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(
            json["error_description"]
                .as_str()
                .unwrap()
                .ends_with(&reference)
        );
        (status, json["error"].as_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_like_any_other() {
        async fn handler() {
            panic!("as the test wants");
        }
        let answer = call(Router::new().route("/", get(handler))).await;
        assert_eq!(answer, (500, "internal_error".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_within_nine_seconds() {
        let began = tokio::time::Instant::now();
        let answer = call(Router::new().route("/", get(std::future::pending::<()>))).await;
        assert_eq!(answer, (504, "timed_out".to_owned()));
        assert_eq!(began.elapsed().as_secs(), 9);
    }
}
