//! The connector about itself and its IdP.

use dcr_proto::v1;
use dcr_proto::v1::Capability;
use tonic::Code;

use crate::bridge::{Bridge, TestClient};
use crate::check::{Verdict, broken, ensure, group};
use crate::refusal::Refusal;
use crate::requests::entity;
use crate::rpc::Rpc;
use crate::shape::is_label;

group! {
    "describe",
    tells_name_version_and_times [Core]
        "DescribeConnector gives a name of 1 to 64 of a-z, 0-9 and -, a version of at most 64 printable characters, and settle_after" =>
        "Fill name, version and settle_after (30 s where you do not know better).";
    names_each_capability_once [Core]
        "Capabilities are values of the file, each named once, never UNSPECIFIED; max_secrets is at least 1 and agrees with ADD_SECRET" =>
        "List each capability that you implement once, and leave max_secrets out where there is no known limit.";
    gives_the_same_answer_each_time [Core]
        "All replicas of one version give the same answer" =>
        "Make the answer of constants and configuration alone; ask the IdP nothing.";
    does_what_it_claims [Core]
        "A call whose capability is claimed is not UNIMPLEMENTED" =>
        "Implement the call, or do not claim its capability.";
    refuses_what_it_does_not_claim [Core]
        "A call whose capability is not claimed answers UNIMPLEMENTED with NOT_APPLIED" =>
        "Claim the capability if the call works, else answer UNIMPLEMENTED with reason NOT_SUPPORTED.";
    examines_the_identity_provider [Core]
        "CheckIdentityProvider answers OK with findings, worst first: each with a severity, a code in UPPER_SNAKE and a sentence" =>
        "Put what is wrong into findings, sort them, and add one with SEVERITY_OK when all is well.";
    finds_nothing_wrong [Core]
        "The connector under test can use its IdP" =>
        "Do what the finding's sentence says; the other checks fail for the same reason.";
}

async fn tells_name_version_and_times(bridge: &Bridge) -> Verdict {
    let described = bridge.described();
    ensure!(
        is_label(&described.name),
        "the name is {:?}",
        described.name
    );
    let version = &described.version;
    let printable = !version.is_empty() && !version.contains(char::is_control);
    ensure!(
        printable && version.chars().count() <= 64,
        "the version is {version:?}"
    );
    let Some(settle) = &described.settle_after else {
        return Err(broken("settle_after is missing"));
    };
    let right = (0..=900).contains(&settle.seconds) && (0..1_000_000_000).contains(&settle.nanos);
    let some = settle.seconds > 0 || settle.nanos > 0;
    ensure!(
        right && some,
        "settle_after is {} s: more than none, at most 15 minutes",
        settle.seconds
    );
    Ok(())
}

async fn names_each_capability_once(bridge: &Bridge) -> Verdict {
    let described = bridge.described();
    let mut known = Vec::new();
    for number in &described.capabilities {
        match Capability::try_from(*number) {
            Ok(Capability::Unspecified) => return Err(broken("CAPABILITY_UNSPECIFIED is named")),
            // An addition to the file that this suite does not know.
            Err(_) if described.contract_minor > 0 => {}
            Err(_) => {
                return Err(broken(format!(
                    "the capability {number} is not in the file, and contract_minor is 0"
                )));
            }
            Ok(capability) => {
                let name = capability.as_str_name();
                ensure!(!known.contains(&capability), "{name} is named twice");
                known.push(capability);
            }
        }
    }
    let adds = known.contains(&Capability::AddSecret);
    ensure!(
        adds || !known.contains(&Capability::AbortAddSecret),
        "ABORT_ADD_SECRET is claimed without ADD_SECRET"
    );
    match described.max_secrets {
        Some(0) => Err(broken("max_secrets is 0")),
        Some(1) if adds => Err(broken("max_secrets is 1, and ADD_SECRET is claimed")),
        Some(many) if many > 1 && !adds => Err(broken(format!(
            "max_secrets is {many}, and ADD_SECRET is not claimed"
        ))),
        _ => Ok(()),
    }
}

async fn gives_the_same_answer_each_time(bridge: &Bridge) -> Verdict {
    for _ in 0..10 {
        let again = bridge.done(v1::DescribeConnectorRequest {}).await?;
        ensure!(
            again == *bridge.described(),
            "first {:?}, then {again:?}",
            bridge.described()
        );
    }
    Ok(())
}

/// Each optional call, tried on this client: the capability that it belongs to, whether it changes something, and how it
/// was refused.
async fn tried(bridge: &Bridge, client: &TestClient) -> [(Capability, (bool, Option<Refusal>)); 6] {
    async fn refusal<Q: Rpc>(bridge: &Bridge, request: Q) -> (bool, Option<Refusal>) {
        (Q::MUTATES, bridge.ask(request).await.err())
    }
    let id = &*client.id;
    let unknown = bridge.remove_secret(id, "dcr-conformance");
    [
        (
            Capability::ListManaged,
            refusal(bridge, bridge.list(1, "")).await,
        ),
        (Capability::Update, refusal(bridge, bridge.update(id)).await),
        (
            Capability::Registrations,
            refusal(bridge, bridge.register(id, &entity())).await,
        ),
        (
            Capability::RotateSecret,
            refusal(bridge, bridge.rotate(id)).await,
        ),
        (
            Capability::AddSecret,
            refusal(bridge, bridge.add_secret(id)).await,
        ),
        (Capability::RemoveSecret, refusal(bridge, unknown).await),
    ]
}

async fn does_what_it_claims(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    for (capability, (_, refusal)) in tried(bridge, &client).await {
        let name = capability.as_str_name();
        let is_refused = refusal.is_some_and(|refusal| refusal.code == Code::Unimplemented);
        ensure!(
            !bridge.can(capability) || !is_refused,
            "{name} is claimed, and its call is UNIMPLEMENTED"
        );
    }
    Ok(())
}

async fn refuses_what_it_does_not_claim(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    for (capability, (mutates, refusal)) in tried(bridge, &client).await {
        let name = capability.as_str_name();
        match refusal {
            _ if bridge.can(capability) => {}
            // Without it a registration may also be mapped to nothing.
            None if capability == Capability::Registrations => {}
            None => {
                return Err(broken(format!(
                    "{name} is not claimed, and its call succeeded"
                )));
            }
            Some(refusal) => {
                ensure!(
                    refusal.code == Code::Unimplemented,
                    "{name} is not claimed: {refusal}"
                );
                ensure!(
                    !mutates || refusal.outcome == Some(v1::Outcome::NotApplied),
                    "{name} is not claimed: {refusal}; NOT_APPLIED is due"
                );
            }
        }
    }
    Ok(())
}

async fn examines_the_identity_provider(bridge: &Bridge) -> Verdict {
    let findings = bridge
        .done(v1::CheckIdentityProviderRequest {})
        .await?
        .findings;
    ensure!(!findings.is_empty(), "there is no finding");
    for finding in &findings {
        let snake = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let code = &finding.code;
        ensure!(
            !code.is_empty() && code.bytes().all(snake),
            "a finding's code is {code:?}"
        );
        ensure!(
            finding.severity() != v1::Severity::Unspecified,
            "{code} has no severity"
        );
        ensure!(
            !finding.sentence.trim().is_empty(),
            "{code} has no sentence"
        );
    }
    let worst_first = findings.is_sorted_by_key(|finding| std::cmp::Reverse(finding.severity));
    ensure!(worst_first, "the findings are not sorted, worst first");
    Ok(())
}

async fn finds_nothing_wrong(bridge: &Bridge) -> Verdict {
    let findings = bridge
        .done(v1::CheckIdentityProviderRequest {})
        .await?
        .findings;
    let wrong = findings
        .iter()
        .find(|finding| finding.severity() == v1::Severity::Error);
    match wrong {
        Some(finding) => Err(broken(format!("{}: {}", finding.code, finding.sentence))),
        None => Ok(()),
    }
}
