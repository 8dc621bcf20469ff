//! The list of cases: the one place that says which there are, what they check and what they need.

use crate::cases as case_modules;
use crate::{Case, Clause};

/// Calls a macro with every case: its module and name, the clauses it checks, the capabilities it needs.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ([$($then:tt)+] [$($argument:tt)*]) => {
        $($then)+! {
            [$($argument)*]
            atomic::all_operations_of_a_commit_land [S1] [];
            atomic::operations_of_a_commit_apply_in_order [S1] [];
            atomic::a_refused_operation_undoes_the_whole_commit [S1] [];
            atomic::a_refused_operation_creates_no_session [S1] [];
            atomic::replacing_a_message_that_is_not_there_is_refused [S1] [];
            atomic::success_reports_the_head_that_is_stored [S1 S2] [];
            atomic::bodies_and_app_state_are_any_bytes [S1] [];
            atomic::app_state_stays_until_it_is_set [S1] [];
            atomic::an_absent_session_is_nothing [S1 S9] [];
            atomic::a_future_that_was_never_polled_changes_nothing [S1] [];
            atomic::a_commit_dropped_after_a_poll_is_whole_or_nothing [S1] [];
            atomic::an_accepted_commit_finishes_after_its_future_is_dropped [S1] [AcceptsOnFirstPoll];
            atomic::reopening_keeps_everything [S1] [Reopen];
            atomic::a_crash_keeps_every_acknowledged_commit [S1] [Crash];
            atomic::a_crash_leaves_no_half_commit [S1] [Crash];
            atomic::life_goes_on_after_a_crash [S2 S1] [Crash];
            order::appends_get_the_next_seqs_from_1 [S2] [];
            order::a_session_may_begin_without_messages [S2] [];
            order::a_removed_seq_is_never_used_again [S2] [];
            order::a_removed_seq_is_not_used_again_after_reopening [S2] [Reopen];
            order::a_replaced_message_keeps_its_place [S2] [];
            order::a_removal_takes_what_the_range_holds [S2] [];
            order::times_never_move_backwards [S2] [];
            order::a_read_sees_every_commit_that_returned [S2] [];
            order::concurrent_creations_make_one_session [S3 S2] [];
            order::of_concurrent_commits_on_one_version_one_wins [S3 S2] [];
            order::a_page_and_its_head_are_one_view [S2] [];
            versions::every_commit_makes_a_new_version [S3] [];
            versions::versions_do_not_repeat_after_delete_and_re_creation [S3] [];
            versions::versions_do_not_repeat_across_reopening [S3] [Reopen];
            versions::a_commit_on_an_old_version_conflicts_and_changes_nothing [S3] [];
            versions::creating_a_session_that_exists_conflicts [S3] [];
            versions::a_commit_on_a_version_of_an_absent_session_conflicts [S3] [];
            versions::a_version_of_an_earlier_life_conflicts [S3] [];
            versions::a_conflict_tells_the_version_to_go_on_with [S3] [];
            versions::base_moves_with_every_change_but_appends [S3] [];
            versions::base_survives_reopening [S3] [Reopen];
            damage::load_names_a_damaged_message_of_the_tail [S4] [Corrupt];
            damage::load_names_a_damaged_last_message [S4] [Corrupt];
            damage::read_names_the_first_damaged_message_of_the_page [S4] [Corrupt];
            damage::salvage_returns_what_is_readable_and_names_the_rest [S4] [Corrupt];
            damage::damaged_messages_count_towards_the_page_of_a_salvage [S4] [Corrupt];
            damage::salvage_names_a_damaged_last_message [S4] [Corrupt];
            damage::a_damaged_message_can_be_removed [S4] [Corrupt];
            damage::a_damaged_head_is_named_and_not_taken_for_absence [S4] [Corrupt];
            damage::salvage_returns_messages_under_a_damaged_head [S4] [Corrupt];
            damage::a_damaged_session_can_be_deleted_and_begin_anew [S6 S4] [Corrupt];
            damage::damage_in_one_session_does_not_touch_another [S9 S4] [Corrupt];
            touch::a_touch_raises_the_time_and_nothing_else [S5] [];
            touch::a_touch_never_lowers_the_time [S5] [];
            touch::touching_nothing_does_nothing [S5] [];
            touch::a_touch_is_in_nobodys_way [S5 S2] [];
            touch::a_touch_survives_reopening [S5] [Reopen];
            delete::a_delete_removes_everything [S6] [];
            delete::deleting_nothing_succeeds [S6] [];
            delete::a_deleted_id_begins_anew [S6] [];
            delete::a_delete_may_require_a_version [S6] [];
            delete::a_delete_may_require_that_a_session_is_idle [S6] [];
            delete::a_touch_keeps_a_session_from_being_idle [S6 S5] [];
            delete::a_delete_survives_reopening [S6 S1] [Reopen];
            delete::a_crash_does_not_undo_an_acknowledged_delete [S6 S1] [Crash];
            limits::a_body_may_have_all_the_bytes_declared_and_no_more [S7] [ReachableLimits];
            limits::app_state_may_have_all_the_bytes_declared_and_no_more [S7] [ReachableLimits];
            limits::a_commit_may_have_all_the_bytes_declared_and_no_more [S7] [ReachableLimits];
            limits::a_commit_may_have_all_the_operations_declared_and_no_more [S7] [ReachableLimits];
            limits::what_is_too_large_disturbs_no_other_session [S9 S7] [ReachableLimits];
            limits::limits_and_durability_stay_the_same [S7] [];
            reads::reads_go_forward_and_backward [S2] [];
            reads::a_page_holds_at_most_the_messages_asked_for [S8] [];
            reads::a_page_holds_at_most_the_bytes_asked_for_but_a_message [S8] [];
            reads::an_empty_range_yields_no_messages [S8] [];
            reads::reads_pass_over_removed_messages [S8] [];
            reads::pages_put_together_are_the_session [S8] [];
            reads::load_returns_the_longest_tail_within_both_bounds [S8] [];
            reads::the_tail_passes_over_removed_messages [S8] [];
            isolation::ids_that_look_alike_are_apart [S9] [];
            isolation::changing_one_session_changes_no_other [S9] [];
            isolation::sessions_grow_side_by_side [S9] [];
            isolation::a_refused_request_disturbs_no_other_session [S9] [];
            listing::a_listing_shows_every_session_once [S9] [List];
            listing::a_listing_follows_every_change [S9] [List];
            listing::a_listing_may_be_of_a_prefix [S9] [List];
            listing::a_listing_goes_on_after_any_id [S9] [List];
            listing::a_listing_may_be_of_idle_sessions [S6 S5] [List];
            listing::sessions_that_stay_are_listed_once_while_others_come_and_go [S9] [List];
            listing::a_listing_survives_reopening [S1] [List Reopen];
            listing::a_listing_shows_damaged_sessions_as_such [S4] [List Corrupt];
            threads::writers_in_threads_lose_nothing [S2 S3] [Threads];
            threads::readers_in_threads_see_whole_commits [S1 S2] [Threads];
            threads::sessions_in_threads_do_not_mix [S9] [Threads];
            threads::an_expiry_never_deletes_what_a_touch_just_kept [S6] [Threads];
            chat_order::what_a_call_did_is_there_for_a_new_hub [C1] [];
            chat_order::a_crash_keeps_what_calls_returned [C1 S1] [Crash];
            chat_order::readers_do_not_wait_behind_a_writer [C1] [];
            chat_order::simultaneous_first_uses_load_once [C2] [];
            chat_order::eviction_never_splits_a_session [C2] [];
            chat_order::calls_gather_while_a_commit_is_under_way [C3] [];
            chat_order::a_dropped_caller_stops_nothing [C3] [];
            chat_order::a_dropped_caller_takes_nobody_with_it [C3] [];
            chat_dropped::a_dropped_callers_change_is_seen_by_the_next_read [C1 C3] [AcceptsOnFirstPoll];
            chat_dropped::a_session_whose_callers_went_away_leaves_memory [C2 C9] [AcceptsOnFirstPoll];
            chat_dropped::what_a_dropped_caller_created_is_kept_while_it_is_read [C10 C1] [AcceptsOnFirstPoll List];
            chat_failure::a_failed_commit_leaves_no_ghost [C4] [];
            chat_failure::an_unknown_outcome_is_said_and_the_truth_is_read [C4] [];
            chat_failure::a_failed_commit_fails_every_call_in_it_alike [C4] [];
            chat_failure::a_refused_call_fails_alone [C4] [];
            chat_failure::what_only_the_store_can_refuse_fails_alone_too [C4] [];
            chat_failure::a_failed_load_is_an_error_and_not_an_empty_session [C8] [];
            chat_failure::two_hubs_lose_nothing [C5] [];
            chat_failure::hubs_in_threads_lose_nothing [C5] [Threads];
            chat_failure::a_turn_is_made_again_on_what_another_hub_left [C5] [];
            chat_failure::a_change_that_always_meets_a_conflict_is_contended [C5] [];
            chat_failure::a_turn_may_require_a_version [C5] [];
            chat_state::app_state_keeps_what_the_type_does_not_know [C6] [];
            chat_state::messages_work_beside_app_state_that_does_not_fit [C6] [];
            chat_state::a_message_id_is_stored_once [C7] [];
            chat_state::a_batch_is_known_or_new_and_never_mixed [C7] [];
            chat_state::the_window_of_ids_depends_on_what_is_stored_alone [C7] [];
            chat_state::the_window_of_ids_does_not_grow_with_what_was_loaded [C7] [];
            chat_state::a_list_of_messages_is_stored_as_its_difference [C7] [];
            chat_state::an_absent_session_reads_as_new_and_is_not_written [C8] [];
            chat_state::two_hubs_create_a_session_once [C8 C5] [];
            chat_state::a_long_session_is_read_in_bounded_parts [C9] [];
            chat_state::live_sessions_are_bounded_in_memory [C9] [];
            chat_state::what_exceeds_a_limit_changes_nothing [C9] [];
            chat_expiry::idle_sessions_expire_and_used_ones_do_not [C10] [List];
            chat_expiry::reading_writes_a_touch_at_most_once_per_interval [C10] [];
            chat_expiry::a_sweep_writes_pending_touches_first [C10] [List];
            chat_expiry::what_another_hub_uses_does_not_expire [C10] [List];
            chat_expiry::a_sweep_keeps_what_is_used_while_it_runs [C10] [List];
        }
    };
}

macro_rules! case_table {
    ([] $($module:ident :: $case:ident [$($clause:ident)+] [$($need:ident)*];)*) => {
        static CASES: &[Case] = &[$(
            Case {
                name: stringify!($case),
                clauses: &[$(Clause::$clause),+],
                needs: &[$(crate::Capability::$need),*],
                body: |fixture| Box::pin(case_modules::$module::$case(fixture)),
            },
        )*];
    };
}

__conformance_cases! { [case_table] [] }

/// All cases, as data, for places where no test harness runs.
pub fn cases() -> &'static [Case] {
    CASES
}
