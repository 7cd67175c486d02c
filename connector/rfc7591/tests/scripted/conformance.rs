//! The connector, held against the contract with the gateway, before servers that make it claim different things.

use dcr_conformance::{Options, TokenAuth, TokenOptions, run};

use crate::server::{Manners, OWN, PutSecret, Registration};
use crate::world::{DCRM, World, behaviour};

const AUDIENCE: &str = "https://api.ferry.example";
const GRANTS: &str = "  grants: [{audience: https://api.ferry.example, scopes: [ferries]}]\n";

async fn holds(world: World, grants: bool) {
    let mut options = Options::new(format!("http://{}", world.connector.address));
    options.tokens = TokenOptions {
        token_url: Some(format!(
            "{}{}",
            world.server.url(),
            world.server.manners().token_path
        )),
        token_auth: Some(TokenAuth::Basic),
        ..TokenOptions::default()
    };
    options.cancellations = 10;
    options.scopes = vec!["orders:read".to_owned()];
    if world.server.manners().registration == Registration::ScopeOnce {
        options.own_client = Some(OWN.0.to_owned());
    }
    if grants {
        options.mapped_audience = Some(AUDIENCE.to_owned());
        options.mapped_scope = Some("ferries".to_owned());
    }
    let report = run(options).await.expect("the connector is reached");
    report.assert_passed();
    // What was asked of the connector in vain is no mistake of its own towards the server.
    world.server.forgive();
    let left = world.server.ids();
    assert!(left.is_empty(), "left behind: {left:?}");
    world.cut().await;
}

pub(crate) async fn curity_by_the_tokens_of_its_clients() {
    holds(World::start(Manners::curity()).await, false).await;
}

pub(crate) async fn curity_by_one_token_for_all_clients() {
    let more = format!(
        "{DCRM}{GRANTS}  behaviour: {{get: nothing, put_secret: kept, put_token: kept, delete: answers_204}}\n"
    );
    holds(World::with(Manners::curity(), &more).await, true).await;
}

pub(crate) async fn a_server_that_wants_the_secret_sent_back() {
    let manners = Manners::secret_sent_back();
    assert_eq!(manners.put_secret, PutSecret::KeptIfSent);
    let more = behaviour(&manners) + GRANTS;
    holds(World::with(manners, &more).await, true).await;
}
