//! The probes, by plain sockets, and the order in which a process ends.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::peer::{LONG, Peer, listener, soon, start};
use dcr_runtime::Shutdown;
use dcr_runtime::probes::Readiness;
use dcr_runtime::process::{self, Probes};
use dcr_runtime::shutdown::Left;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;

const SHORT: Duration = Duration::from_millis(50);

async fn process(
    readiness: Readiness,
    metrics: Registry,
    servers: impl Future<Output = ()> + Send + 'static,
    shutdown: &Shutdown,
) -> (SocketAddr, JoinHandle<()>) {
    let (listener, address) = listener().await;
    let shutdown = shutdown.clone();
    let task = start(async move {
        let probes = Probes {
            listener,
            readiness,
            metrics,
        };
        process::serve(probes, servers, || LONG, &shutdown).await;
    });
    (address, task)
}

async fn status(address: SocketAddr, method: &str, path: &str) -> String {
    let mut peer = Peer::connect(address).await;
    peer.ask(method, path).await;
    peer.answer()
        .await
        .chars()
        .skip("HTTP/1.1 ".len())
        .take(3)
        .collect()
}

#[tokio::test]
async fn ready_means_that_every_latch_is_set() {
    let shutdown = Shutdown::new();
    let readiness = Readiness::new(&shutdown);
    let (one, two) = (readiness.latch("one"), readiness.latch("two"));
    let (address, _task) = process(
        readiness,
        Registry::default(),
        shutdown.stopping(),
        &shutdown,
    )
    .await;
    assert_eq!(status(address, "GET", "/livez").await, "200");
    assert_eq!(status(address, "GET", "/readyz").await, "503");
    one.set();
    let mut peer = Peer::connect(address).await;
    assert!(peer.get("/readyz").await.ends_with("waiting for two\n"));
    two.set();
    assert_eq!(status(address, "GET", "/readyz").await, "200");
    one.clear();
    assert_eq!(status(address, "GET", "/readyz").await, "503");
}

#[tokio::test]
async fn a_stopping_process_is_alive_and_not_ready_until_its_tasks_have_ended() {
    let shutdown = Shutdown::new();
    let readiness = Readiness::new(&shutdown);
    let (end_task, wait) = tokio::sync::oneshot::channel::<()>();
    shutdown.tracker().spawn(async { wait.await.unwrap() });
    let (address, mut task) = process(
        readiness,
        Registry::default(),
        shutdown.stopping(),
        &shutdown,
    )
    .await;
    assert_eq!(status(address, "GET", "/readyz").await, "200");
    shutdown.stop();
    let early = tokio::time::timeout(Duration::from_millis(300), &mut task).await;
    assert!(early.is_err(), "the process ended before its task");
    assert_eq!(status(address, "GET", "/readyz").await, "503");
    assert_eq!(status(address, "GET", "/livez").await, "200");
    end_task.send(()).unwrap();
    soon("the process's end", task).await.unwrap();
}

#[tokio::test]
async fn tasks_that_do_not_end_are_given_up_and_counted() {
    let shutdown = Shutdown::new();
    shutdown.tracker().spawn(std::future::pending::<()>());
    let left = soon("the drain", shutdown.drain(SHORT)).await;
    assert_eq!((left.tasks, left.operations), (1, vec![]));
    soon("the end", shutdown.over()).await;
}

#[tokio::test]
async fn the_drain_waits_for_an_operation_and_names_one_that_it_gives_up() {
    let shutdown = Shutdown::new();
    let (finished, stuck) = (
        shutdown.unfinished("undo", "operation-1"),
        shutdown.unfinished("undo", "operation-2"),
    );
    drop(finished);
    let left = soon("the drain", shutdown.drain(SHORT)).await;
    assert_eq!(
        (left.tasks, left.operations),
        (1, vec!["operation-2".to_owned()])
    );
    drop(stuck);
    let left = soon("the drain", shutdown.drain(LONG)).await;
    assert_eq!(left, Left::default());
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let shutdown = Shutdown::new();
    let mut metrics = Registry::default();
    let sheep = Counter::<u64>::default();
    metrics.register("sheep", "Sheep counted", sheep.clone());
    sheep.inc_by(3);
    let readiness = Readiness::new(&shutdown);
    let (address, _task) = process(readiness, metrics, shutdown.stopping(), &shutdown).await;
    let mut peer = Peer::connect(address).await;
    let answer = peer.get("/metrics").await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.contains("\nsheep_total 3\n"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[tokio::test]
async fn probes_are_for_getting_alone() {
    let shutdown = Shutdown::new();
    let readiness = Readiness::new(&shutdown);
    let (address, _task) = process(
        readiness,
        Registry::default(),
        shutdown.stopping(),
        &shutdown,
    )
    .await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(status(address, "POST", path).await, "405", "{path}");
    }
    assert_eq!(status(address, "GET", "/").await, "404");
}

#[tokio::test]
async fn an_address_in_use_is_told_with_what_to_do() {
    let (_taken, address) = listener().await;
    let refused = dcr_runtime::listen::bind("probe_listen", address)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with(&format!("cannot listen on {address} (probe_listen): ")),
        "{refused}"
    );
    assert!(
        refused.ends_with("stop the process that has it, or choose another port"),
        "{refused}"
    );
}

#[tokio::test]
async fn how_long_tasks_may_take_is_asked_at_the_end() {
    let shutdown = Shutdown::new();
    let (listener, _) = listener().await;
    let probes = Probes {
        listener,
        readiness: Readiness::new(&shutdown),
        metrics: Registry::default(),
    };
    shutdown.tracker().spawn(std::future::pending::<()>());
    // A configuration that is read while the servers serve.
    let limit = Arc::new(Mutex::new(LONG));
    let servers = {
        let limit = Arc::clone(&limit);
        async move { *limit.lock().unwrap() = SHORT }
    };
    let ended = process::serve(probes, servers, || *limit.lock().unwrap(), &shutdown);
    soon("the end", ended).await;
}
