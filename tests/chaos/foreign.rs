//! Clients that are not the bridge's, or not this provider's: whatever happens, nothing of them may change. And what
//! Konnect's Verify has left long ago, which has to go.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::{Builder, Uuid};

use crate::journal::{Call, Client, Event, Journal, SECRET, Secret, now};
use crate::plan::{Step, Story};
use crate::world::{INSTALLATION, PROVIDERS};

/// Whoever wrote a client into the table that nobody asked for.
pub(crate) const STRANGER: &str = "stranger";
/// How many probes there are to be removed; their ids begin alike.
const OLD_PROBES: usize = 12;
const OLD_PROBE: &str = "verified-";
/// Older than any probe may get.
const LONG_AGO: u64 = 11 * 60 * 1_000;

/// Whose a foreign client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody's that we know: it bears no mark.
    Unmarked,
    /// The same, with an id as ours are.
    LikeOurs,
    OtherProvider,
    OtherInstallation,
    /// Half a mark.
    Damaged,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Unmarked,
        Self::LikeOurs,
        Self::OtherProvider,
        Self::OtherInstallation,
        Self::Damaged,
    ];

    /// The client that a story trespasses on in one of its steps: nobody else's, so that what befalls the request is its
    /// own affair.
    pub(crate) fn id(self, story: &Story, step: usize) -> String {
        let number = story.number;
        match self {
            Self::Unmarked => format!("payroll-{number}-{step}"),
            Self::LikeOurs => format!("dcr-0193f0c0de0070008000{number:08x}{step:04x}"),
            Self::OtherProvider => format!("other-provider-{number}-{step}"),
            Self::OtherInstallation => format!("other-installation-{number}-{step}"),
            Self::Damaged => format!("damaged-{number}-{step}"),
        }
    }

    /// Whether Konnect is told that it is gone when it deletes one, and it is left in place.
    pub(crate) fn is_left_in_place(self) -> bool {
        matches!(self, Self::Unmarked | Self::LikeOurs)
    }

    fn attributes(self, story: &Story) -> BTreeMap<String, String> {
        let operation = Uuid::now_v7();
        let (own, other) = (provider(story.alone), provider(!story.alone));
        match self {
            Self::Unmarked | Self::LikeOurs => BTreeMap::new(),
            Self::OtherProvider => mark(INSTALLATION, other, operation),
            Self::OtherInstallation => mark("elsewhere", own, operation),
            Self::Damaged => {
                let mut mark = mark(INSTALLATION, own, operation);
                mark.pop_last();
                mark
            }
        }
    }
}

fn provider(alone: bool) -> &'static str {
    PROVIDERS[usize::from(alone)]
}

fn mark(installation: &str, provider: &str, operation: Uuid) -> BTreeMap<String, String> {
    let attributes = [
        ("dcr_installation", installation),
        ("dcr_operation", &operation.to_string()),
        ("dcr_provider", provider),
    ];
    let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    attributes.map(text).into()
}

/// A client that was made for Verify, so long ago that it has to go.
pub(crate) fn is_old_probe(id: &str) -> bool {
    id.starts_with(OLD_PROBE)
}

/// Writes them into the IdP's table, before it starts.
pub(crate) fn plant(journal: &Path, stories: impl Iterator<Item = Story>) {
    let mut journal = Journal::open(journal).expect("a journal can be begun");
    let mut plant = |by: &str, id: &str, attributes| {
        let committed = Event::Committed {
            call: Call::Stranger,
            client_id: id.to_owned(),
            client: Some(Box::new(client(id, attributes))),
        };
        journal.write(by, committed).expect("the disk has room");
    };
    for story in stories {
        for (number, (step, ..)) in story.steps.iter().enumerate() {
            if let Step::Trespass(trespass) = step
                && let Some(kind) = trespass.kind
            {
                plant(STRANGER, &kind.id(&story, number), kind.attributes(&story));
            }
        }
    }
    let probe = |provider| {
        let millis = now() / 1_000 - LONG_AGO;
        let operation = Builder::from_unix_timestamp_millis(
            millis,
            &fastrand::u128(..).to_be_bytes()[..10]
                .try_into()
                .expect("ten bytes"),
        );
        let mut probe = mark(INSTALLATION, provider, operation.into_uuid());
        probe.insert("dcr_probe".to_owned(), "true".to_owned());
        probe
    };
    for number in 0..OLD_PROBES {
        let id = format!("{OLD_PROBE}{number}");
        plant("verify", &id, probe(PROVIDERS[number % 2]));
    }
    // What is a probe in part.
    let with = |name: &str, value: &str| {
        let mut attributes = probe(PROVIDERS[0]);
        attributes.insert(name.to_owned(), value.to_owned());
        attributes
    };
    plant(
        STRANGER,
        "probe-elsewhere",
        with("dcr_installation", "elsewhere"),
    );
    plant(STRANGER, "probe-adopted", with("dcr_adopted", "owned"));
    plant(
        STRANGER,
        "probe-registered",
        with(
            "dcr_registration:api:entity",
            r#"{"audience":"https://a.example"}"#,
        ),
    );
    plant(
        STRANGER,
        "probe-young",
        with("dcr_operation", &Uuid::now_v7().to_string()),
    );
}

fn client(id: &str, attributes: BTreeMap<String, String>) -> Client {
    Client {
        client_id: id.to_owned(),
        name: id.to_owned(),
        description: "made by hand".to_owned(),
        redirect_uris: vec!["https://payroll.example/cb".to_owned()],
        grant_types: vec!["client_credentials".to_owned()],
        scopes: vec!["a.read".to_owned()],
        audiences: Vec::new(),
        token_endpoint_auth_method: None,
        attributes,
        created_at: "2024-02-29T12:00:00Z".to_owned(),
        secrets: vec![Secret {
            secret_id: "first".to_owned(),
            client_secret: format!("{SECRET}-{id}"),
            created_at: "2024-02-29T12:00:00Z".to_owned(),
            label: None,
        }],
    }
}
