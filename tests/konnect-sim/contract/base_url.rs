//! How Konnect joins base URL and path.

use super::trial::Trial;
use crate::call::Call;
use crate::verdict::{Basis, Verdict, checks};

const SILENT: Basis = Basis::Wise("how Konnect joins base URL and path is not published");

checks! { Trial, "base URL":
    "no slash at its end", SILENT,
        "Serve a create at the base URL itself, without a redirect.",
        t => t.call(&Call::create(&t.application()).at("")).await.succeeds();
    "doubled slashes", SILENT,
        "Serve paths that begin with two slashes as if it were one.",
        t => doubled(t).await;
}

async fn doubled(t: &Trial) -> Verdict {
    let create = Call::create(&t.application()).at("//");
    t.call(&create).await.succeeds()?;
    let list = Call::list(&t.client().await?.id);
    let path = format!("/{}", list.path);
    t.call(&list.at(&path)).await.succeeds()
}
