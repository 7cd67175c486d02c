//! What is undone, and what an abort is answered, where an IdP's reads lag, its answers are lost or it has no labels.

mod clean_up;
mod once_more;
mod room;
pub(crate) mod scripted;

use std::sync::Arc;
use std::time::Duration;

use dcr_runtime::Shutdown;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use self::scripted::{SETTLE_AFTER, Scripted};
use super::{Imported, Managed, Protections};
use crate::Connector;
use crate::fault::{Fault, FaultKind, Outcome};
use crate::mark::{Made, Mark};
use crate::model::{
    Abort, AbortTarget, AddedSecret, Call, Caller, ClientId, ClientName, CreatedClient, Deadline,
    GrantType, Installation, NewClient, OperationId, Origin, ProviderId, Reference,
};

struct World {
    idp: Scripted,
    connector: Managed<Scripted>,
    shutdown: Shutdown,
}

fn caller(provider: &str) -> Caller {
    Caller {
        installation: Installation::parse("i").unwrap(),
        provider_id: ProviderId::parse(provider).unwrap(),
    }
}

fn call() -> Call {
    Call {
        caller: caller("p"),
        deadline: Deadline::after(Duration::from_secs(9)),
        reference: Reference::generate(),
    }
}

fn client_id() -> ClientId {
    ClientId::parse("c").unwrap()
}

impl World {
    fn new(idp: Scripted) -> Self {
        Self::with_room(idp, 1000)
    }

    /// One where so many may wait to be undone.
    fn with_room(idp: Scripted, most: usize) -> Self {
        let shutdown = Shutdown::new();
        let (imported, protections) = (Imported::default(), Protections::default());
        let connector = Managed::bounded(idp.clone(), imported, &shutdown, protections, most);
        Self {
            idp,
            connector,
            shutdown,
        }
    }

    /// One with a client that this provider has.
    fn with_client(idp: Scripted, provider: &str) -> Self {
        let mark = Mark {
            caller: caller(provider),
            operation_id: OperationId::generate(),
            made: Made::ByUs,
            probe: false,
        };
        idp.table().clients.push(("c".to_owned(), mark));
        Self::new(idp)
    }

    async fn create(&self, operation: OperationId) -> Result<CreatedClient, Fault> {
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
        self.connector
            .create_client(&call(), operation, client)
            .await
    }

    async fn add(&self, operation: OperationId) -> Result<AddedSecret, Fault> {
        self.connector
            .add_client_secret(&call(), operation, &client_id())
            .await
    }

    async fn abort(&self, operation: OperationId, target: AbortTarget) -> Abort {
        let abort = self
            .connector
            .abort_operation(&call(), operation, target)
            .await;
        abort.unwrap()
    }

    async fn abort_add(&self, operation: OperationId) -> Abort {
        self.abort(operation, AbortTarget::AddSecret(client_id()))
            .await
    }

    /// A call that begins, and whose caller does not wait for its end.
    async fn gone<T>(&self, call: impl Future<Output = T>) {
        let gone = tokio::time::timeout(Duration::from_secs(1), call).await;
        assert!(gone.is_err(), "it has ended");
    }

    /// Waits for what other tasks do.
    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if is_so(self) {
                return;
            }
            yield_now().await;
        }
        panic!("it does not come to that");
    }

    /// Waits until nothing is left to undo; how long that took.
    async fn settled(&self) -> Duration {
        let began = Instant::now();
        self.shutdown.tracker().close();
        self.shutdown.tracker().wait().await;
        began.elapsed()
    }

    fn counts(&self, outcome: &str, times: u64) -> bool {
        let (mut registry, mut text) = (Registry::default(), String::new());
        self.connector.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.contains(&format!(
            r#"dcr_undos_total{{outcome="{outcome}"}} {times}"#
        ))
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_took_is_undone_although_the_first_reads_do_not_show_it() {
    // Not at first; then it is seen, and not any more once it is locked.
    for shows in [&[false][..], &[true, false]] {
        let mut idp = Scripted::new(true);
        idp.gate = Arc::new(Semaphore::new(0));
        let world = World::new(idp);
        world.gone(world.create(OperationId::generate())).await;
        world.idp.table().shows.extend(shows);
        world.idp.gate.add_permits(1);
        let took = world.settled().await;
        assert!(took >= SETTLE_AFTER, "{took:?}");
        assert_eq!(world.idp.table().clients, []);
        assert!(world.counts("gone", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_konnect_could_not_keep_is_undone_although_the_first_read_does_not_show_it() {
    let world = World::new(Scripted::new(true));
    {
        let mut table = world.idp.table();
        table.id = "no/id";
        table.shows.push_back(false);
    }
    let fault = world.create(OperationId::generate()).await.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.done()),
        (&FaultKind::Internal, Outcome::Unknown)
    );
    world.settled().await;
    assert_eq!(world.idp.table().clients, []);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_made_is_looked_for_twice_and_counted() {
    let world = World::new(Scripted::new(true));
    let operation = OperationId::generate();
    for _ in 0..3 {
        assert_eq!(
            world.abort(operation, AbortTarget::Create).await,
            Abort::Accepted
        );
    }
    let took = world.settled().await;
    assert!(took >= SETTLE_AFTER, "{took:?}");
    assert_eq!(world.idp.table().searches, 2);
    assert!(world.counts("nothing", 1));
    assert_eq!(
        world.abort(operation, AbortTarget::Create).await,
        Abort::Accepted
    );
}

#[tokio::test]
async fn without_labels_an_abort_of_what_is_not_known_says_so_however_often() {
    let world = World::with_client(Scripted::new(false), "p");
    let operation = OperationId::generate();
    for _ in 0..3 {
        assert_eq!(world.abort_add(operation).await, Abort::Cannot);
    }
    let late = world.add(operation).await.unwrap_err();
    assert_eq!(late.kind(), &FaultKind::Conflict);
    assert_eq!(world.idp.table().secrets, []);
}

#[tokio::test]
async fn without_labels_what_cannot_have_been_added_is_not_told_as_lost() {
    // Its task ended without a secret: there is no such client.
    let world = World::new(Scripted::new(false));
    let operation = OperationId::generate();
    world.add(operation).await.unwrap_err();
    assert_eq!(world.abort_add(operation).await, Abort::Undone);

    // No secret is ever added, by no replica.
    let mut idp = Scripted::new(false);
    idp.adds = false;
    let world = World::with_client(idp, "p");
    for comes_first in [true, false] {
        let operation = OperationId::generate();
        if comes_first {
            let fault = world.add(operation).await.unwrap_err();
            assert_eq!(fault.kind(), &FaultKind::Unsupported);
        }
        for _ in 0..2 {
            assert_eq!(world.abort_add(operation).await, Abort::Undone);
        }
        let late = world.add(operation).await.unwrap_err();
        assert_eq!(late.kind(), &FaultKind::Conflict);
    }
}

/// An added secret that is aborted while its task runs, and what the abort is answered before and after its end.
async fn aborted_while_it_runs(loses_answers: bool) -> (World, [Abort; 2]) {
    let mut idp = Scripted::new(false);
    idp.gate = Arc::new(Semaphore::new(0));
    idp.table().loses_answers = loses_answers;
    let world = Arc::new(World::with_client(idp, "p"));
    let operation = OperationId::generate();
    let mut adding = JoinSet::new();
    let adder = Arc::clone(&world);
    adding.spawn(async move { adder.add(operation).await });
    while adding.len() == 1 && world.shutdown.tracker().is_empty() {
        yield_now().await;
    }
    let before = world.abort_add(operation).await;
    world.idp.gate.add_permits(1);
    adding.join_all().await.remove(0).unwrap_err();
    world.settled().await;
    let after = world.abort_add(operation).await;
    (Arc::into_inner(world).unwrap(), [before, after])
}

#[tokio::test(start_paused = true)]
async fn without_labels_a_secret_whose_addition_runs_undoes_itself_at_its_end() {
    let (world, aborts) = aborted_while_it_runs(false).await;
    assert_eq!(aborts, [Abort::Accepted, Abort::Undone]);
    assert_eq!(world.idp.table().secrets, []);
}

#[tokio::test(start_paused = true)]
async fn without_labels_a_secret_whose_answer_is_lost_cannot_be_undone_and_that_is_not_hidden() {
    let (world, aborts) = aborted_while_it_runs(true).await;
    assert_eq!(aborts, [Abort::Accepted, Abort::Cannot]);
    assert_eq!(world.idp.table().secrets.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_a_client_that_is_another_providers_is_left_alone() {
    let world = World::with_client(Scripted::new(true), "q");
    let operation = OperationId::generate();
    let theirs = ("secret-of-q".to_owned(), operation);
    world.idp.table().secrets.push(theirs.clone());
    for _ in 0..2 {
        assert_eq!(world.abort_add(operation).await, Abort::Left);
    }
    world.settled().await;
    assert_eq!(world.idp.table().secrets, [theirs]);
    assert!(world.counts("left", 1));
}

#[tokio::test(start_paused = true)]
async fn an_abort_removes_the_secret_that_the_operation_added_whatever_client_it_names() {
    let world = World::with_client(Scripted::new(false), "p");
    let operation = OperationId::generate();
    world.add(operation).await.unwrap();
    let other = AbortTarget::AddSecret(ClientId::parse("other").unwrap());
    assert_eq!(world.abort(operation, other).await, Abort::Undone);
    assert_eq!(world.idp.table().secrets, []);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_begun_when_its_caller_went_is_not_begun_at_all() {
    let world = World::new(Scripted::new(true));
    tokio::select! {
        biased;
        _ = world.create(OperationId::generate()) => panic!("nothing has run yet"),
        () = std::future::ready(()) => {}
    }
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(world.idp.table().made, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_the_client_when_its_caller_went_is_not_begun_and_has_ended() {
    let mut idp = Scripted::new(false);
    idp.gate = Arc::new(Semaphore::new(0));
    let world = World::with_client(idp, "p");
    let (first, second) = (OperationId::generate(), OperationId::generate());
    world.gone(world.add(first)).await;
    // The first still works on the client.
    world.gone(world.add(second)).await;
    world.idp.gate.add_permits(2);
    // Its end is waited for: what the second made would have nobody who takes it, nor anybody who finds it.
    world.settled().await;
    assert!(
        world
            .idp
            .table()
            .secrets
            .iter()
            .all(|(_, of)| *of != second)
    );
    assert_eq!(
        world.idp.gate.available_permits(),
        1,
        "the second was begun"
    );
    assert_eq!(world.abort_add(second).await, Abort::Undone);
}
