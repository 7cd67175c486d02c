//! Rows, intents, tombstones, lists.

use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason};
use dcr_connector::model::{Deadline, ManagedClient, OperationId, Page};
use dcr_connector::store::{Lookup, NewRow};
use std::time::Duration;

use crate::world::{World, id, insert, installation, mark, moments, new_row, row, soon, token_of};

pub(crate) async fn a_row_is_found_as_it_was_inserted(world: World) {
    let store = world.open();
    assert!(matches!(
        store.find(soon(), &id("a")).await.unwrap(),
        Lookup::Unknown
    ));
    let mark = insert(&store, "a").await;
    for found in [
        store.find(soon(), &id("a")).await.unwrap(),
        store
            .find_by_operation(soon(), mark.operation_id)
            .await
            .unwrap(),
        world.open().find(soon(), &id("a")).await.unwrap(),
    ] {
        let row = row(found);
        assert_eq!((row.client_id.as_str(), &row.mark), ("a", &mark));
        assert_eq!(token_of(&row), "planted-registration-token-a");
        assert_eq!(
            row.client_uri.as_deref(),
            Some("https://idp.example/register/a")
        );
        assert_eq!(row.metadata, new_row("a").metadata);
        assert!(row.registrations.is_empty() && row.doubtful_since.is_none());
    }
    let other = OperationId::generate();
    let found = store.find_by_operation(soon(), other).await.unwrap();
    assert!(matches!(found, Lookup::Unknown));
    // A server need not give a token, and may give an id that cannot be delivered.
    let bare = NewRow {
        client_id: "not/deliverable".to_owned(),
        registration_token: None,
        client_uri: None,
        metadata: String::new(),
    };
    let mark = crate::world::mark();
    store.insert(soon(), &mark, &bare).await.unwrap();
    let found = store
        .find_by_operation(soon(), mark.operation_id)
        .await
        .unwrap();
    let row = row(found);
    assert_eq!(row.client_id, "not/deliverable");
    assert!(row.registration_token.is_none() && row.client_uri.is_none());
}

pub(crate) async fn an_operation_makes_one_client_however_many_replicas_it_comes_to(world: World) {
    let [store, other] = world.replicas();
    let mark = mark();
    let repeated = |fault: Fault| {
        let told = (fault.why(), fault.done());
        assert_eq!(
            told,
            (Reason::OperationRepeated, Outcome::NotApplied),
            "{fault}"
        );
    };
    store.intend(soon(), &mark).await.unwrap();
    repeated(other.intend(soon(), &mark).await.unwrap_err());
    store.insert(soon(), &mark, &new_row("a")).await.unwrap();
    repeated(other.intend(soon(), &mark).await.unwrap_err());
    assert!(other.intents(soon()).await.unwrap().is_empty());
    // One that was made all the same is told from one that is known.
    repeated(
        other
            .insert(soon(), &mark, &new_row("b"))
            .await
            .unwrap_err(),
    );
    other.removed(soon(), &mark, "b").await;
    row(store.find(soon(), &id("a")).await.unwrap());
}

pub(crate) async fn a_client_that_was_removed_again_is_not_left_in_the_store(world: World) {
    let store = world.open();
    let (written, unwritten) = (insert(&store, "a").await, mark());
    store.intend(soon(), &unwritten).await.unwrap();
    store.removed(soon(), &written, "a").await;
    store.removed(soon(), &unwritten, "b").await;
    let found = store.find(soon(), &id("a")).await.unwrap();
    assert!(matches!(found, Lookup::Tombstone));
    assert!(store.intents(soon()).await.unwrap().is_empty());
}

pub(crate) async fn what_was_given_up_at_any_moment_leaves_no_intent(world: World) {
    let store = world.open();
    insert(&store, "a").await;
    for deadline in moments() {
        let mark = mark();
        if store.intend(deadline, &mark).await.is_ok() {
            store.drop_intent(soon(), mark.operation_id).await;
        }
        assert!(store.intents(soon()).await.unwrap().is_empty());
    }
}

pub(crate) async fn an_intent_stays_until_its_end_is_known(world: World) {
    let store = world.open();
    let (made, refused, lost) = (mark(), mark(), mark());
    for mark in [&made, &refused, &lost] {
        store.intend(soon(), mark).await.unwrap();
    }
    store.insert(soon(), &made, &new_row("a")).await.unwrap();
    store.drop_intent(soon(), refused.operation_id).await;
    let left = store.intents(soon()).await.unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|intent| intent.operation_id.clone())
        .collect();
    assert_eq!(left, [lost.operation_id.to_string()]);
    // One of a call that may still be on its way is no leftover.
    assert_eq!(store.counts(soon()).await.unwrap().intents, 0);
    assert_eq!(
        world
            .tamper("UPDATE dcr_intents SET started_at = started_at - 120001")
            .await,
        1
    );
    assert_eq!(store.counts(soon()).await.unwrap().intents, 1);
    let codes = |findings: Vec<dcr_connector::model::Finding>| {
        findings
            .into_iter()
            .map(|finding| finding.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        codes(store.check(soon()).await),
        ["STORE", "STORE_OPEN_INTENTS"]
    );
    let operation = lost.operation_id.to_string();
    assert!(store.forget_intent(soon(), &operation).await.unwrap());
    assert!(!store.forget_intent(soon(), &operation).await.unwrap());
    assert_eq!(codes(store.check(soon()).await), ["STORE"]);
}

pub(crate) async fn a_second_row_of_a_client_is_refused(world: World) {
    let store = world.open();
    let first = insert(&store, "a").await;
    let other = NewRow {
        metadata: "other".to_owned(),
        ..new_row("a")
    };
    let again = Deadline::after(Duration::from_secs(2));
    let fault = store.insert(again, &mark(), &other).await.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.done()),
        (&FaultKind::Conflict, Outcome::NotApplied)
    );
    let fault = store
        .insert(again, &first, &new_row("b"))
        .await
        .unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::Conflict);
    let kept = row(store.find(soon(), &id("a")).await.unwrap());
    assert_eq!((kept.mark, kept.metadata), (first, new_row("a").metadata));
    assert!(matches!(
        store.find(soon(), &id("b")).await.unwrap(),
        Lookup::Unknown
    ));
}

pub(crate) async fn what_was_buried_is_a_tombstone(world: World) {
    let store = world.open();
    let mark = insert(&store, "a").await;
    let held = store.hold(soon(), "a").await.unwrap();
    held.bury(soon()).await.unwrap();
    for found in [
        store.find(soon(), &id("a")).await.unwrap(),
        store
            .find_by_operation(soon(), mark.operation_id)
            .await
            .unwrap(),
    ] {
        assert!(matches!(found, Lookup::Tombstone), "{found:?}");
    }
    let fault = store.hold(soon(), "a").await.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::NotFound);
    assert_eq!(store.counts(soon()).await.unwrap().rows, 0);
    let fault = store
        .insert(soon(), &crate::world::mark(), &new_row("a"))
        .await
        .unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::Conflict);
    // An operator buries what is gone at the IdP.
    insert(&store, "b").await;
    store.bury(soon(), "b").await.unwrap();
    assert!(matches!(
        store.find(soon(), &id("b")).await.unwrap(),
        Lookup::Tombstone
    ));
    let fault = store.bury(soon(), "b").await.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::NotFound);
}

pub(crate) async fn a_list_has_every_live_client_of_the_installation_once(world: World) {
    let store = world.open();
    let mut expected = Vec::new();
    for number in 0..25 {
        let client_id = format!("c{number:02}");
        let mark = insert(&store, &client_id).await;
        expected.push((client_id, mark.operation_id));
    }
    store.bury(soon(), "c07").await.unwrap();
    expected.retain(|(client_id, _)| client_id != "c07");
    let mut elsewhere = mark();
    elsewhere.caller.installation = "staging".parse().unwrap();
    store
        .insert(soon(), &elsewhere, &new_row("c08-elsewhere"))
        .await
        .unwrap();
    let (mut listed, mut token) = (Vec::<ManagedClient>::new(), None);
    loop {
        let page = Page { size: 5, token };
        let got = store.list(soon(), &installation(), &page).await.unwrap();
        assert!(got.clients.len() <= 5);
        listed.extend(got.clients);
        if got.next.is_none() {
            assert!(got.complete);
            break;
        }
        token = got.next;
    }
    assert!(
        listed
            .iter()
            .all(|client| client.created_at.is_some() && !client.probe)
    );
    let listed: Vec<_> = listed
        .into_iter()
        .map(|client| (client.client_id.to_string(), client.operation_id))
        .collect();
    assert_eq!(listed, expected);
}
