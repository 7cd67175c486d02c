//! The connector before scripted servers, each with manners of its own: Konnect's HTTP on one side, the server's on the
//! other, and between them the programs that operators run.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod life;
mod server;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    dcr_tests::suite::main(dcr_tests::tests! {
        life:
            a_client_opens_tokens_until_it_is_deleted;
    })
}
