//! The connector before a real Keycloak: gateway and connector as operators run them, Konnect played by the harness,
//! and Keycloak asked directly what became of it. `tests/real.sh` starts all of it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a scenario fails by a panic, which the runner turns into its result"
)]

mod admin;
mod check;
mod conformance;
mod faults;
mod hooks;
mod konnect_sim;
mod life;
mod listing;
mod ownership;
mod scopes;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dcr_tests::scenarios;
use dcr_tests::scenarios::{Scenario, run};
use dcr_tests::token::TokenEndpoint;

use admin::Admin;

/// Runs every scenario, or those whose names hold one of the given texts, against a Keycloak.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where Keycloak is.
    #[arg(long)]
    url: String,
    /// The realm, with the scopes and clients that real.sh makes.
    #[arg(long)]
    realm: String,
    /// An administrator of the realm `master`, to look into Keycloak.
    #[arg(long)]
    admin: String,
    /// The administrator's password.
    #[arg(long)]
    admin_password_file: PathBuf,
    /// The secret of the client `dcr-bridge`.
    #[arg(long)]
    secret_file: PathBuf,
    /// Where to record what goes by between connector and Keycloak.
    #[arg(long)]
    recording: PathBuf,
    /// The gateway's program.
    #[arg(long)]
    gateway: PathBuf,
    /// The connector's program.
    #[arg(long)]
    connector: PathBuf,
    /// The program that plays Konnect.
    #[arg(long)]
    konnect_sim: PathBuf,
    /// Parts of the names of scenarios.
    only: Vec<String>,
}

/// What every scenario starts from.
struct Setup {
    arguments: Arguments,
    secret: String,
    admin: Admin,
}

impl Setup {
    /// Where applications get their tokens.
    fn tokens(&self) -> TokenEndpoint {
        let Arguments { url, realm, .. } = &self.arguments;
        TokenEndpoint::new(&format!(
            "{url}/realms/{realm}/protocol/openid-connect/token"
        ))
    }
}

fn scenarios(setup: &'static Setup) -> Vec<Scenario> {
    scenarios! { setup,
        check:
            a_good_setup_is_clean
            a_wrong_secret_is_named
            a_wrong_realm_is_named
            an_unreachable_server_is_named
            missing_rights_are_named
            a_secret_that_a_policy_ends_soon_is_named
            what_the_realm_lacks_is_named
            another_issuer_and_another_time_are_named;
        conformance:
            the_contract_is_kept
            the_contract_is_kept_to_the_end;
        life:
            a_client_gets_tokens_until_it_is_deleted
            what_was_asked_for_stands_in_keycloak
            what_keycloak_has_no_room_for_is_refused
            a_secret_is_listed_and_rotated
            no_secret_is_added_or_removed
            a_client_may_use_basic
            konnect_verifies
            authorization_code_without_a_redirect_uri_creates
            calls_at_once_leave_a_client_whole;
        konnect_sim:
            konnects_contract_is_kept;
        listing:
            who_stays_is_listed_once_while_others_come_and_go
            a_crowd_that_comes_or_goes_loses_no_place
            a_lost_place_is_told;
        scopes:
            a_requested_scope_is_there_when_asked_for
            a_missing_scope_is_refused
            a_missing_scope_is_made_when_that_is_configured
            every_scope_of_the_realm_can_be_requested;
        hooks:
            an_update_is_seen_in_keycloak
            what_an_update_does_not_say_stays
            an_audience_brings_a_default_scope
            an_entity_brings_an_optional_scope_and_a_role
            two_registrations_of_one_audience_stand_alone
            a_requested_scope_survives_a_registration
            registrations_at_once_are_all_kept
            what_is_not_mapped_changes_nothing
            a_grant_that_the_realm_lacks_changes_nothing;
        ownership:
            unmarked_clients_are_hidden_and_stay
            the_connectors_own_client_is_out_of_reach
            another_installations_client_is_hidden
            providers_do_not_see_each_others_clients
            an_imported_client_is_served_and_stays
            an_adopted_client_is_deleted_only_when_owned;
        faults:
            a_lost_create_leaves_nothing_behind
            a_lost_rotation_can_be_repeated
            a_server_that_is_away_comes_back
            a_refused_credential_is_the_operators
            missing_rights_are_the_operators;
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::FAILURE;
        }
    };
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file);
        text.unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()))
            .trim()
            .to_owned()
    };
    let secret = read(&arguments.secret_file);
    let password = read(&arguments.admin_password_file);
    let admin = Admin::new(
        &arguments.url,
        &arguments.realm,
        &arguments.admin,
        &password,
    );
    let setup: &'static Setup = Box::leak(Box::new(Setup {
        arguments,
        secret,
        admin,
    }));

    run(scenarios(setup), &setup.arguments.only).await
}
