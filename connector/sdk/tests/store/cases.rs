//! The cases: what each is called is what the store promises.

mod backup;
mod commands;
mod crashes;
mod holds;
mod keys;
mod outage;
mod processes;
mod rows;
mod secrecy;
mod tampering;

use std::pin::Pin;

use crate::world::{Place, World};

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(World) -> Pin<Box<dyn Future<Output = ()>>>,
    on: On,
}

#[derive(Clone, Copy)]
enum On {
    Both,
    Sqlite,
    Postgres,
}

impl Case {
    pub(crate) fn is_for(&self, place: &Place) -> bool {
        match (self.on, place) {
            (On::Both, _) | (On::Sqlite, Place::Sqlite) | (On::Postgres, Place::Postgres(_)) => {
                true
            }
            (On::Sqlite | On::Postgres, _) => false,
        }
    }
}

macro_rules! cases {
    ($($on:ident $module:ident { $($name:ident),* $(,)? })*) => {
        pub(crate) fn all() -> Vec<Case> {
            vec![$($(Case {
                name: stringify!($name),
                run: |world| Box::pin($module::$name(world)),
                on: On::$on,
            },)*)*]
        }
    };
}

cases! {
    // First: its checkpoint writes down all that the cases before it have left in the memory of a PostgreSQL.
    Both secrecy { no_token_and_no_name_is_in_the_database }
    Both rows {
        a_row_is_found_as_it_was_inserted,
        an_operation_makes_one_client_however_many_replicas_it_comes_to,
        a_client_that_was_removed_again_is_not_left_in_the_store,
        what_was_given_up_at_any_moment_leaves_no_intent,
        an_intent_stays_until_its_end_is_known,
        a_second_row_of_a_client_is_refused,
        what_was_buried_is_a_tombstone,
        a_list_has_every_live_client_of_the_installation_once,
    }
    Both holds {
        a_change_is_there_and_ends_the_hold,
        a_held_client_is_not_held_twice,
        changes_from_two_replicas_at_once_lose_none,
        a_client_whose_holder_died_is_buried_and_moved_to_another_key,
        an_answer_that_comes_after_the_lease_is_written_if_nobody_has_changed_the_row,
        a_hold_that_was_given_up_at_any_moment_is_over,
        what_was_noted_or_not_when_the_database_did_not_answer_is_of_no_harm,
        a_call_whose_process_died_leaves_a_doubt_that_a_success_clears,
        a_doubt_stays_until_a_call_was_answered,
        what_a_fault_leaves_open_is_noted,
    }
    Sqlite holds { a_dead_process_holds_nothing_of_a_sqlite_file }
    Postgres holds { a_dead_replica_holds_a_client_until_its_lease_ends }
    Both tampering {
        a_row_that_was_changed_is_refused_and_the_others_are_served,
        an_old_sealed_part_does_not_open_in_a_newer_row,
    }
    Both keys {
        rows_move_to_a_new_key_while_others_write,
        a_key_that_is_missing_or_another_is_named,
    }
    Both backup {
        a_restored_store_is_noticed_and_what_it_does_not_know_is_no_longer_absent,
        a_restore_under_a_running_process_is_noticed,
        a_lost_database_is_noticed,
        a_backup_is_sealed_and_can_be_restored,
    }
    Postgres processes { a_file_that_is_missing_is_named }
    Sqlite backup { an_old_copy_of_the_file_is_noticed }
    Both processes {
        processes_that_start_together_make_one_schema,
        a_schema_of_a_newer_connector_is_refused,
        a_configuration_that_is_read_again_shares_the_database,
    }
    Sqlite processes {
        a_second_process_may_not_serve_from_a_sqlite_file,
        a_sqlite_file_may_have_any_name,
    }
    Both commands {
        an_operator_sees_what_needs_attention_and_mends_it,
        a_backup_of_store_and_keyring_is_restored_by_the_book,
        a_new_key_is_made_and_rows_move_to_it,
    }
    Both crashes { what_was_acknowledged_before_a_kill_is_there }
    Postgres outage {
        what_cannot_be_asked_was_not_applied,
        a_row_that_cannot_be_written_is_written_when_the_database_is_back,
        a_replica_that_stands_still_keeps_no_other_from_writing,
        what_was_acknowledged_before_the_server_was_killed_is_there,
    }
}
