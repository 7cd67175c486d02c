//! The connector before scripted servers, each with manners of its own: Konnect's HTTP on one side, the server's on the
//! other, and between them the programs that operators run.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod check;
mod conformance;
mod faults;
mod life;
mod server;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let recordings = world::recordings();
    if dcr_tests::suite::is_itself() {
        let _ = std::fs::remove_dir_all(&recordings);
        std::fs::create_dir_all(&recordings).expect("the target folder can be written");
    }
    dcr_tests::suite::main(dcr_tests::tests! {
        conformance:
            curity_by_the_tokens_of_its_clients
            curity_by_one_token_for_all_clients
            a_server_that_wants_the_secret_sent_back;
        life:
            a_client_opens_tokens_until_it_is_deleted
            an_update_keeps_the_secret_and_all_that_the_server_gave
            what_a_read_leaves_out_is_sent_back_all_the_same
            what_administrators_changed_survives_an_update_where_it_can_be_read
            an_update_that_would_replace_the_secret_is_refused_before_anything_is_sent
            a_rotation_ends_the_old_secret_and_the_client_stays_manageable
            a_rotation_that_the_server_does_not_have_is_refused_and_never_faked
            a_server_that_keeps_the_secret_contrary_to_its_configuration_is_not_believed
            an_update_that_replaced_the_secret_contrary_to_its_configuration_is_told
            a_read_that_replaces_the_token_contrary_to_its_configuration_loses_no_client
            redirect_uris_that_an_update_loses_are_told
            the_time_of_expiry_outlives_answers_that_do_not_tell_it
            a_grant_is_believed_of_a_server_that_does_not_tell_scopes
            there_is_one_secret_and_none_is_added_or_removed
            what_the_server_leaves_out_and_the_application_needs_undoes_the_create
            scopes_that_were_asked_for_are_the_clients
            registrations_grant_scopes_and_take_only_theirs_away
            a_redirect_uri_stands_in_where_the_server_wants_one_of_every_client
            the_store_is_the_mark
            curity_is_managed_by_one_token_for_all_clients
            a_template_settles_what_its_clients_are
            every_registration_at_curity_has_a_token_of_its_own
            a_software_statement_and_other_metadata_go_with_every_registration;
        faults:
            a_create_whose_answer_is_lost_stays_an_open_intent
            a_create_that_made_nothing_leaves_no_intent
            a_client_whose_id_is_given_out_once_more_is_left_alone
            a_connector_that_is_killed_while_a_client_is_made_leaves_an_intent
            a_delete_whose_answer_is_lost_is_known_to_be_done
            a_connector_that_is_killed_while_it_deletes_ends_it_afterwards
            a_client_that_is_gone_at_the_server_is_gone_by_policy_alone
            a_404_is_believed_where_a_401_is
            a_401_to_the_token_for_all_clients_is_about_that_token
            a_delete_that_was_refused_is_no_sign_that_a_client_is_gone
            a_token_that_was_replaced_in_a_lost_answer_is_told_and_proves_nothing
            a_doubt_ends_with_the_next_call_that_the_server_takes
            a_doubt_stays_while_the_server_is_not_asked
            a_grant_that_the_server_refuses_leaves_no_registration
            no_token_goes_where_an_answer_points
            no_secret_goes_to_a_guessed_token_endpoint
            a_secret_that_a_refusal_repeats_is_not_logged
            an_answer_about_another_client_is_not_believed
            clients_that_cannot_be_managed_are_made_only_where_that_is_configured
            a_server_that_cannot_delete_says_so_before_the_first_delete
            calls_at_once_leave_a_client_manageable
            creates_that_nobody_takes_are_undone
            konnect_verifies_and_the_process_ends_when_told;
        check:
            what_a_server_does_is_learned_and_fits_what_is_configured
            a_new_secret_is_seen_although_the_old_one_lives_on
            what_nobody_can_see_is_not_recommended
            a_hiccup_is_no_sign_that_a_server_lacks_something
            a_client_without_a_secret_is_removed_all_the_same
            a_probe_whose_answer_is_lost_tells_what_to_look_for
            what_is_configured_and_not_true_is_an_error
            a_client_that_cannot_be_removed_is_named
            what_one_token_for_all_clients_does_is_learned_with_it
            a_check_registers_nobody
            what_is_wrong_is_named_with_the_member_to_correct
            what_is_not_known_is_told_before_a_call_depends_on_it
            a_document_of_another_issuer_is_not_believed
            what_cannot_be_true_at_once_is_told_with_all_other_mistakes;
    })
}
