//! Operations, as a connector keeps them apart: repeated ones, aborted ones, and what was made for Konnect's Verify.

use std::net::SocketAddr;
use std::time::Duration;

use dcr_contract::model::{
    Abort, AbortTarget, AddedSecret, Call, Caller, ClientId, ClientName, ClientSecret,
    CreatedClient, Deadline, GrantType, Installation, NewClient, OperationId, Origin, ProviderId,
    Reference,
};
use dcr_contract::{Connector as _, ConnectorAddress, Fault, FaultKind, Outcome, Reason, Remote};
use dcr_tests::Mishap;
use dcr_tests::bridge::INSTALLATION;
use dcr_tests::konnect::{application, event, verify};
use dcr_tests::small_idp::CLIENTS;
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

use crate::start::{Bridge, bridge, bridge_with};

/// A connector, called as the gateway calls it.
pub(crate) fn remote(address: SocketAddr) -> Remote {
    let address = ConnectorAddress::parse(&format!("http://{address}")).unwrap();
    Remote::new(&address, None).unwrap()
}

fn call() -> Call {
    Call {
        caller: Caller {
            installation: Installation::parse(INSTALLATION).unwrap(),
            provider_id: ProviderId::parse("one").unwrap(),
        },
        deadline: Deadline::after(Duration::from_secs(9)),
        reference: Reference::generate(),
    }
}

pub(crate) async fn create(
    remote: &Remote,
    operation: OperationId,
) -> Result<CreatedClient, Fault> {
    let client = NewClient {
        name: ClientName::parse("ferry").unwrap(),
        description: None,
        redirect_uris: Vec::new(),
        grant_types: vec![GrantType::ClientCredentials],
        scopes: Vec::new(),
        token_endpoint_auth_method: None,
        origin: Origin::default(),
        probe: false,
    };
    remote.create_client(&call(), operation, client).await
}

async fn add(
    remote: &Remote,
    client: &ClientId,
    operation: OperationId,
) -> Result<AddedSecret, Fault> {
    remote.add_client_secret(&call(), operation, client).await
}

pub(crate) async fn abort(remote: &Remote, operation: OperationId, target: AbortTarget) -> Abort {
    let aborted = remote.abort_operation(&call(), operation, target).await;
    aborted.unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the application opens its secret"
)]
async fn opens(bridge: &Bridge, client: &ClientId, secret: &ClientSecret) -> bool {
    let secret = secret.value().expose_secret();
    bridge.tokens().opens(client.as_str(), secret).await
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Fault>) -> (Reason, Outcome) {
    let fault = result.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::Conflict, "{fault}");
    (fault.why(), fault.done())
}

#[tokio::test]
async fn a_create_that_comes_twice_makes_one_client_and_spares_it() {
    let bridge = bridge().await;
    let replica = bridge.replica().await;
    let operation = OperationId::generate();
    let first = create(&remote(bridge.connector.address), operation)
        .await
        .unwrap();
    for again in [bridge.connector.address, replica.address] {
        let again = create(&remote(again), operation).await;
        assert_eq!(
            refused(again),
            (Reason::OperationRepeated, Outcome::NotApplied)
        );
    }
    assert!(opens(&bridge, &first.client_id, &first.secret).await);
    assert_eq!(bridge.idp().clients().await.len(), 1);
}

#[tokio::test]
async fn an_added_secret_or_a_rotation_that_comes_twice_is_done_once() {
    let bridge = bridge().await;
    let replica = bridge.replica().await;
    let (one, two) = (remote(bridge.connector.address), remote(replica.address));
    let client = create(&one, OperationId::generate()).await.unwrap();
    let operation = OperationId::generate();
    let added = add(&one, &client.client_id, operation).await.unwrap();
    for again in [&one, &two] {
        let again = add(again, &client.client_id, operation).await;
        assert_eq!(
            refused(again),
            (Reason::OperationRepeated, Outcome::NotApplied)
        );
    }
    for secret in [&client.secret, &added.secret] {
        assert!(opens(&bridge, &client.client_id, secret).await);
    }

    let operation = OperationId::generate();
    let rotated = one
        .rotate_client_secret(&call(), operation, &client.client_id)
        .await
        .unwrap();
    let again = one
        .rotate_client_secret(&call(), operation, &client.client_id)
        .await;
    assert_eq!(
        refused(again),
        (Reason::OperationRepeated, Outcome::NotApplied)
    );
    assert!(opens(&bridge, &client.client_id, &rotated.secret).await);
}

#[tokio::test]
async fn a_create_that_arrives_after_its_abort_is_refused() {
    let bridge = bridge().await;
    let remote = remote(bridge.connector.address);
    let operation = OperationId::generate();
    assert_eq!(
        abort(&remote, operation, AbortTarget::Create).await,
        Abort::Accepted
    );
    let late = create(&remote, operation).await;
    assert_eq!(
        refused(late),
        (Reason::OperationAborted, Outcome::NotApplied)
    );
    bridge.nothing_left().await;
}

#[tokio::test]
async fn an_aborted_create_is_undone_by_any_replica() {
    let bridge = bridge().await;
    let replica = bridge.replica().await;
    for aborting in [bridge.connector.address, replica.address] {
        let operation = OperationId::generate();
        create(&remote(bridge.connector.address), operation)
            .await
            .unwrap();
        let aborting = remote(aborting);
        for _ in 0..2 {
            let done = abort(&aborting, operation, AbortTarget::Create).await;
            assert_eq!(done, Abort::Undone);
        }
        bridge.nothing_left().await;
    }
}

#[tokio::test]
async fn a_create_that_is_aborted_while_it_runs_undoes_itself() {
    let bridge = bridge().await;
    let remote = remote(bridge.connector.address);
    let operation = OperationId::generate();
    let (held, gate) = Mishap::held();
    bridge.proxy.spoil(Method::POST, CLIENTS, held);
    let aborting = async {
        bridge.proxy.held(1).await;
        // The client is there and its secret is on the way: what was removed must not be delivered.
        let done = abort(&remote, operation, AbortTarget::Create).await;
        gate.open();
        done
    };
    let (created, done) = tokio::join!(create(&remote, operation), aborting);
    assert_eq!(done, Abort::Undone);
    assert_eq!(refused(created).0, Reason::OperationAborted);
    bridge.nothing_left().await;
}

#[tokio::test]
async fn a_create_that_ends_after_its_abort_was_settled_looks_at_what_is_there() {
    let bridge = bridge().await;
    let replica = bridge.replica().await;
    let (one, two) = (remote(bridge.connector.address), remote(replica.address));
    let operation = OperationId::generate();
    let (held, gate) = Mishap::held();
    bridge.proxy.spoil(Method::POST, CLIENTS, held);
    let meanwhile = async {
        bridge.proxy.held(1).await;
        let done = abort(&one, operation, AbortTarget::Create).await;
        assert_eq!(done, Abort::Undone);
        // A line that sends again has brought the request to another replica, whose commit comes late.
        let late = create(&two, operation).await;
        assert!(late.is_ok());
        gate.open();
    };
    let (created, ()) = tokio::join!(create(&one, operation), meanwhile);
    assert_eq!(refused(created).0, Reason::OperationAborted);
    bridge.nothing_left().await;
}

/// A client that Konnect made, and the operation that made it.
async fn delivered(bridge: &Bridge) -> (String, String, OperationId) {
    let client = bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .created();
    let id = client.client_id.to_string();
    let found = bridge.idp().client(&id).await.unwrap();
    let operation = found.pointer("/attributes/dcr_operation").unwrap();
    let operation = operation.as_str().unwrap();
    let operation = OperationId::parse(operation).unwrap();
    (id, client.client_secret.to_string(), operation)
}

#[tokio::test]
async fn a_client_that_konnect_has_named_since_is_never_undone() {
    let bridge = bridge().await;
    let remote = remote(bridge.connector.address);
    let (id, secret, operation) = delivered(&bridge).await;
    bridge.konnect().list(&id).await.listed(&id);
    let done = abort(&remote, operation, AbortTarget::Create).await;
    assert_eq!(done, Abort::Left);
    assert!(bridge.tokens().opens(&id, &secret).await);
}

#[tokio::test]
async fn a_client_with_a_registration_is_never_undone_not_even_by_another_replica() {
    let grants =
        "  grants:\n  - audience: https://api.ferry.example\n    scopes: [timetable.read]\n";
    let bridge = bridge_with(&["one"], grants, "").await;
    let replica = bridge.replica().await;
    let (id, secret, operation) = delivered(&bridge).await;
    let members =
        json!({"api_id": Uuid::new_v4().to_string(), "audience": "https://api.ferry.example"});
    let registration = event("add_registration", &id, &members);
    bridge.konnect().hook(&id, &registration).await.heard();
    let done = abort(&remote(replica.address), operation, AbortTarget::Create).await;
    assert_eq!(done, Abort::Left);
    assert!(bridge.tokens().opens(&id, &secret).await);
}

#[tokio::test]
async fn an_aborted_secret_goes_alone_and_any_replica_finds_it() {
    let bridge = bridge().await;
    let replica = bridge.replica().await;
    let one = remote(bridge.connector.address);
    let client = create(&one, OperationId::generate()).await.unwrap();
    let id = &client.client_id;
    for aborting in [bridge.connector.address, replica.address] {
        let operation = OperationId::generate();
        let added = add(&one, id, operation).await.unwrap();
        assert!(opens(&bridge, id, &added.secret).await);
        let target = AbortTarget::AddSecret(id.clone());
        let done = abort(&remote(aborting), operation, target).await;
        assert_eq!(done, Abort::Undone);
        assert!(!opens(&bridge, id, &added.secret).await);
        assert!(opens(&bridge, id, &client.secret).await);
    }
}

#[tokio::test]
async fn what_cannot_be_undone_now_is_undone_when_the_idp_is_back() {
    let mut bridge = bridge().await;
    let remote = remote(bridge.connector.address);
    let client = create(&remote, OperationId::generate()).await.unwrap();
    let operation = OperationId::generate();
    let added = add(&remote, &client.client_id, operation).await.unwrap();
    bridge.proxy.stop().await;
    let target = AbortTarget::AddSecret(client.client_id.clone());
    assert_eq!(abort(&remote, operation, target).await, Abort::Accepted);
    bridge.proxy.resume();
    bridge
        .connector
        .process
        .line(|line| line.contains("has been removed").then_some(()))
        .await;
    assert!(!opens(&bridge, &client.client_id, &added.secret).await);
    assert!(opens(&bridge, &client.client_id, &client.secret).await);
}

#[tokio::test]
async fn an_operation_of_long_ago_is_not_aborted() {
    let bridge = bridge().await;
    let remote = remote(bridge.connector.address);
    let operation = made_ago(Duration::from_mins(16));
    let client = create(&remote, operation).await.unwrap();
    let aborted = remote
        .abort_operation(&call(), operation, AbortTarget::Create)
        .await;
    let fault = aborted.unwrap_err();
    assert!(matches!(fault.kind(), FaultKind::Invalid(_)), "{fault}");
    assert!(opens(&bridge, &client.client_id, &client.secret).await);
}

fn made_ago(age: Duration) -> OperationId {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let made = Timestamp::from_unix(NoContext, now.checked_sub(age).unwrap().as_secs(), 0);
    OperationId::parse(&Uuid::new_v7(made).to_string()).unwrap()
}

/// A client as the connector makes them, made by hand.
fn marked(name: &str, age: Duration, more: &Value) -> Value {
    let operation = made_ago(age);
    let mut attributes = json!({
        "dcr_installation": INSTALLATION,
        "dcr_provider": "one",
        "dcr_operation": operation.to_string(),
    });
    let more = more.as_object().unwrap().clone();
    attributes.as_object_mut().unwrap().extend(more);
    json!({
        "client_id": name,
        "name": name,
        "grant_types": ["client_credentials"],
        "attributes": attributes,
    })
}

#[tokio::test]
async fn clients_of_old_verifies_are_removed_at_the_start_and_at_the_next_verify() {
    let bridge = bridge().await;
    let (old, young) = (Duration::from_mins(11), Duration::from_mins(9));
    let probe = json!({"dcr_probe": "true"});
    let elsewhere = json!({"dcr_probe": "true", "dcr_installation": "elsewhere"});
    let adopted = json!({"dcr_probe": "true", "dcr_adopted": "owned"});
    for client in [
        marked("young", young, &probe),
        marked("delivered", old, &json!({})),
        marked("elsewhere", old, &elsewhere),
        marked("adopted", old, &adopted),
        // The last of the list: when it is gone, the others have been looked at.
        marked("old", old, &probe),
    ] {
        bridge.idp().insert(&client).await;
    }
    let mut replica = bridge.replica().await;
    replica
        .process
        .line(|line| {
            line.contains("made for Konnect's Verify has been removed")
                .then_some(())
        })
        .await;
    let left = || async {
        let clients = bridge.idp().clients().await;
        let name = |client: &Value| client["name"].as_str().unwrap().to_owned();
        clients.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(left().await, ["young", "delivered", "elsewhere", "adopted"]);

    bridge.idp().insert(&marked("old-again", old, &probe)).await;
    let mut bridge = bridge;
    bridge.konnect().create(&verify()).await.created();
    let process = &mut bridge.connector.process;
    process
        .line(|line| {
            line.contains("made for Konnect's Verify has been removed")
                .then_some(())
        })
        .await;
    let left = bridge.idp().clients().await;
    assert!(left.iter().all(|client| client["name"] != "old-again"));
}
