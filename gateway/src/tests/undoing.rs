//! What nobody got the answer to is undone, and nothing else.

use std::sync::atomic::Ordering;

use dcr_contract::model::{Caller, ClientId, OperationId, Reference};
use dcr_runtime::telemetry::Cause;
use tokio::runtime::Handle;

use super::*;
use crate::guard::{Guard, Watched};
use crate::metrics::Metrics;
use crate::view::View;

impl Bridge {
    /// Time passes until what was accepted has settled.
    async fn settles(&mut self) {
        while !self.metrics().contains(r#"outcome="accepted"} 1"#) {
            tokio::task::yield_now().await;
        }
        assert!(self.seen.try_recv().is_err());
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(36)).await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_create_whose_outcome_is_unknown_is_aborted() {
    let mut bridge = Bridge::start().await;
    for (name, status) in [("lost", 504), ("applied", 500)] {
        let body = format!(r#"{{"client_name":"{name}"}}"#);
        assert_eq!(bridge.call("POST", "/a", KEY, &body).await.0, status);
        let operation = bridge.next_create().await;
        assert_eq!(
            bridge.next().await,
            Seen::Abort(operation, AbortTarget::Create)
        );
    }
    assert_eq!(bridge.rest().await, []);
}

#[tokio::test]
async fn an_added_secret_that_nobody_got_is_aborted() {
    let mut bridge = Bridge::start().await;
    assert_eq!(bridge.call("POST", "/a/lost/secrets", KEY, "").await.0, 504);
    let Seen::AddSecret(operation) = bridge.next().await else {
        panic!()
    };
    let target = AbortTarget::AddSecret(ClientId::parse("lost").unwrap());
    assert_eq!(bridge.next().await, Seen::Abort(operation, target));
    assert_eq!(bridge.rest().await, []);
}

#[tokio::test]
async fn an_abort_is_counted_by_what_the_connector_answers() {
    let mut bridge = Bridge::start().await;
    for answer in ["cannot", "left"] {
        let path = format!("/a/{answer}/secrets");
        assert_eq!(bridge.call("POST", &path, KEY, "").await.0, 504);
        assert!(matches!(bridge.next().await, Seen::AddSecret(_)));
        assert!(matches!(bridge.next().await, Seen::Abort(..)));
    }
    let left = bridge.shutdown.drain(Duration::from_secs(30)).await;
    assert_eq!(left.tasks, 0);
    let metrics = bridge.metrics();
    for outcome in ["cannot", "left"] {
        let counted = format!(r#"outcome="{outcome}"}} 1"#);
        assert!(metrics.contains(&counted), "{metrics}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_behind() {
    let mut bridge = Bridge::start().await;
    let call =
        bridge
            .router
            .clone()
            .oneshot(request("POST", "/a", KEY, r#"{"client_name":"silent"}"#));
    let seen = tokio::select! {
        _ = call => panic!("answered"),
        seen = bridge.seen.recv() => seen.unwrap(),
    };
    let Seen::Create(operation) = seen else {
        panic!()
    };
    assert_eq!(
        bridge.next().await,
        Seen::Abort(operation, AbortTarget::Create)
    );
    assert_eq!(bridge.rest().await, []);
}

#[tokio::test]
async fn a_connector_that_accepted_an_abort_is_asked_again_when_all_is_settled() {
    let mut bridge = Bridge::start().await;
    bridge
        .call("POST", "/a", KEY, r#"{"client_name":"lost"}"#)
        .await;
    let operation = bridge.next_create().await;
    let abort = Seen::Abort(operation, AbortTarget::Create);
    assert_eq!(bridge.next().await, abort);
    bridge.settles().await;
    assert_eq!(bridge.next().await, abort);
    assert_eq!(bridge.rest().await, []);
}

#[tokio::test]
async fn a_connector_that_has_forgotten_what_it_accepted_is_counted_for_that() {
    let mut bridge = Bridge::start().await;
    let call = bridge.call("POST", "/a/forgetful/secrets", KEY, "").await;
    assert_eq!(call.0, 504);
    assert!(matches!(bridge.next().await, Seen::AddSecret(_)));
    assert!(matches!(bridge.next().await, Seen::Abort(..)));
    bridge.settles().await;
    assert!(matches!(bridge.next().await, Seen::Abort(..)));
    let left = bridge.shutdown.drain(Duration::from_secs(30)).await;
    assert_eq!(left.tasks, 0);
    assert!(bridge.metrics().contains(r#"outcome="cannot"} 1"#));
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_undone() {
    let mut bridge = Bridge::start().await;
    let response = bridge
        .send(request("POST", "/a", KEY, r#"{"client_name":"x"}"#))
        .await;
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "47");
    let operation = bridge.next_create().await;
    drop(response);
    assert_eq!(
        bridge.next().await,
        Seen::Abort(operation, AbortTarget::Create)
    );
    assert_eq!(bridge.rest().await, []);
}

#[tokio::test]
async fn what_was_delivered_or_never_done_is_not_aborted() {
    let mut bridge = Bridge::start().await;
    assert_eq!(
        bridge
            .call("POST", "/a", KEY, r#"{"client_name":"x"}"#)
            .await
            .0,
        201
    );
    assert_eq!(
        bridge
            .call("POST", "/a", KEY, r#"{"client_name":"limit"}"#)
            .await
            .0,
        400
    );
    assert_eq!(
        bridge.call("POST", "/a/lost/new-secret", KEY, "").await.0,
        504
    );
    assert_eq!(bridge.call("DELETE", "/a/lost", KEY, "").await.0, 504);
    assert!(matches!(bridge.next().await, Seen::Create(_)));
    assert!(matches!(bridge.next().await, Seen::Create(_)));
    assert_eq!(bridge.rest().await, []);
}

#[tokio::test]
async fn an_abort_that_outlives_the_process_is_named() {
    let mut bridge = Bridge::start().await;
    let call = bridge
        .router
        .clone()
        .oneshot(request("POST", "/a/silent/secrets", KEY, ""));
    let seen = tokio::select! {
        _ = call => panic!("answered"),
        seen = bridge.seen.recv() => seen.unwrap(),
    };
    let Seen::AddSecret(operation) = seen else {
        panic!()
    };
    assert!(matches!(bridge.next().await, Seen::Abort(..)));
    let left = bridge.shutdown.drain(Duration::from_millis(50)).await;
    assert_eq!(left.operations, [operation.to_string()]);
}

#[tokio::test]
async fn what_is_too_old_to_be_undone_when_all_is_settled_is_not_given_up() {
    let mut bridge = Bridge::start().await;
    // Accepted half a minute before the gateway would stop asking.
    let milliseconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis()
        - 14 * 60 * 1000
        - 30_000;
    let hex = format!("{milliseconds:012x}");
    let (high, low) = hex.split_at(8);
    let operation = OperationId::parse(&format!("{high}-{low}-7000-8000-000000000000")).unwrap();
    let state = bridge.live.now();
    let (_, provider, _) = state.providers.find("/a").unwrap();
    bridge.registry = Registry::default();
    let metrics = Arc::new(Metrics::new(&mut bridge.registry));
    bridge.registry.register_collector(Box::new(View {
        live: bridge.live.clone(),
        metrics: Arc::clone(&metrics),
    }));
    let watched = Watched {
        connector: provider.connector.clone(),
        caller: Caller {
            installation: bridge.config.installation.clone(),
            provider_id: bridge.config.providers[0].id.clone(),
        },
        reference: Reference::generate(),
        operation,
        target: AbortTarget::Create,
        provider: provider.label.clone(),
        pending: provider.pending.clone(),
        metrics,
        audit: Audit::default(),
        cause: Cause::current(),
        shutdown: bridge.shutdown.clone(),
        runtime: Handle::current(),
    };
    drop(Guard::new(watched, Protections::default()));
    let abort = Seen::Abort(operation, AbortTarget::Create);
    assert_eq!(bridge.next().await, abort);
    bridge.settles().await;
    while provider.pending.aborts() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(!bridge.metrics().contains("given_up"));
    assert_eq!(bridge.rest().await, []);
}

#[tokio::test]
async fn a_connector_is_asked_to_undo_sixteen_operations_at_once() {
    let mut bridge = Bridge::start().await;
    for _ in 0..20 {
        assert_eq!(bridge.call("POST", "/a/held/secrets", KEY, "").await.0, 504);
    }
    let shows = |bridge: &Bridge, line: &str| bridge.metrics().lines().any(|l| l == line);
    assert!(shows(&bridge, r#"dcr_aborts_pending{provider="first"} 20"#));
    assert!(shows(&bridge, r#"dcr_aborts_pending{provider="second"} 0"#));
    let mut aborts = 0;
    while aborts < 20 {
        if matches!(bridge.next().await, Seen::Abort(..)) {
            aborts += 1;
            if aborts >= 16 {
                bridge.held.released.add_permits(1);
            }
        }
    }
    bridge.held.released.add_permits(20);
    let left = bridge.shutdown.drain(Duration::from_secs(30)).await;
    assert_eq!(left.tasks, 0);
    assert_eq!(bridge.held.most.load(Ordering::SeqCst), 16);
    assert!(shows(&bridge, r#"dcr_aborts_pending{provider="first"} 0"#));
}

#[tokio::test]
async fn a_provider_with_too_much_to_undo_creates_nothing_more_and_does_all_else() {
    let mut bridge = Bridge::start().await;
    let state = bridge.live.now();
    let (_, provider, _) = state.providers.find("/a").unwrap();
    let mut aborts: Vec<_> = (0..4096).map(|_| provider.pending.add()).collect();
    let create = r#"{"client_name":"x"}"#;
    for (path, body) in [("/a", create), ("/a/c/secrets", "")] {
        let response = bridge.send(request("POST", path, KEY, body)).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    }
    assert!(bridge.seen.try_recv().is_err());
    let shed = r#"dcr_shed_total{provider="first",reason="aborts_pending"} 2"#;
    assert!(bridge.metrics().lines().any(|line| line == shed));
    assert_eq!(bridge.call("DELETE", "/a/c", KEY, "").await.0, 204);
    assert_eq!(bridge.call("POST", "/b", OTHER_KEY, create).await.0, 201);
    // A new configuration changes nothing of it.
    bridge.live.replace(&bridge.config).unwrap();
    assert_eq!(bridge.call("POST", "/a", KEY, create).await.0, 503);
    drop(aborts.pop());
    assert_eq!(bridge.call("POST", "/a", KEY, create).await.0, 201);
}
