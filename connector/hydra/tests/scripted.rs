//! The connector before a Hydra of the test's own, for what a real one does only when nobody wants it: clients that vanish
//! between two pages of a list, and transactions that meet.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason};
use dcr_connector::model::{
    Caller, ClientName, Deadline, GrantType, Installation, ManagedClients, NewClient, OperationId,
    Origin, Page, ProviderId,
};
use dcr_connector::{Idp as _, Made, Mark, Settings};
use dcr_connector_hydra::Hydra;
use dcr_tests::loopback;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const CONTENDED: &str = "Unable to serialize access due to a concurrent update in another session";

/// What the Hydra holds and how it behaves.
#[derive(Default)]
struct Held {
    clients: BTreeMap<String, Value>,
    /// How many creates meet another transaction from now on.
    contended: usize,
    creates: usize,
    /// Whether it refuses page tokens, as after a change of its own keys.
    refuses_tokens: bool,
}

struct World {
    hydra: Hydra,
    held: Arc<Mutex<Held>>,
    _server: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let router = Router::new()
            .route("/admin/clients", get(list).post(create))
            .with_state(Arc::clone(&held));
        let (listener, address) = loopback::listener().await;
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let yaml = format!("admin_url: http://{address}");
        let config = serde_saphyr::from_str(&yaml).unwrap();
        let settings = Settings::of_a_process(installation("i"), Path::new("c.yaml"), false);
        Self {
            hydra: Hydra::open(config, &settings).unwrap(),
            held,
            _server: server,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }

    async fn create(&self, limit: Duration) -> Result<String, Fault> {
        let new = NewClient {
            name: ClientName::parse("ferry").unwrap(),
            description: None,
            redirect_uris: Vec::new(),
            grant_types: vec![GrantType::ClientCredentials],
            scopes: Vec::new(),
            token_endpoint_auth_method: None,
            origin: Origin::default(),
            probe: false,
        };
        let mark = Mark {
            caller: Caller {
                installation: installation("i"),
                provider_id: ProviderId::parse("p").unwrap(),
            },
            operation_id: OperationId::generate(),
            made: Made::ByUs,
            probe: false,
        };
        let made = self.hydra.create(Deadline::after(limit), &mark, &new).await;
        made.map(|made| made.client_id)
    }

    async fn clients(&self, number: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..number {
            ids.push(self.create(Duration::from_secs(10)).await.unwrap());
        }
        ids.sort();
        ids
    }

    fn vanish(&self, ids: &[String]) {
        self.held().clients.retain(|id, _| !ids.contains(id));
    }

    async fn list(
        &self,
        of: &str,
        size: u16,
        token: Option<String>,
    ) -> Result<ManagedClients, Fault> {
        let page = Page { size, token };
        let deadline = Deadline::after(Duration::from_secs(10));
        self.hydra
            .list_marked(deadline, &installation(of), &page)
            .await
    }
}

fn installation(name: &str) -> Installation {
    Installation::parse(name).unwrap()
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ids(page: &ManagedClients) -> Vec<String> {
    let ids = page
        .clients
        .iter()
        .map(|client| client.client_id.to_string());
    ids.collect()
}

fn refusal(reason: &str) -> Response {
    let body = json!({"error": "The request was malformed", "error_description": reason});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// As Hydra 2.3 does: a token is an offset, and clients are in the order of their ids.
async fn list(
    State(held): State<Arc<Mutex<Held>>>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let held = lock(&held);
    let known = ["owner", "page_size", "page_token"];
    assert!(
        asked.keys().all(|name| known.contains(&name.as_str())),
        "{asked:?}"
    );
    let size: usize = asked["page_size"].parse().unwrap();
    assert!((1..=500).contains(&size));
    let offset = match asked.get("page_token").map(|token| token.parse()) {
        None => 0,
        Some(Ok(offset)) if !held.refuses_tokens => offset,
        Some(_) => return refusal("The page token is invalid."),
    };
    let owned = held
        .clients
        .values()
        .filter(|client| client["owner"] == asked["owner"].as_str());
    let owned: Vec<_> = owned.collect();
    let page: Vec<_> = owned.iter().skip(offset).take(size).collect();
    let next = offset + size;
    let link = format!(r#"</admin/clients?page_size={size}&page_token={next}>; rel="next""#);
    let link = (next < owned.len()).then_some(("link", link));
    (AppendHeaders(link), Json(json!(page))).into_response()
}

async fn create(State(held): State<Arc<Mutex<Held>>>, Json(mut asked): Json<Value>) -> Response {
    let mut held = lock(&held);
    held.creates += 1;
    if let Some(fewer) = held.contended.checked_sub(1) {
        held.contended = fewer;
        return refusal(CONTENDED);
    }
    let id = asked["client_id"].as_str().unwrap().to_owned();
    asked["client_secret"] = "planted-secret".into();
    let before = held.clients.insert(id, asked.clone());
    assert!(before.is_none());
    (StatusCode::CREATED, Json(asked)).into_response()
}

#[tokio::test]
async fn a_page_is_never_longer_than_wanted_while_clients_vanish() {
    let world = World::new().await;
    let all = world.clients(10).await;
    let first = world.list("i", 4, None).await.unwrap();
    assert_eq!(ids(&first), all[..4]);
    world.vanish(&all[..3]);

    let (mut got, mut token, mut size) = (Vec::new(), first.next, 4);
    let mut complete = false;
    while token.is_some() {
        let page = world.list("i", size, token).await.unwrap();
        assert!(
            page.clients.len() <= usize::from(size),
            "{size}: {:?}",
            ids(&page)
        );
        got.extend(ids(&page));
        // A shorter page may be asked for on the way.
        size = 1;
        token = page.next;
        complete = page.complete;
    }
    assert_eq!(got, all[4..]);
    assert!(complete);
}

#[tokio::test]
async fn a_list_that_has_lost_its_place_says_so_and_keeps_its_pages_short() {
    let world = World::new().await;
    let all = world.clients(9).await;
    let first = world.list("i", 3, None).await.unwrap();
    world.vanish(&all[..3]);

    let (mut got, mut token, mut complete) = (Vec::new(), first.next, true);
    while token.is_some() {
        let page = world.list("i", 3, token).await.unwrap();
        assert!(page.clients.len() <= 3, "{:?}", ids(&page));
        got.extend(ids(&page));
        token = page.next;
        complete = page.complete;
    }
    assert_eq!(got, all[3..]);
    assert!(!complete);
}

#[tokio::test]
async fn a_page_token_of_another_installation_or_that_hydra_refuses_is_told_as_such() {
    let world = World::new().await;
    world.clients(3).await;
    let token = world.list("i", 1, None).await.unwrap().next;
    let told = |page: Result<ManagedClients, Fault>| {
        let fault = page.err().unwrap();
        assert!(
            matches!(fault.kind(), FaultKind::Invalid { .. }),
            "{fault:?}"
        );
    };
    told(world.list("another", 1, token.clone()).await);
    assert!(world.list("i", 1, token.clone()).await.is_ok());
    world.held().refuses_tokens = true;
    told(world.list("i", 1, token).await);
}

#[tokio::test]
async fn a_change_that_met_another_one_is_sent_again() {
    let world = World::new().await;
    world.held().contended = 3;
    let made = world.create(Duration::from_secs(10)).await;
    assert!(made.is_ok(), "{made:?}");
    assert_eq!(world.held().creates, 4);
}

#[tokio::test]
async fn a_change_that_meets_others_each_time_is_told_as_not_made() {
    let world = World::new().await;
    world.held().contended = usize::MAX;
    let fault = world.create(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::Unavailable { after: None });
    let told = (fault.why(), fault.done());
    assert_eq!(told, (Reason::IdpUnavailable, Outcome::NotApplied));
    assert_eq!(world.held().creates, 8);
    assert!(world.held().clients.is_empty());
}
