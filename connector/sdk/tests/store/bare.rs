//! The least connector with a store, for its subcommands: it speaks to no IdP.

use std::time::Duration;

use dcr_connector::config::Problems;
use dcr_connector::fault::Fault;
use dcr_connector::model::{
    Adjustment, ClientId, ClientUpdate, Deadline, Finding, NewClient, OperationId, SecretMetadata,
};
use dcr_connector::store::{Store, StoreConfig, Stored};
use dcr_connector::{
    Created, Found, FoundByOperation, Idp, Mark, Owned, Rotated, Settings, Traits,
};

pub(crate) struct Bare(Store);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    store: StoreConfig,
}

impl Stored for Bare {
    fn store(&self) -> &Store {
        &self.0
    }
}

fn none() -> Fault {
    Fault::unsupported("There is no identity provider.")
}

impl Idp for Bare {
    const NAME: &'static str = "bare";
    const VERSION: &'static str = "1.0.0";
    type Config = Config;
    type Handle = ();

    fn open(config: Config, settings: &Settings) -> Result<Self, Problems> {
        let mut problems = settings.problems();
        let store = Store::open(&config.store, "idp.store", settings, &mut problems);
        problems.or(()).map(|()| Self(store.unwrap()))
    }

    fn traits(&self) -> Traits {
        Traits {
            capabilities: Vec::new(),
            max_secrets: None,
            settle_after: Duration::ZERO,
        }
    }

    fn instance(&self) -> String {
        "bare".to_owned()
    }

    fn own_credential(&self) -> Option<&str> {
        None
    }

    async fn check(&self, deadline: Deadline) -> Vec<Finding> {
        self.0.check(deadline).await
    }

    async fn find(&self, _: Deadline, _: &ClientId) -> Result<Option<Found<()>>, Fault> {
        Err(none())
    }

    async fn find_by_operation(
        &self,
        _: Deadline,
        _: OperationId,
    ) -> Result<Option<FoundByOperation<()>>, Fault> {
        Err(none())
    }

    async fn create(&self, _: Deadline, _: &Mark, _: &NewClient) -> Result<Created, Fault> {
        Err(none())
    }

    async fn write_mark(&self, _: Deadline, _: &Owned<()>, _: &Mark) -> Result<(), Fault> {
        Err(none())
    }

    async fn delete(&self, _: Deadline, _: &Owned<()>) -> Result<(), Fault> {
        Err(none())
    }

    async fn update(
        &self,
        _: Deadline,
        _: &Owned<()>,
        _: &ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        Err(none())
    }

    async fn rotate_secret(&self, _: Deadline, _: &Owned<()>) -> Result<Rotated, Fault> {
        Err(none())
    }

    async fn list_secrets(&self, _: Deadline, _: &Owned<()>) -> Result<Vec<SecretMetadata>, Fault> {
        Err(none())
    }
}
