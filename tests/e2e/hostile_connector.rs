//! A connector that breaks the contract in every way: Konnect gets answers of Kong's contract in time, nothing hostile
//! passes through, and what may have been made is undone.

use std::time::Duration;

use dcr_contract::Connector as _;
use dcr_contract::model::{Capability, Deadline};
use dcr_proto::v1;
use dcr_tests::hostile::{Answer, Hostile};
use dcr_tests::konnect::{application, event};
use dcr_tests::stand_in::Rude;
use dcr_tests::{Gateway, Konnect, Provider, Refusal, Reply};
use prost_types::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::operations::remote;
use crate::start::gateway;

/// Konnect's host gives up after 10 s.
const IN_TIME: Duration = Duration::from_millis(9_500);
/// What no answer may hold, in a form that looks like a secret.
pub(crate) const PLANTED: &str = "planted-Zm9vYmFyYmF6";

pub(crate) struct Bridge {
    pub(crate) hostile: Hostile,
    pub(crate) konnect: Konnect,
    gateway: Gateway,
}

impl Bridge {
    pub(crate) async fn start() -> Self {
        let hostile = Hostile::start().await;
        hostile.answers().abort_operation = Answer::Message(v1::AbortOperationResponse {
            abort: v1::Abort::Undone.into(),
        });
        let gateway = gateway(&[Provider::new("one", hostile.address)]).await;
        let konnect = gateway.konnect("one").hiding(PLANTED);
        Self {
            hostile,
            konnect,
            gateway,
        }
    }

    /// A create that must fail so, and whose operation must be aborted.
    pub(crate) async fn create_is_undone(
        &self,
        answer: Answer<v1::CreateClientResponse>,
        status: u16,
    ) {
        let what = format!("{answer:.80?}");
        self.hostile.answers().create_client = answer;
        let (creates, aborts) = (
            self.hostile.count("create_client"),
            self.hostile.count("abort_operation"),
        );
        let reply = self.konnect.create(&application("ferry")).await;
        assert_eq!(reply.answer.status, status, "{what}");
        let _ = in_time(reply.refused(status));
        let create = self.hostile.seen("create_client", creates).await;
        let create: v1::CreateClientRequest = create.read();
        let abort = self.hostile.seen("abort_operation", aborts).await;
        let abort: v1::AbortOperationRequest = abort.read();
        assert_eq!(
            create.operation.unwrap().operation_id,
            abort.operation_id,
            "{what}"
        );
        let target = v1::abort_operation_request::Target::Create(v1::AbortCreate {});
        assert_eq!(abort.target, Some(target));
    }

    /// An added secret that must fail so, and whose operation must be aborted.
    async fn add_is_undone(&self, answer: v1::AddClientSecretResponse) {
        let what = format!("{answer:.80?}");
        self.hostile.answers().add_client_secret = Answer::Message(answer);
        let aborts = self.hostile.count("abort_operation");
        let reply = self.konnect.add("c").await;
        assert_eq!(reply.answer.status, 500, "{what}");
        let _ = in_time(reply.refused(500));
        let abort = self.hostile.seen("abort_operation", aborts).await;
        let abort: v1::AbortOperationRequest = abort.read();
        let client_id = "c".to_owned();
        let target =
            v1::abort_operation_request::Target::AddSecret(v1::AbortAddSecret { client_id });
        assert_eq!(abort.target, Some(target), "{what}");
    }

    /// All seven calls at once, the hook with each of its events.
    pub(crate) async fn all_calls(&self) -> Vec<Reply> {
        let konnect = &self.konnect;
        let hook = |name, members: Value| konnect.hook("c", &event(name, "c", &members));
        let mut calls = JoinSet::new();
        calls.spawn(konnect.create(&application("ferry")));
        calls.spawn(konnect.delete("c"));
        calls.spawn(konnect.rotate("c"));
        calls.spawn(hook("update_application", json!({"redirect_uris": []})));
        calls.spawn(hook("add_registration", json!({"api_id": "a"})));
        calls.spawn(hook("remove_registration", json!({"api_id": "a"})));
        calls.spawn(konnect.list("c"));
        calls.spawn(konnect.add("c"));
        calls.spawn(konnect.remove("c", "s"));
        calls.join_all().await
    }

    /// After all that, a good answer is served as ever.
    pub(crate) async fn is_unharmed(&self) {
        self.hostile.answers().create_client = Answer::Message(created());
        let client = self.konnect.create(&application("ferry")).await.created();
        assert_eq!(&*client.client_id, "made");
    }
}

pub(crate) fn in_time(refusal: Refusal) -> Refusal {
    assert!(refusal.took < IN_TIME, "took {:?}", refusal.took);
    refusal
}

fn secret(value: &str) -> v1::Secret {
    let value = value.to_owned();
    v1::Secret { value }
}

pub(crate) fn created() -> v1::CreateClientResponse {
    v1::CreateClientResponse {
        client_id: "made".to_owned(),
        secret: Some(secret("a-secret-of-some-length")),
        ..Default::default()
    }
}

fn added() -> v1::AddClientSecretResponse {
    v1::AddClientSecretResponse {
        secret_id: "s-1".to_owned(),
        secret: Some(secret("a-secret-of-some-length")),
        ..Default::default()
    }
}

/// What is no id that a path could hold.
fn bad_ids() -> Vec<String> {
    let texts = [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "../../two/c",
        "a\\b",
        "a%2fb",
        "a b",
        "a\nb",
        "a\r\nb",
        "a\0b",
        "\u{7f}",
        "é",
        "a?b",
        "a#b",
        "<b>",
        "\u{202e}a",
    ];
    let mut ids: Vec<_> = texts.map(str::to_owned).into();
    ids.extend(["x".repeat(256), "x".repeat(10_000), PLANTED.repeat(20)]);
    ids
}

fn bad_secrets() -> Vec<Option<v1::Secret>> {
    let texts = [
        String::new(),
        format!("{PLANTED}\n"),
        format!("\0{PLANTED}"),
        format!("é{PLANTED}"),
        PLANTED.repeat(20),
        PLANTED.repeat(50_000),
    ];
    let mut secrets = vec![None];
    secrets.extend(texts.iter().map(|text| Some(secret(text))));
    secrets
}

fn bad_times() -> [Timestamp; 4] {
    let time = |seconds, nanos| Timestamp { seconds, nanos };
    [
        time(i64::MAX, 0),
        time(i64::MIN, 0),
        time(253_402_300_800, 0),
        time(0, i32::MAX),
    ]
}

#[tokio::test]
async fn a_client_that_konnect_could_not_keep_is_refused_and_undone() {
    let bridge = Bridge::start().await;
    let mut answers = vec![v1::CreateClientResponse::default()];
    for client_id in bad_ids() {
        answers.push(v1::CreateClientResponse {
            client_id,
            ..created()
        });
    }
    for secret in bad_secrets() {
        answers.push(v1::CreateClientResponse {
            secret,
            ..created()
        });
    }
    for time in bad_times() {
        answers.push(v1::CreateClientResponse {
            issued_at: Some(time),
            ..created()
        });
        answers.push(v1::CreateClientResponse {
            secret_expires_at: Some(time),
            ..created()
        });
    }
    answers.push(v1::CreateClientResponse {
        secret_id: "a/b".to_owned(),
        ..created()
    });
    for answer in answers {
        bridge.create_is_undone(Answer::Message(answer), 500).await;
    }
    bridge.is_unharmed().await;
}

#[tokio::test]
async fn an_added_secret_that_konnect_could_not_keep_is_refused_and_undone() {
    let bridge = Bridge::start().await;
    for secret_id in bad_ids() {
        let answer = v1::AddClientSecretResponse {
            secret_id,
            ..added()
        };
        bridge.add_is_undone(answer).await;
    }
    for secret in bad_secrets() {
        let answer = v1::AddClientSecretResponse { secret, ..added() };
        bridge.add_is_undone(answer).await;
    }
    for time in bad_times() {
        let answer = v1::AddClientSecretResponse {
            expires_at: Some(time),
            ..added()
        };
        bridge.add_is_undone(answer).await;
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_true_is_refused() {
    let bridge = Bridge::start().await;
    let entry = |secret_id: String| v1::ClientSecret {
        secret_id,
        status: v1::SecretStatus::Active.into(),
        ..Default::default()
    };
    let numbered = |count: u32| (0..count).map(|n| entry(n.to_string())).collect::<Vec<_>>();
    let mut lists = vec![
        numbered(1_000_000),
        numbered(60_000),
        numbered(201),
        vec![entry("s".to_owned()), entry("s".to_owned())],
    ];
    lists.extend(bad_ids().into_iter().map(|id| vec![entry(id)]));
    for status in [0, 3, 99, -1] {
        let mut entry = entry("s".to_owned());
        entry.status = status;
        lists.push(vec![entry]);
    }
    for time in bad_times() {
        let mut entry = entry("s".to_owned());
        entry.created_at = Some(time);
        lists.push(vec![entry]);
    }
    for secrets in lists {
        let what = format!("{secrets:.80?}");
        bridge.hostile.answers().list_client_secrets =
            Answer::Message(v1::ListClientSecretsResponse { secrets });
        let reply = bridge.konnect.list("c").await;
        assert_eq!(reply.answer.status, 500, "{what}");
        let _ = in_time(reply.refused(500));
    }
    let secrets = numbered(200);
    bridge.hostile.answers().list_client_secrets =
        Answer::Message(v1::ListClientSecretsResponse { secrets });
    assert_eq!(bridge.konnect.list("c").await.listed("c").len(), 200);
}

#[tokio::test]
async fn answers_that_say_nothing_or_what_nobody_knows_are_refused() {
    let bridge = Bridge::start().await;
    // An empty message lacks what it must have, but for an update's and a list's: those say that all is well.
    let replies = bridge.all_calls().await;
    let (well, ill): (Vec<_>, Vec<_>) = replies.into_iter().partition(|r| r.answer.status == 200);
    assert_eq!(well.len(), 2);
    for reply in ill {
        let _ = in_time(reply.refused(500));
    }
    let konnect = &bridge.konnect;
    {
        let mut answers = bridge.hostile.answers();
        answers.delete_client = Answer::Message(v1::DeleteClientResponse { deletion: 99 });
        answers.remove_client_secret =
            Answer::Message(v1::RemoveClientSecretResponse { removal: -1 });
        answers.add_registration = Answer::Message(v1::AddRegistrationResponse { change: 99 });
    }
    let add = event("add_registration", "c", &json!({"api_id": "a"}));
    for reply in [
        konnect.delete("c").await,
        konnect.remove("c", "s").await,
        konnect.hook("c", &add).await,
    ] {
        let _ = in_time(reply.refused(500));
    }
    for secret in bad_secrets() {
        let answer = v1::RotateClientSecretResponse {
            secret,
            ..Default::default()
        };
        bridge.hostile.answers().rotate_client_secret = Answer::Message(answer);
        let _ = in_time(konnect.rotate("c").await.refused(500));
    }
}

#[tokio::test]
async fn answers_beyond_the_limit_are_refused() {
    let bridge = Bridge::start().await;
    let adjustments = vec![
        v1::Adjustment {
            field: "name".to_owned(),
            sentence: PLANTED.repeat(1_000),
        };
        100
    ];
    {
        let mut answers = bridge.hostile.answers();
        answers.update_client = Answer::Message(v1::UpdateClientResponse {
            adjustments: adjustments.clone(),
        });
    }
    let update = event("update_application", "c", &json!({"redirect_uris": []}));
    let _ = in_time(bridge.konnect.hook("c", &update).await.refused(500));
    let answer = v1::CreateClientResponse {
        adjustments,
        ..created()
    };
    bridge.create_is_undone(Answer::Message(answer), 500).await;
    bridge.is_unharmed().await;
}

#[tokio::test]
async fn adjustments_are_for_the_log_alone() {
    let mut bridge = Bridge::start().await;
    let adjustment = v1::Adjustment {
        field: "<b>\r\n".to_owned(),
        sentence: "line one\r\nline two".repeat(100),
    };
    bridge.hostile.answers().create_client = Answer::Message(v1::CreateClientResponse {
        adjustments: vec![adjustment; 200],
        ..created()
    });
    let _ = bridge.konnect.create(&application("ferry")).await.created();
    let process = &mut bridge.gateway.process;
    process.terminate().await;
    assert!(process.ended(Duration::from_mins(1)).await.success());
    let output = process.output();
    let told = output
        .matches("done differently from what was asked")
        .count();
    assert_eq!(told, 20);
}

#[tokio::test]
async fn a_connector_that_never_answers_is_given_up_in_time_and_told_to_undo() {
    let bridge = Bridge::start().await;
    bridge.hostile.answers().none();
    for reply in bridge.all_calls().await {
        let _ = in_time(reply.refused(504));
    }
    // The create and the added secret.
    let _ = bridge.hostile.seen("abort_operation", 1).await;
    bridge.is_unharmed().await;
}

#[tokio::test]
async fn peers_that_do_not_speak_grpc_are_503_or_504_in_time() {
    let go_away = [
        &[0, 0, 0, 4, 0, 0, 0, 0, 0][..],
        &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11],
    ]
    .concat();
    for greeting in [
        go_away,
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec(),
        vec![0xff; 4_096],
        Vec::new(),
    ] {
        let rude = Rude::open(&greeting).await;
        let gateway = gateway(&[Provider::new("one", rude.address())]).await;
        let konnect = gateway.konnect("one");
        for reply in [
            konnect.create(&application("ferry")).await,
            konnect.delete("c").await,
            konnect.list("c").await,
        ] {
            let status = reply.answer.status.as_u16();
            assert!([503, 504].contains(&status), "{greeting:.20?}: {status}");
            let _ = in_time(reply.refused(status));
        }
    }
}

#[tokio::test]
async fn what_a_connector_says_of_itself_takes_no_more_room_than_there_is_to_say() {
    let hostile = Hostile::start().await;
    let capability = v1::Capability::RotateSecret.into();
    hostile.answers().describe_connector = Answer::Message(v1::DescribeConnectorResponse {
        name: "hostile".to_owned(),
        version: "1".to_owned(),
        capabilities: vec![capability; 1_000_000],
        settle_after: Some(prost_types::Duration::default()),
        ..Default::default()
    });
    let remote = remote(hostile.address);
    let described = remote.describe(Deadline::after(IN_TIME)).await.unwrap();
    assert_eq!(described.capabilities, [Capability::RotateSecret]);
}
