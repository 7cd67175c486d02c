//! The table of broken rules: what the connector does wrong, and which checks must find it, and no other of their
//! groups.

/// A rule that the connector breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) fault: Fault,
    /// What is run: by default the groups of those that must fail.
    pub(crate) run: &'static [&'static str],
    /// The checks that must fail, in their order.
    pub(crate) found_by: &'static [&'static str],
}

macro_rules! faults {
    ($($(#[doc = $what:literal])+ $name:ident $(while $run:literal)* => $($found_by:literal),+;)+) => {
        /// What a connector does wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault {
            /// Nothing.
            None,
            /// Nothing either: it answers so many calls in a while, and asks for patience with the others.
            Throttles,
            /// Makes clients and says nothing about them.
            NeverAnswersCreates,
            /// Nor about what became of them.
            NeverAnswersAborts,
            $($(#[doc = $what])+ $name,)+
        }

        /// Every rule that the connector can break.
        pub(crate) const ALL: &[Broken] = &[
            $(Broken { fault: Fault::$name, run: &[$($run),*], found_by: &[$($found_by),+] },)+
        ];
    };
}

faults! {
    /// Calls itself something that is no label.
    NameIsNoLabel => "describe/tells_name_version_and_times";
    /// Names a capability twice.
    CapabilityTwice => "describe/names_each_capability_once";
    /// Each description differs.
    DescribesItselfAnew => "describe/gives_the_same_answer_each_time";
    /// Claims UPDATE, and UpdateClient is UNIMPLEMENTED.
    ClaimsUpdateAndRefusesIt =>
        "describe/does_what_it_claims", "update/changes_what_is_given", "update/may_clear_the_description",
        "update/never_changes_a_secret", "update/refuses_by_name_what_cannot_be_honoured";
    /// Does not claim UPDATE, and UpdateClient works.
    DoesMoreThanItClaims => "describe/refuses_what_it_does_not_claim";
    /// Does not claim UPDATE, and does not say that a refused update did nothing.
    UnclaimedMayBeApplied => "describe/refuses_what_it_does_not_claim";
    /// The worst finding comes last.
    FindingsUnsorted => "describe/examines_the_identity_provider";
    /// Cannot use its IdP.
    FindsAnError => "describe/finds_nothing_wrong";

    /// Refuses a create without an origin.
    NeedsAnOrigin => "create/the_least_that_can_be_asked_for";
    /// Counts bytes where characters count.
    CountsBytes => "create/the_most_that_can_be_asked_for";
    /// Refuses names with markup.
    RefusesMarkup => "create/names_that_look_dangerous";
    /// Fails at a redirect URI of 2,048 characters.
    FailsAtLongUris => "create/the_longest_redirect_uri_is_kept_or_refused_by_name";
    /// Drops the scopes beyond the fiftieth.
    CutsScopes => "create/what_is_too_much_is_refused_by_name";
    /// Drops redirect URIs of an unsafe scheme and goes on.
    DropsUnsafeUris => "create/redirect_uris_that_are_not_safe_are_refused";
    /// Removes control characters and goes on.
    StripsControlCharacters => "create/control_characters_are_refused";
    /// Drops grant types that it does not know and goes on.
    DropsUnknownGrants => "create/a_grant_type_that_nobody_knows_is_refused";
    /// Tells the first violation alone.
    TellsTheFirstViolation => "create/every_violation_is_told_at_once";
    /// Makes another client for a repeated operation id.
    RepeatedCreateMakesAnother => "create/a_repeated_operation_id_is_refused", "create/one_of_two_with_one_operation_id";
    /// Makes another client for a repeated operation id, and refuses it then.
    RefusesTheSecondAndKeepsIt =>
        "create/a_repeated_operation_id_is_refused", "create/one_of_two_with_one_operation_id",
        "clean_up/everything_that_the_run_made_is_gone";
    /// Marks no probe.
    ForgetsProbe => "create/a_client_for_verify_is_marked_so";
    /// Delivers a secret that is not the client's.
    DeliversAnotherSecret => "create/a_repeated_operation_id_is_refused", "create/the_first_secret_works";

    /// NOT_FOUND instead of ABSENT.
    DeleteOfTheUnknownIsNotFound =>
        "delete/of_an_unknown_client_is_absent", "delete/twice_is_deleted_and_then_absent",
        "clean_up/everything_that_the_run_made_is_gone";
    /// Says DELETED and deletes nothing.
    DeleteLeavesTheClient =>
        "delete/twice_is_deleted_and_then_absent", "delete/ends_the_client", "delete/ends_its_secrets",
        "clean_up/everything_that_the_run_made_is_gone";
    /// Says LEFT_IN_PLACE of what it deletes.
    SaysLeftInPlace while "create/the_least" while "delete/" =>
        "delete/twice_is_deleted_and_then_absent", "clean_up/everything_that_the_run_made_is_gone";
    /// Says ABSENT of ids that no client can have.
    AnyClientId => "delete/of_an_id_that_no_client_can_have_is_refused";

    /// A rotation gives the client's first secret again.
    RotationGivesTheOldSecret =>
        "rotate/gives_a_new_secret_in_the_place_of_the_old_one", "rotate/works_however_often",
        "rotate/with_a_repeated_operation_id_is_refused", "rotate/ends_the_old_secret";
    /// The third rotation of a client fails.
    RotatesTwice => "rotate/works_however_often";
    /// A rotation adds a secret and keeps the old one alive.
    RotationKeepsTheOldSecret =>
        "rotate/gives_a_new_secret_in_the_place_of_the_old_one", "rotate/works_however_often",
        "rotate/leaves_one_secret_of_many", "rotate/ends_the_old_secret";
    /// A rotation of a client with added secrets leaves two.
    RotationLeavesTwoOfMany => "rotate/leaves_one_secret_of_many";
    /// Rotates again for a repeated operation id.
    RepeatedRotationRotates => "rotate/with_a_repeated_operation_id_is_refused";

    /// A create names another secret id than the list.
    CreateNamesAnotherSecretId => "secrets/a_new_client_has_one";
    /// Each reading names other ids.
    ListsOtherIds while "secrets/reading" => "secrets/reading_gives_the_same_each_time";
    /// Reading often rotates.
    ReadingRotates => "secrets/reading_gives_the_same_each_time", "secrets/reading_changes_nothing";
    /// An addition rotates.
    AdditionRotates =>
        "secrets/an_added_one_stands_beside_the_others", "secrets/one_too_many_is_refused", "secrets/a_removed_one_is_gone";
    /// The limit of secrets is INTERNAL.
    SecretLimitIsInternal => "secrets/one_too_many_is_refused";
    /// Says REMOVED and removes nothing.
    RemovalLeavesTheSecret => "secrets/a_removed_one_is_gone", "secrets/the_last_one_goes_or_is_refused";
    /// The last secret's removal is INTERNAL.
    LastSecretIsInternal => "secrets/the_last_one_goes_or_is_refused";
    /// NOT_FOUND instead of ABSENT.
    RemovalOfTheUnknownIsNotFound => "secrets/a_removed_one_is_gone", "secrets/removing_the_unknown_is_absent";
    /// Adds for a repeated operation id.
    RepeatedAdditionAdds => "secrets/adding_with_a_repeated_operation_id_is_refused";

    /// An update without a name is refused.
    UpdateNeedsAName => "update/changes_what_is_given", "update/may_clear_the_description";
    /// An empty description is refused.
    RefusesAnEmptyDescription => "update/may_clear_the_description";
    /// An update rotates.
    UpdateRotates => "update/never_changes_a_secret";
    /// An update cuts what is too long.
    UpdateCuts => "update/refuses_by_name_what_cannot_be_honoured";

    /// UNCHANGED instead of NOT_MAPPED.
    UnmappedIsUnchanged => "registrations/for_what_nothing_is_mapped_to_change_nothing";
    /// CHANGED instead of UNCHANGED.
    RegistrationAlwaysChanges =>
        "registrations/twice_change_nothing", "registrations/of_one_audience_do_not_undo_each_other",
        "registrations/end_in_any_order";
    /// The second registration of one audience ends the first.
    SecondRegistrationEndsTheFirst =>
        "registrations/of_one_audience_do_not_undo_each_other", "registrations/end_in_any_order",
        "registrations/show_in_tokens";
    /// Removing one registration of an audience ends the others.
    RemovalEndsAllRegistrations =>
        "registrations/of_one_audience_do_not_undo_each_other", "registrations/end_in_any_order",
        "registrations/show_in_tokens";
    /// Takes a kind that it does not know for an API.
    GuessesTheKind => "registrations/of_a_kind_that_nobody_knows_are_refused";
    /// A registration rotates.
    RegistrationRotates => "registrations/never_change_a_secret", "registrations/show_in_tokens";
    /// Keeps registrations and grants nothing.
    GrantsNothing => "registrations/show_in_tokens";

    /// INTERNAL instead of NOT_FOUND.
    UnknownIsInternal => "ownership/what_is_not_there_is_not_found";
    /// Does not look at the provider of the mark.
    IgnoresTheProvider => "ownership/another_providers_client_is_not_found";
    /// Does not look at the installation of the mark.
    IgnoresTheInstallation => "ownership/another_installations_client_is_not_found";
    /// Says DELETED of what it must leave in place.
    DeletesWhatIsNotOurs =>
        "ownership/an_unmarked_client_is_left_alone", "ownership/an_admitted_client_is_served_and_not_deleted";
    /// Says ABSENT of its own credential.
    OwnCredentialIsAbsent => "ownership/the_own_credential_is_not_found";

    /// Lists other operations than those of the marks.
    ListsAnotherOperation => "listing/tells_the_marks";
    /// Lists the caller's provider alone.
    ListsOneProvider => "listing/is_the_installations_own";
    /// Lists every installation's clients to everybody.
    ListsForeignClients => "listing/is_the_installations_own";
    /// Lists deleted clients.
    ListsWhatWasDeleted => "listing/forgets_what_was_deleted", "clean_up/everything_that_the_run_made_is_gone";
    /// Gives pages of any size.
    IgnoresThePageSize => "listing/comes_page_by_page", "listing/misses_nobody_while_clients_come_and_go";
    /// Gives the first page again and again.
    IgnoresThePageToken => "listing/comes_page_by_page", "listing/misses_nobody_while_clients_come_and_go", "listing/refuses_a_token_of_another";
    /// Pages by an offset, which deletions move.
    PagesByOffset => "listing/misses_nobody_while_clients_come_and_go";
    /// Takes a broken token for none.
    BrokenTokenIsTheFirstPage => "listing/refuses_a_token_of_another";
    /// Takes any page size.
    AnyPageSize => "listing/refuses_sizes_that_no_page_has";

    /// An abort that finds nothing is NOT_FOUND.
    AbortOfTheUnknownIsNotFound =>
        "abort/of_what_never_came_is_accepted", "abort/keeps_the_create_from_being_done_later", "abort/may_be_repeated",
        "abort/may_be_asked_for_again_after_settle_after", "abort/of_an_old_operation_is_refused";
    /// Forgets aborts of what has not come yet.
    ForgetsAborts => "abort/keeps_the_create_from_being_done_later", "abort/keeps_the_secret_from_being_added_later";
    /// Says UNDONE and leaves the client.
    AbortLeavesTheClient =>
        "abort/removes_the_client_of_a_lost_answer", "abort/leaves_a_client_that_was_named",
        "abort/leaves_a_client_that_has_a_registration", "abort/may_be_asked_for_again_after_settle_after",
        "abort/by_another_provider_removes_nothing";
    /// A repeated abort is INTERNAL.
    RepeatedAbortIsInternal => "abort/may_be_repeated", "abort/may_be_asked_for_again_after_settle_after";
    /// An abort removes what was delivered.
    AbortRemovesWhatWasDelivered =>
        "abort/leaves_a_client_that_was_named", "abort/leaves_a_client_that_has_a_registration",
        "abort/may_be_asked_for_again_after_settle_after", "abort/by_another_provider_removes_nothing";
    /// An abort that has settled is not known any more.
    ForgetsSettledAborts => "abort/may_be_asked_for_again_after_settle_after";
    /// An abort does not look at who asks.
    AbortIgnoresTheCaller => "abort/by_another_provider_removes_nothing";
    /// Accepts aborts of any age.
    AbortsOldOperations => "abort/of_an_old_operation_is_refused";
    /// Says UNDONE and leaves the added secret.
    AbortLeavesTheSecret => "abort/removes_an_added_secret_and_no_other";

    /// A create whose caller has gone is neither finished nor found by its abort.
    LostCreateIsLeft =>
        "cancellation/of_creates_leaves_nothing_once_they_are_aborted",
        "deadlines/that_are_too_short_leave_nothing_behind", "clean_up/everything_that_the_run_made_is_gone";
    /// A rotation whose caller has gone is done later.
    LostRotationOvertakes => "cancellation/of_a_rotation_is_healed_by_another";
    /// A rotation whose caller has gone keeps its lock.
    LostRotationKeepsItsLock => "cancellation/of_a_rotation_is_healed_by_another";
    /// An addition whose caller has gone is not found by its abort.
    LostAdditionIsLeft => "cancellation/of_added_secrets_leaves_nothing_once_they_are_aborted";

    /// Takes its time, however little there is.
    IgnoresDeadlines => "deadlines/are_kept_when_they_are_short", "answers/every_call_is_answered_in_time";
    /// Refuses a deadline in hours.
    KnowsNoHours => "deadlines/come_in_any_unit";

    /// A missing caller is INTERNAL.
    MissingCallerIsInternal => "errors/an_empty_request_is_refused_by_name";
    /// Takes any caller for the usual one.
    AnyCaller => "errors/a_caller_that_is_none_is_refused";
    /// Takes any operation id.
    AnyOperationId => "errors/an_operation_id_that_is_no_uuidv7_is_refused";
    /// Takes an abort without a target for that of a create.
    GuessesTheTarget => "errors/an_abort_without_a_target_is_refused";
    /// Refuses what a later contract adds.
    RefusesUnknownFields => "errors/a_field_of_a_later_contract_is_ignored";
    /// Takes messages of any size.
    AnyMessage => "errors/a_message_beyond_the_limit_is_refused";

    /// Health knows no such service.
    HealthKnowsNoService => "transport/health_tells_serving";
    /// Refuses what comes while others are answered.
    AnswersFewAtOnce => "transport/many_calls_at_once_are_answered";
    /// Hangs up on the third ping.
    HangsUpOnPings => "transport/pings_while_calls_are_open_are_tolerated";

    /// Cancels what it is doing when it is told to end.
    DropsCallsAtItsEnd => "drain/calls_that_have_arrived_are_answered";
    /// Goes on as if it had not been told, and ends later.
    ServesOnAtItsEnd => "drain/health_tells_of_it";
    /// Goes on, and refuses what comes with a bare status.
    RefusesLateCallsBarely => "drain/health_tells_of_it", "drain/calls_that_come_later_are_answered_or_not_begun";
    /// Does all that it should, and stays.
    NeverEnds => "drain/the_process_ends_in_time";

    /// NOT_FOUND comes without ErrorInfo.
    OmitsErrorInfo while "ownership/what_is_not" while "answers/" => "answers/every_failure_has_error_info";
    /// NOT_FOUND comes without OutcomeDetail.
    OmitsOutcome while "ownership/what_is_not" while "answers/" => "answers/every_failed_mutation_tells_its_outcome";
    /// INVALID_ARGUMENT comes without BadRequest.
    OmitsBadRequest while "create/a_grant_type" while "answers/" =>
        "create/a_grant_type_that_nobody_knows_is_refused", "answers/every_invalid_argument_names_its_fields";
    /// Sentences are longer than Konnect takes.
    LongSentences while "ownership/what_is_not" while "answers/" => "answers/sentences_fit_konnect";
    /// A status tells the last secret.
    TellsSecrets while "create/a_repeated" while "answers/" => "answers/no_secret_is_shown_twice";
    /// A secret's id cannot stand in a path.
    SecretIdIsNoSegment while "create/the_least" while "answers/" => "answers/every_answer_keeps_to_the_file";
}
