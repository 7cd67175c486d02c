//! The suite finds what a connector does wrong: a connector that breaks one rule at a time stands before the one that
//! keeps them all.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::unnecessary_wraps,
    reason = "what plays the faulty connector belongs to the test, and ends with it"
)]

mod command;
mod edit;
mod end;
mod fault;
mod memory;
mod pings;
mod service;
mod stand_in;
mod state;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use dcr_conformance::{Checked, Options, Report, list, run, run_until};
use dcr_proto::v1;
use dcr_proto::v1::connector_service_client::ConnectorServiceClient;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::fault::{ALL, Broken, Fault};
use crate::stand_in::StandIn;

/// How many connectors run at once.
const AT_ONCE: usize = 8;

/// Runs what the table says against a connector with this fault.
async fn against(fault: Fault, only: Vec<String>) -> Report {
    let behind = memory::start().await;
    let stand_in = StandIn::start().await;
    let terminate = Some(stand_in.id());
    let address = service::start(fault, &behind.connector, stand_in).await;
    // Longer than the others take to end.
    let never = Duration::from_secs(1);
    let options = Options {
        settle: true,
        terminate,
        terminate_within: (fault == Fault::NeverEnds).then_some(never),
        connector: format!("http://{address}"),
        only,
        cancellations: 10,
        patience: Duration::from_millis(300),
        // So that each check is alone with the fault.
        parallel: 1,
        ..behind
    };
    run(options).await.unwrap()
}

/// What is not as the table says.
async fn judged(broken: Broken) -> Option<String> {
    let groups = broken
        .found_by
        .iter()
        .map(|name| name.split_inclusive('/').next().unwrap());
    let run = if broken.run.is_empty() {
        groups.collect()
    } else {
        broken.run.to_vec()
    };
    let report = against(broken.fault, run.into_iter().map(str::to_owned).collect()).await;
    let failed: Vec<_> = report.failed().map(Checked::full_name).collect();
    (failed != broken.found_by).then(|| {
        let text = report.text(false);
        format!(
            "{:?} must be found by {:#?}, and was by {failed:#?}\n{text}",
            broken.fault, broken.found_by
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_rule_is_found_by_its_checks_and_no_other() {
    let only = std::env::var_os("FAULT").map(|name| name.into_string().unwrap());
    let chosen = |broken: &&Broken| {
        only.as_ref()
            .is_none_or(|name| format!("{:?}", broken.fault) == *name)
    };
    let mut left = ALL.iter().filter(chosen).copied();
    let (mut running, mut wrong) = (JoinSet::new(), Vec::new());
    loop {
        while running.len() < AT_ONCE
            && let Some(broken) = left.next()
        {
            running.spawn(judged(broken));
        }
        match running.join_next().await {
            None => break,
            Some(joined) => wrong.extend(joined.unwrap()),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are not as the table says:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_nothing_is_found() {
    let report = against(Fault::None, Vec::new()).await;
    report.assert_passed();
    assert_eq!(report.skipped().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_to_slow_down_is_waited_for() {
    let only = ["delete/", "rotate/", "listing/"].map(str::to_owned);
    let report = against(Fault::Throttles, only.into()).await;
    report.assert_passed();
}

/// A token endpoint before another, which refuses with 401 and without a code of OAuth's.
async fn refusing_in_its_own_words(behind: String) -> String {
    let asked = async move |headers: HeaderMap, body: Bytes| {
        let http = reqwest::Client::new().post(behind.clone());
        let answer = http.headers(headers).body(body).send().await.unwrap();
        if answer.status().is_success() {
            (StatusCode::OK, answer.bytes().await.unwrap())
        } else {
            (
                StatusCode::UNAUTHORIZED,
                Bytes::from("{\"error\": \"access_denied\"}"),
            )
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().fallback(asked);
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_of_the_token_endpoint_refuses_whatever_it_says() {
    let mut options = memory::start().await;
    options.only = vec!["rotate/ends_the_old_secret".to_owned()];
    let url = options.tokens.token_url.take().unwrap();
    options.tokens.token_url = Some(refusing_in_its_own_words(url).await);
    run(options).await.unwrap().assert_passed();
}

#[test]
fn every_check_is_failed_by_some_fault() {
    let found_by: BTreeSet<_> = ALL
        .iter()
        .flat_map(|broken| broken.found_by)
        .map(|name| (*name).to_owned())
        .collect();
    let checks: BTreeSet<_> = list().map(|(name, ..)| name).collect();
    let never: Vec<_> = checks.difference(&found_by).collect();
    assert!(never.is_empty(), "no fault is found by {never:?}");
    let unknown: Vec<_> = found_by.difference(&checks).collect();
    assert!(unknown.is_empty(), "there is no check {unknown:?}");
}

/// How many clients a connector lists, in the installation of these options.
async fn clients(options: &Options) -> usize {
    let caller = v1::Caller {
        installation: options.installation.clone(),
        provider_id: options.provider.clone(),
    };
    let channel = Channel::from_shared(options.connector.clone()).unwrap();
    let request = v1::ListManagedClientsRequest {
        caller: Some(caller),
        ..v1::ListManagedClientsRequest::default()
    };
    let listed = ConnectorServiceClient::new(channel.connect_lazy())
        .list_managed_clients(request)
        .await;
    listed.unwrap().into_inner().clients.len()
}

/// The one that was there before.
const BEFORE: usize = 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_cleans_up_and_has_not_passed() {
    let options = memory::start().await;
    let ended = Notify::new();
    let ending = run_until(
        options.clone(),
        || ended.notified(),
        |_| ended.notify_waiters(),
    );
    let report = ending.await.unwrap();
    assert!(report.stopped && !report.passed());
    let left = report.skipped().filter(|checked| {
        checked.result
            == dcr_conformance::Result::Skipped {
                why: "the run was stopped".to_owned(),
            }
    });
    assert!(left.count() > 10, "{}", report.text(false));
    assert_eq!(clients(&options).await, BEFORE);
}

/// A run that is stopped while a create is under way that is never answered.
async fn stopped_in_a_create(fault: Fault, stops: usize) -> (Options, Report) {
    let behind = memory::start().await;
    let address = service::start(fault, &behind.connector, StandIn::start().await).await;
    let options = Options {
        connector: format!("http://{address}"),
        only: vec!["create/the_least".to_owned()],
        patience: Duration::from_millis(300),
        ..behind.clone()
    };
    // First when the client is there, then at once: by then the connector behind may have undone it by itself.
    let stop = async |stopped: usize| {
        if stopped == stops {
            return std::future::pending().await;
        }
        while stopped == 0 && clients(&behind).await == BEFORE {
            tokio::task::yield_now().await;
        }
    };
    let mut numbers = 0..=stops;
    let report = run_until(options, || stop(numbers.next().unwrap_or(stops)), |_| {}).await;
    (behind, report.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_under_way_when_the_run_is_stopped_is_aborted() {
    let (behind, report) = stopped_in_a_create(Fault::NeverAnswersCreates, 1).await;
    assert!(report.stopped);
    assert_eq!(report.failed().count(), 0, "{}", report.text(false));
    assert_eq!(clients(&behind).await, BEFORE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_that_is_stopped_names_what_may_be_left_though_nobody_asked() {
    let (_, report) = stopped_in_a_create(Fault::NeverAnswersAborts, 2).await;
    let failed: Vec<_> = report.failed().map(Checked::full_name).collect();
    let text = report.text(false);
    assert_eq!(
        failed,
        ["clean_up/everything_that_the_run_made_is_gone"],
        "{text}"
    );
    assert!(text.contains("the create of operation 0"), "{text}");
}
