//! The connector before a real server: gateway and connector as operators run them, Konnect played by the harness, and
//! the server asked directly what became of it. `tests/real.sh` starts all of it, for one server after the other's kind.
//!
//! Nothing here knows a server by its name: what can be expected of one stands in its `server.json`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a scenario fails by a panic, which the runner turns into its result"
)]

mod check;
mod commands;
mod kills;
mod life;
mod load;
mod lost;
mod postgresql;
mod replicas;
mod server;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dcr_tests::ports::Ports;
use dcr_tests::scenarios::{Scenario, run};
use dcr_tests::{Proxy, scenarios};
use secrecy::SecretString;

use postgresql::Postgresql;
use server::Server;

/// Runs every scenario, or those whose names hold one of the given texts, against a server.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of a running server, as the scripts in tests/servers leave it.
    #[arg(long)]
    server: PathBuf,
    /// The folder of a running PostgreSQL, as its script leaves it; the scenarios that need one run if it is given.
    #[arg(long)]
    postgresql: Option<PathBuf>,
    /// Where to record what goes by between connector and server.
    #[arg(long)]
    recording: PathBuf,
    /// The gateway's program.
    #[arg(long)]
    gateway: PathBuf,
    /// The connector's program.
    #[arg(long)]
    connector: PathBuf,
    /// The program `konnect-sim`.
    #[arg(long)]
    konnect_sim: PathBuf,
    /// The program `dcr-conformance`.
    #[arg(long)]
    conformance: PathBuf,
    /// How many processes are killed under load, for each kind of store.
    #[arg(long, default_value_t = 8)]
    kills: usize,
    /// What is drawn for that is drawn from; another one every time if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Parts of the names of scenarios.
    only: Vec<String>,
}

/// What every scenario starts from.
struct Setup {
    arguments: Arguments,
    server: Server,
    /// At the server's public address, before the server.
    proxy: Proxy,
    postgresql: Option<Postgresql>,
    /// A key of the store's keyring.
    key: SecretString,
    /// Where a connector is that is killed and started again.
    connector: SocketAddr,
    _ports: Ports,
}

fn scenarios(setup: &'static Setup) -> Vec<Scenario> {
    let mut all = scenarios! { setup,
        check:
            a_right_configuration_is_content
            a_check_without_probe_changes_nothing
            wrong_manners_are_found;
        life:
            a_client_opens_tokens_until_it_is_deleted
            an_update_keeps_the_secret_or_is_refused
            a_rotation_replaces_the_secret_or_is_refused
            a_registration_grants_a_scope_or_is_refused
            a_client_outlives_the_connector
            konnect_verifies
            calls_at_once_leave_a_client_whole;
        lost:
            a_create_whose_answer_is_lost_is_named
            an_update_whose_answer_is_lost_is_named_or_harmless
            a_delete_whose_answer_is_lost_can_be_repeated;
        commands:
            konnect_sim_is_content
            conformance_is_content;
        kills:
            a_killed_connector_loses_no_client;
    };
    if setup.postgresql.is_some() {
        all.extend(scenarios! { setup,
            replicas:
                two_replicas_update_one_client_at_once
                registrations_that_two_replicas_begin_at_once_are_all_kept
                a_client_that_one_replica_deletes_is_gone_for_the_other;
            kills:
                killed_replicas_and_a_killed_postgresql_lose_no_client;
        });
    }
    all
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
    let server = Server::at(&arguments.server);
    let proxy = Proxy::recording_at(server.public(), server.origin(), &arguments.recording);
    let mut ports = Ports::lease();
    let setup: &'static Setup = Box::leak(Box::new(Setup {
        postgresql: arguments.postgresql.as_deref().map(Postgresql::at),
        key: world::new_key(&arguments.connector).await,
        connector: ports.next_address(),
        arguments,
        server,
        proxy,
        _ports: ports,
    }));
    run(scenarios(setup), &setup.arguments.only).await
}
