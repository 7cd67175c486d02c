//! What Konnect's button *Verify* does.
//!
//! Konnect was seen to create a client with the portal id `test portal_id`; that it deletes it again is inferred. The
//! other members of its create are not published; these are what the field has made of them.

use dcr_tests::konnect::verify;
use tokio::sync::OnceCell;

use crate::Tried;
use crate::bridge::Bridge;
use crate::call::Call;
use crate::seen::Seen;
use crate::shape::APPLICATION;
use crate::verdict::{Basis, Verdict, checks, unjudged};

const SEEN: Basis = Basis::Demanded("seen of Konnect");
const CONTRACT: Basis = Basis::Demanded("contract: ApplicationResponse");

/// One press of the button.
pub(crate) struct Probe {
    bridge: Bridge,
    created: OnceCell<Seen>,
}

checks! { Probe, "verify":
    "the bridge answers Verify's create", SEEN,
        "Make sure that this URL reaches the bridge, from the internet too.",
        t => t.create().await.answered().map(drop);
    "the create succeeds", SEEN,
        "Take Verify's create: ids that are no UUIDs, empty lists, an empty description.",
        t => created(t).await;
    "the answer has a client id", CONTRACT,
        "Answer {\"client_id\": ..., \"client_secret\": ...}, both text of at most 255 characters.",
        t => member(t, "client_id").await;
    "the answer has a client secret", CONTRACT,
        "Answer {\"client_id\": ..., \"client_secret\": ...}, both text of at most 255 characters.",
        t => member(t, "client_secret").await;
    "the client is deleted again", Basis::Demanded("contract: DELETE /{clientId}"),
        "Answer DELETE /{clientId} with 204, and delete the client in the identity provider.",
        t => t.delete().await;
}

impl Probe {
    async fn create(&self) -> &Seen {
        self.created
            .get_or_init(|| async { Seen::of(&self.bridge, &Call::create(&verify())).await })
            .await
    }

    async fn delete(&self) -> Verdict {
        let Some(id) = self.create().await.succeeded()?.text("client_id") else {
            return unjudged("the create gave no client id");
        };
        let deleted = Seen::of(&self.bridge, &Call::delete(&id)).await;
        deleted.succeeds()
    }
}

async fn created(probe: &Probe) -> Verdict {
    match probe.create().await {
        Seen::Silent(_) => unjudged("the create was not answered"),
        seen => seen.succeeds(),
    }
}

async fn member(probe: &Probe, name: &str) -> Verdict {
    let created = probe.create().await;
    created.succeeded()?;
    created.is_json()?;
    created.member(&APPLICATION, name)
}

/// Presses the button.
pub(crate) async fn run(tried: Tried<'_>) {
    tried
        .console
        .say(&format!("Konnect sends POST / {}", verify()));
    let probe = Probe {
        bridge: tried.bridge,
        created: OnceCell::new(),
    };
    for check in CHECKS {
        check.take(&probe, tried.report, tried.console).await;
    }
}
