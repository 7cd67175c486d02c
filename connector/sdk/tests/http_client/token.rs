//! The access token: got once for all, renewed in time, kept while it works.

use std::time::Duration;

use dcr_connector::fault::{Outcome, Reason};
use dcr_connector::model::Deadline;

use crate::common::{
    TOKEN, all_ok, answer, authorized, bore, callers, done, get_thing, granted, pass, short, start,
    told,
};
use crate::server::{Gate, Reply, Server};

const THING: &str = "GET /thing";

/// When a token of 100 s is old, and still works.
const OLD: Duration = Duration::from_secs(85);

#[tokio::test]
async fn one_token_is_fetched_for_fifty_callers_at_once_and_used_by_all() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN => held.hold(granted(asked)),
        THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let callers = callers(&client, 50);
    gate.reached_by(1).await;
    assert_eq!(idp.lines(), [TOKEN], "nobody goes ahead without a token");
    gate.open();
    all_ok(done(callers).await);
    assert_eq!(idp.asked(TOKEN).len(), 1);
    assert_eq!(bore(&idp.asked(THING)), [1; 50]);
}

#[tokio::test]
async fn an_old_token_is_renewed_by_one_caller_while_the_others_go_on_with_it() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN if asked.nth == 1 => granted(asked),
        TOKEN => held.hold(granted(asked)),
        THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    all_ok(done(callers(&client, 1)).await);
    pass(OLD).await;
    let renewing = start(&client, get_thing);
    gate.reached_by(1).await;
    all_ok(done(callers(&client, 10)).await);
    assert_eq!(bore(&idp.asked(THING)), [1; 11]);
    gate.open();
    all_ok(done(renewing).await);
    all_ok(done(callers(&client, 10)).await);
    assert_eq!(bore(&idp.asked(THING))[11..], [2; 11]);
    assert_eq!(idp.asked(TOKEN).len(), 2);
}

#[tokio::test]
async fn a_token_that_has_expired_is_not_sent_again() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    all_ok(done(callers(&client, 1)).await);
    pass(Duration::from_secs(100)).await;
    all_ok(done(callers(&client, 20)).await);
    let asked = idp.asked(THING);
    assert_eq!(bore(&asked)[..1], [1]);
    assert_eq!(bore(&asked)[1..], [2; 20]);
}

/// The numbers of the tokens of three calls, with this time between them, where a grant ends so.
async fn used(grant: &'static str, between: Duration) -> Vec<usize> {
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN => {
            let nth = asked.nth;
            answer(
                200,
                format!(r#"{{"access_token":"planted-token-{nth}"{grant}}}"#),
            )
        }
        THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    for _ in 0..3 {
        all_ok(done(callers(&client, 1)).await);
        pass(between).await;
    }
    bore(&idp.asked(THING))
}

#[tokio::test]
async fn a_token_of_no_stated_life_is_taken_to_live_a_minute() {
    assert_eq!(used("", Duration::from_secs(20)).await, [1, 1, 1]);
    assert_eq!(used("", Duration::from_secs(50)).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_not_used_for_a_second_call() {
    for grant in [r#","expires_in":1"#, r#","expires_in":0"#] {
        assert_eq!(used(grant, Duration::ZERO).await, [1, 2, 3]);
    }
}

#[tokio::test]
async fn a_token_is_renewed_within_a_day_however_long_it_claims_to_live() {
    let forever = r#","expires_in":18446744073709551615"#;
    let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
    assert_eq!(used(forever, hours(9)).await, [1, 1, 1]);
    assert_eq!(used(forever, hours(25)).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_used_on_and_its_renewal_tried_again_after_a_while() {
    let failures: [fn() -> Reply; 4] = [
        || answer(503, ""),
        || answer(400, r#"{"error":"invalid_client"}"#),
        || answer(200, "no grant"),
        || Reply::Cut(Vec::new()),
    ];
    for failure in failures {
        let idp = Server::start(move |asked| match (asked.line.as_str(), asked.nth) {
            (TOKEN, 2) => failure(),
            (TOKEN, _) => granted(asked),
            (THING, _) => answer(200, "{}"),
            _ => Reply::Unexpected,
        })
        .await;
        let (client, _secret) = authorized(&idp);
        all_ok(done(callers(&client, 1)).await);
        pass(OLD).await;
        for _ in 0..3 {
            all_ok(done(callers(&client, 1)).await);
        }
        assert_eq!(idp.asked(TOKEN).len(), 2);
        pass(Duration::from_secs(10)).await;
        for _ in 0..2 {
            all_ok(done(callers(&client, 1)).await);
        }
        assert_eq!(bore(&idp.asked(THING)), [1, 1, 1, 1, 3, 3]);
    }
}

#[tokio::test]
async fn callers_who_wait_for_a_token_are_refused_together() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN if asked.nth == 1 => held.hold(answer(401, r#"{"error":"invalid_client"}"#)),
        TOKEN => answer(401, r#"{"error":"invalid_client"}"#),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let callers = callers(&client, 20);
    gate.reached_by(1).await;
    gate.open();
    for refused in done(callers).await {
        let fault = refused.unwrap_err();
        let expected = ("refused", Outcome::NotApplied, Reason::IdpCredentialRefused);
        assert_eq!(told(&fault), expected);
        assert!(fault.to_string().contains("invalid_client"), "{fault}");
    }
    assert_eq!(idp.lines(), [TOKEN]);
    let again = done(start(&client, get_thing)).await;
    assert!(again.iter().all(Result::is_err));
    assert_eq!(idp.lines(), [TOKEN; 2]);
}

#[tokio::test]
async fn a_renewal_that_hangs_leaves_its_caller_time_to_go_on_with_the_old_token() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN if asked.nth == 1 => granted(asked),
        TOKEN => held.hold(granted(asked)),
        THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    all_ok(done(callers(&client, 1)).await);
    pass(OLD).await;
    let deadline = Deadline::after(Duration::from_secs(5));
    let renewing = start(&client, |client| async move {
        client.get(&["thing"]).send(deadline).await
    });
    gate.reached_by(1).await;
    pass(Duration::from_millis(2600)).await;
    all_ok(done(renewing).await);
    assert_eq!(bore(&idp.asked(THING)), [1; 2]);
}

#[tokio::test]
async fn who_waits_for_anothers_token_waits_no_longer_than_its_own_deadline() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN => held.hold(granted(asked)),
        THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let first = start(&client, get_thing);
    gate.reached_by(1).await;
    let fault = client.post(&["thing"]).send(short()).await.unwrap_err();
    let expected = ("unavailable", Outcome::NotApplied, Reason::TimedOut);
    assert_eq!(told(&fault), expected);
    gate.open();
    all_ok(done(first).await);
    assert_eq!(idp.lines(), [TOKEN, THING]);
}

#[tokio::test]
async fn who_goes_away_while_getting_the_token_leaves_that_to_the_next() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN if asked.nth == 1 => held.hold(granted(asked)),
        TOKEN => granted(asked),
        THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let mut first = start(&client, get_thing);
    gate.reached_by(1).await;
    let others = callers(&client, 10);
    first.shutdown().await;
    all_ok(done(others).await);
    assert_eq!(idp.asked(TOKEN).len(), 2);
    assert_eq!(bore(&idp.asked(THING)), [2; 10]);
}
