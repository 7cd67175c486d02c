//! Calls through the whole router, over gRPC, to a connector that does what the client's name tells it.

mod handed_over;
mod obedient;
mod undoing;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dcr_contract::model::{AbortTarget, Installation, OperationId, ProviderId};
use dcr_contract::{ConnectorAddress, Served};
use dcr_runtime::{Shutdown, grpc};
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tower::ServiceExt;

use self::obedient::{Held, Obedient, Seen};
use crate::audit::Audit;
use crate::keys::HEADER;
use crate::routes::router;
use crate::state::Live;
use crate::{ApiKey, Config, KeyHash, Protections, ProviderConfig, ProviderPath, Rate};

const KEY: &str = "key_of_the_first_provider";
const OTHER_KEY: &str = "key_of_the_second_provider";

struct Bridge {
    router: Router,
    seen: UnboundedReceiver<Seen>,
    held: Arc<Held>,
    shutdown: Shutdown,
    registry: Registry,
    config: Config,
    live: Live,
}

impl Bridge {
    async fn start() -> Self {
        let (sender, seen) = unbounded_channel();
        let obedient = Obedient::new(sender);
        let held = obedient.held();
        let service = Served::routes(Arc::new(obedient), None);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let connector = Shutdown::new();
        let stop = connector.clone();
        connector.tracker().spawn(async move {
            let name = Served::<Obedient>::SERVICE_NAME;
            grpc::serve(listener, service, name, grpc::limits(), None, &stop).await;
        });

        let provider = |id: &str, path: &str, key: &str| {
            let mut provider = ProviderConfig::new(
                ProviderId::parse(id).unwrap(),
                ProviderPath::parse(path).unwrap(),
                ConnectorAddress::parse(&address).unwrap(),
            );
            provider.api_keys.push(ApiKey {
                hash: KeyHash::of(key.as_bytes()),
                expires_at: None,
            });
            provider.limits.rate = Rate::per_second(1_000_000, 1_000_000);
            provider
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let mut config = Config::new(Installation::parse("test").unwrap(), any, any);
        config.providers = vec![
            provider("first", "a", KEY),
            provider("second", "b", OTHER_KEY),
        ];
        let shutdown = Shutdown::new();
        let mut registry = Registry::default();
        let live = Live::new(&config, &shutdown).unwrap();
        let router = router(
            live.clone(),
            Protections::default(),
            &mut registry,
            &Audit::default(),
            &shutdown,
        );
        Self {
            router,
            seen,
            held,
            shutdown,
            registry,
            config,
            live,
        }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: &str,
    ) -> (u16, serde_json::Value) {
        let response = self.send(request(method, path, key, body)).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn next(&mut self) -> Seen {
        let seen = tokio::time::timeout(Duration::from_secs(10), self.seen.recv());
        seen.await.expect("the connector is asked").unwrap()
    }

    /// The operation of the create that the connector is asked for next.
    async fn next_create(&mut self) -> OperationId {
        match self.next().await {
            Seen::Create(operation) => operation,
            other => panic!("{other:?}"),
        }
    }

    /// What the connector still saw once all undoing has ended.
    async fn rest(mut self) -> Vec<Seen> {
        let left = self.shutdown.drain(Duration::from_secs(30)).await;
        assert_eq!(left.tasks, 0);
        let mut rest = Vec::new();
        while let Ok(seen) = self.seen.try_recv() {
            rest.push(seen);
        }
        rest
    }
}

fn request(method: &str, path: &str, key: &str, body: &str) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "bridge.example")
        .header(HEADER, key);
    request.body(Body::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn the_seven_operations_have_the_specifications_statuses() {
    let bridge = Bridge::start().await;
    let created = bridge
        .call("POST", "/a", KEY, r#"{"client_name":"x"}"#)
        .await;
    assert_eq!(
        created,
        (
            201,
            serde_json::json!({"client_id": "made", "client_secret": "a-secret"})
        )
    );
    let hook = r#"{"event_type":"add_registration","client_id":"c","api_id":"e"}"#;
    let unknown = r#"{"event_type":"grow_wings"}"#;
    for (method, path, body, status) in [
        ("DELETE", "/a/c", "", 204),
        ("DELETE", "/a/absent", "", 204),
        ("DELETE", "/a//imported", "", 204),
        ("POST", "/a/c/new-secret", "", 200),
        ("POST", "/a/c/event-hook", hook, 200),
        ("POST", "/a/c/event-hook", unknown, 200),
        ("GET", "/a/c/secrets", "", 200),
        ("POST", "/a/c/secrets", "", 201),
        ("DELETE", "/a/c/secrets/s", "", 204),
        ("DELETE", "/a/limit", "", 400),
        ("POST", "/a/other/event-hook", hook, 400),
        ("POST", "/a/c/event-hook", "", 400),
        ("PATCH", "/a/c", "", 405),
        ("GET", "/a/c/nothing", "", 404),
    ] {
        assert_eq!(
            bridge.call(method, path, KEY, body).await.0,
            status,
            "{method} {path} {body}"
        );
    }
}

#[tokio::test]
async fn nobody_without_the_right_key_learns_or_sends_anything() {
    let bridge = Bridge::start().await;
    for (method, path, key) in [
        ("POST", "/a", "no_such_key_at_all"),
        ("POST", "/a", OTHER_KEY),
        ("POST", "/nowhere", KEY),
        ("DELETE", "/b/c", KEY),
        ("PATCH", "/a/c", OTHER_KEY),
        ("GET", "/a/c/nothing", OTHER_KEY),
        ("DELETE", "/a/%2e%2e", OTHER_KEY),
    ] {
        // A body that never comes must not be waited for.
        let endless = Body::from_stream(tokio_stream::pending::<Result<Bytes, Infallible>>());
        let request = request(method, path, key, "").map(|_| endless);
        let response = bridge.send(request).await;
        assert_eq!(response.status(), 401, "{method} {path}");
    }
    assert_eq!(
        bridge
            .call("POST", "/b/", OTHER_KEY, r#"{"client_name":"x"}"#)
            .await
            .0,
        201
    );
    let mut twice = request("POST", "/a", KEY, "");
    twice.headers_mut().append(HEADER, KEY.parse().unwrap());
    assert_eq!(bridge.send(twice).await.status(), 401);
}

#[tokio::test]
async fn a_key_that_two_providers_list_opens_each_at_its_own_path() {
    let bridge = Bridge::start().await;
    let mut config = bridge.config.clone();
    // Somebody has copied the second's hash: it takes nothing from the second, and the first's key is where it was.
    let copied = config.providers[1].api_keys.clone();
    config.providers[0].api_keys.extend(copied);
    bridge.live.replace(&config).unwrap();
    let body = r#"{"client_name":"x"}"#;
    for (path, key, status) in [
        ("/a", KEY, 201),
        ("/a", OTHER_KEY, 201),
        ("/b", OTHER_KEY, 201),
        ("/b", KEY, 401),
    ] {
        let answer = bridge.call("POST", path, key, body).await;
        assert_eq!(answer.0, status, "{path} {key}");
    }
}

#[tokio::test]
async fn a_body_of_64_kib_is_read_and_one_more_byte_is_not() {
    let bridge = Bridge::start().await;
    let body = r#"{"client_name":"x"}"#;
    let full = format!("{body}{}", " ".repeat(64 * 1024 - body.len()));
    assert_eq!(bridge.call("POST", "/a", KEY, &full).await.0, 201);
    let (status, json) = bridge.call("POST", "/a", KEY, &format!("{full} ")).await;
    assert_eq!(
        (status, json["error"].as_str()),
        (413, Some("body_too_large"))
    );
    // The same without an announced length.
    let chunks = Body::new(Full::new(Bytes::from(format!("{full} "))).map_frame(|frame| frame));
    let request = request("POST", "/a", KEY, "").map(|_| chunks);
    assert_eq!(bridge.send(request).await.status(), 413);
}

#[tokio::test]
async fn a_provider_whose_calls_hang_is_full_while_another_is_served() {
    let mut bridge = Bridge::start().await;
    let mut hanging = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let request = request("POST", "/a", KEY, r#"{"client_name":"silent"}"#);
        hanging.spawn(bridge.router.clone().oneshot(request));
    }
    for _ in 0..64 {
        assert!(matches!(bridge.next().await, Seen::Create(_)));
    }
    let response = bridge.send(request("DELETE", "/a/c", KEY, "")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    let metrics = bridge.metrics();
    for line in [
        r#"dcr_shed_total{provider="first",reason="provider_busy"} 1"#,
        r#"dcr_operations_total{operation="delete_client",provider="first",outcome="provider_busy"} 1"#,
    ] {
        assert!(
            metrics.lines().any(|l| l == line),
            "{line} is not in\n{metrics}"
        );
    }
    let body = r#"{"client_name":"x"}"#;
    assert_eq!(bridge.call("POST", "/b", OTHER_KEY, body).await.0, 201);
    assert!(matches!(bridge.next().await, Seen::Create(_)));

    hanging.abort_all();
    while hanging.join_next().await.is_some() {}
    assert_eq!(bridge.call("DELETE", "/a/c", KEY, "").await.0, 204);
    let aborted = |seen: &Seen| matches!(seen, Seen::Abort(..));
    let rest = bridge.rest().await;
    assert_eq!(rest.iter().filter(|seen| aborted(seen)).count(), 64);
}

#[tokio::test]
async fn what_was_counted_of_a_provider_or_key_ends_with_it() {
    let mut bridge = Bridge::start().await;
    for (path, key) in [("/a", KEY), ("/b", OTHER_KEY)] {
        let body = r#"{"client_name":"x"}"#;
        assert_eq!(bridge.call("POST", path, key, body).await.0, 201);
    }
    let old = KeyHash::of(KEY.as_bytes()).id().to_string();
    let before = bridge.metrics();
    for name in [
        "dcr_operations_total",
        "dcr_inflight",
        "rpc_client_call_duration_seconds_count",
        "dcr_api_key_last_used_timestamp_seconds",
    ] {
        let of_second = |line: &str| line.starts_with(name) && line.contains("second");
        assert!(before.lines().any(of_second), "{name} is not in\n{before}");
    }
    assert!(before.contains(&old), "{before}");

    let mut config = bridge.config.clone();
    let _removed = config.providers.pop();
    let new = &mut config.providers[0].api_keys[0];
    new.hash = KeyHash::of(b"another_key_of_the_first");
    bridge.live.replace(&config).unwrap();
    let after = bridge.metrics();
    assert!(!after.contains(r#"provider="second""#), "{after}");
    assert!(!after.contains(&old), "{after}");
    let stays =
        r#"dcr_operations_total{operation="create_client",provider="first",outcome="ok"} 1"#;
    assert!(after.lines().any(|line| line == stays), "{after}");
    assert!(matches!(bridge.next().await, Seen::Create(_)));
}

#[tokio::test]
async fn two_gateways_in_one_process_do_not_disturb_each_other() {
    let (one, other) = (Bridge::start().await, Bridge::start().await);
    let body = r#"{"client_name":"x"}"#;
    for gateway in [&one, &other] {
        assert_eq!(gateway.call("POST", "/a", KEY, body).await.0, 201);
    }
    let counts = |gateway: &Bridge| {
        let metrics = gateway.metrics();
        let of_creates = |line: &&str| {
            line.starts_with("rpc_client_call_duration_seconds_count{")
                && line.contains("CreateClient")
        };
        let lines = metrics.lines().filter(of_creates);
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // Nothing of a provider that is served elsewhere is forgotten, and nothing is told twice.
    let mut config = other.config.clone();
    config.providers.clear();
    other.live.replace(&config).unwrap();
    assert!(counts(&other).is_empty());
    let [count] = &*counts(&one) else {
        panic!("{:?}", counts(&one))
    };
    assert!(count.ends_with(" 1"), "{count}");
}
