//! The list of all cases, with the clauses that each checks and the capabilities that it needs.

use crate::cases as case_modules;
use crate::{Case, Clause};

/// Calls a macro with every case: its module and name, its clauses and the capabilities that it
/// needs.
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
            atomic::bodies_and_app_state_keep_any_bytes [S1] [];
            atomic::app_state_stays_until_it_is_set [S1] [];
            atomic::loads_and_reads_of_an_absent_session_find_nothing [S1 S9] [];
            atomic::a_future_that_was_never_polled_changes_nothing [S1] [];
            atomic::a_commit_dropped_after_a_poll_is_whole_or_nothing [S1] [];
            atomic::an_accepted_commit_finishes_after_its_future_is_dropped
                [S1] [AcceptsOnFirstPoll];
            atomic::reopening_keeps_everything [S1] [Reopen];
            atomic::a_crash_keeps_every_acknowledged_commit [S1] [Crash];
            atomic::a_crash_leaves_no_half_commit [S1] [Crash];
            atomic::commits_go_on_after_a_crash_and_reuse_no_seq [S2 S1] [Crash];
            order::appends_get_the_next_seqs_from_1 [S2] [];
            order::a_session_may_begin_without_messages [S2] [];
            order::a_removed_seq_is_never_used_again [S2] [];
            order::a_removed_seq_is_not_used_again_after_reopening [S2] [Reopen];
            order::a_replaced_message_keeps_its_place [S2] [];
            order::a_removal_removes_the_messages_in_its_range [S2] [];
            order::times_never_move_backwards [S2] [];
            order::a_read_sees_every_commit_that_returned [S2] [];
            order::concurrent_creations_make_one_session [S3 S2] [];
            order::one_of_concurrent_commits_on_a_version_succeeds [S3 S2] [];
            order::a_page_and_its_head_are_of_one_moment [S2] [];
            versions::every_commit_makes_a_new_version [S3] [];
            versions::versions_do_not_repeat_when_a_deleted_session_is_created_again [S3] [];
            versions::versions_do_not_repeat_across_reopening [S3] [Reopen];
            versions::a_commit_on_an_old_version_conflicts_and_changes_nothing [S3] [];
            versions::creating_a_session_that_exists_conflicts [S3] [];
            versions::a_commit_on_a_version_of_an_absent_session_conflicts [S3] [];
            versions::a_version_from_before_a_delete_conflicts [S3] [];
            versions::a_conflict_reports_the_current_version [S3] [];
            versions::base_moves_with_every_change_except_appends [S3] [];
            versions::base_survives_reopening [S3] [Reopen];
            versions::closed_moves_with_every_close_and_nothing_else [S3 S10] [];
            versions::closed_survives_reopening [S3 S10] [Reopen];
            versions::a_commit_that_expects_another_next_seq_conflicts [S3 S2] [];
            versions::a_session_has_the_incarnation_that_its_creation_gives [S3] [];
            versions::a_given_incarnation_survives_reopening [S3] [Reopen];
            damage::load_names_a_damaged_message_of_the_tail [S4] [Corrupt];
            damage::load_names_a_damaged_last_message [S4] [Corrupt];
            damage::read_names_the_first_damaged_message_of_the_page [S4] [Corrupt];
            damage::salvage_returns_readable_messages_and_names_damaged_ones [S4] [Corrupt];
            damage::damaged_messages_count_towards_the_page_of_a_salvage [S4] [Corrupt];
            damage::salvage_names_a_damaged_last_message [S4] [Corrupt];
            damage::a_damaged_message_can_be_removed [S4] [Corrupt];
            damage::a_damaged_head_is_an_error_and_not_an_absent_session [S4] [Corrupt];
            damage::salvage_returns_messages_under_a_damaged_head [S4] [Corrupt];
            damage::a_damaged_session_can_be_deleted_and_created_again [S6 S4] [Corrupt];
            damage::damage_in_one_session_does_not_affect_another [S9 S4] [Corrupt];
            touch::a_touch_raises_the_time_and_nothing_else [S5] [];
            touch::a_touch_never_lowers_the_time [S5] [];
            touch::touching_an_absent_session_does_nothing [S5] [];
            touch::a_touch_makes_no_commit_conflict [S5 S2] [];
            touch::a_touch_survives_reopening [S5] [Reopen];
            delete::a_delete_removes_everything [S6] [];
            delete::deleting_an_absent_session_succeeds [S6] [];
            delete::a_deleted_session_can_be_created_again_empty [S6] [];
            delete::a_delete_may_require_a_version [S6] [];
            delete::a_delete_may_require_that_a_session_is_idle [S6] [];
            delete::a_touch_keeps_a_session_from_being_idle [S6 S5] [];
            delete::a_delete_survives_reopening [S6 S1] [Reopen];
            delete::a_crash_does_not_undo_an_acknowledged_delete [S6 S1] [Crash];
            limits::a_body_of_the_declared_limit_is_stored_and_a_larger_one_refused
                [S7] [ReachableLimits];
            limits::app_state_of_the_declared_limit_is_stored_and_larger_refused
                [S7] [ReachableLimits];
            limits::a_commit_of_the_declared_bytes_is_made_and_a_larger_one_refused
                [S7] [ReachableLimits];
            limits::a_commit_of_the_declared_operations_is_made_and_a_longer_one_refused
                [S7] [ReachableLimits];
            limits::a_commit_over_a_limit_affects_no_other_session [S9 S7] [ReachableLimits];
            limits::limits_and_durability_stay_the_same [S7] [];
            reads::reads_go_forward_and_backward [S2] [];
            reads::a_page_holds_at_most_the_messages_asked_for [S8] [];
            reads::a_page_holds_at_most_the_bytes_asked_for_or_one_message [S8] [];
            reads::an_empty_range_yields_no_messages [S8] [];
            reads::reads_skip_removed_messages [S8] [];
            reads::consecutive_pages_are_the_whole_session [S8] [];
            reads::load_returns_the_longest_tail_within_both_bounds [S8] [];
            reads::the_tail_skips_removed_messages [S8] [];
            isolation::similar_ids_are_different_sessions [S9] [];
            isolation::changing_one_session_changes_no_other [S9] [];
            isolation::concurrent_commits_to_different_sessions_all_succeed [S9] [];
            isolation::a_refused_request_affects_no_other_session [S9] [];
            listing::a_listing_shows_every_session_once [S9] [List];
            listing::a_listing_follows_every_change [S9] [List];
            listing::a_listing_can_be_limited_to_an_id_prefix [S9] [List];
            listing::a_listing_continues_after_any_id [S9] [List];
            listing::a_listing_can_be_limited_to_idle_sessions [S6 S5] [List];
            listing::existing_sessions_are_listed_once_while_others_are_created_and_deleted
                [S9] [List];
            listing::a_listing_survives_reopening [S1] [List Reopen];
            listing::a_listing_marks_damaged_sessions [S4] [List Corrupt];
            threads::writers_in_threads_lose_nothing [S2 S3] [Threads];
            threads::readers_in_threads_see_whole_commits [S1 S2] [Threads];
            threads::sessions_in_threads_do_not_mix [S9] [Threads];
            threads::an_expiry_never_deletes_a_session_that_was_just_touched [S6] [Threads];
            replies::an_append_may_open_a_reply [S10] [];
            replies::a_replacement_may_open_a_reply [S10] [];
            replies::a_session_may_begin_with_an_open_reply [S10] [];
            replies::a_load_names_every_open_reply [S10] [];
            replies::a_page_names_the_open_replies_of_its_messages [S10] [];
            replies::a_message_keeps_its_body_while_its_reply_grows [S10] [];
            replies::commits_to_other_messages_do_not_change_open_replies [S10] [];
            replies::replies_open_and_close_in_the_order_of_a_commit [S10 S1] [];
            replies::open_replies_of_one_session_do_not_mix [S10] [];
            replies::open_replies_of_different_sessions_do_not_mix [S10 S9] [];
            replies::an_open_reply_may_have_any_claim [S10] [];
            replies::a_second_reply_has_its_own_format [S10] [];
            chunks::an_extension_adds_chunks_in_order [S10] [];
            chunks::an_extension_sent_again_is_skipped [S10] [];
            chunks::an_extension_beyond_the_end_is_refused_as_a_gap [S10] [];
            chunks::a_reply_is_extended_only_under_its_own_claim [S10] [];
            chunks::extending_a_reply_that_is_not_open_answers_ended [S10] [];
            chunks::a_beat_changes_only_the_count_of_beats [S10] [];
            chunks::an_extension_makes_no_version_and_moves_no_time [S10 S3 S11] [];
            chunks::an_extension_makes_no_commit_conflict [S10 S3] [];
            chunks::chunks_keep_any_bytes [S10] [];
            chunks::chunks_are_read_by_offset_and_within_bounds [S10 S8] [];
            chunks::consecutive_pages_of_chunks_are_the_whole_reply [S10] [];
            chunks::chunks_are_readable_only_while_their_reply_is_open [S10] [];
            chunks::an_extension_that_was_never_polled_changes_nothing [S10 S1] [];
            chunks::concurrent_extensions_add_each_chunk_once [S10] [];
            chunks::concurrent_extensions_are_ordered [S10] [];
            chunks_kept::an_extension_dropped_after_a_poll_is_whole_or_nothing [S10 S1] [];
            chunks_kept::an_accepted_extension_finishes_after_its_future_is_dropped
                [S10 S1] [AcceptsOnFirstPoll];
            chunks_kept::replies_survive_reopening [S10 S1] [Reopen];
            chunks_kept::a_crash_keeps_every_acknowledged_extension [S10 S1] [Crash];
            chunks_kept::a_crash_leaves_no_half_extension [S10 S1] [Crash];
            reply_close::a_close_ends_a_reply_and_drops_its_chunks [S10] [];
            reply_close::a_close_with_other_counts_is_refused [S10] [];
            reply_close::a_close_needs_the_claim_of_the_reply [S10] [];
            reply_close::a_reply_is_closed_once [S10] [];
            reply_close::one_of_concurrent_closes_succeeds [S10] [];
            reply_close::a_close_and_the_other_operations_of_its_commit_land_together [S10 S1] [];
            reply_close::a_refused_close_undoes_its_commit [S10 S1] [];
            reply_close::a_commit_reports_its_first_refused_operation [S10 S1] [];
            reply_close::a_creation_with_a_refused_close_makes_no_session [S10 S1] [];
            reply_close::a_close_may_reopen_its_message [S10] [];
            reply_close::a_second_reply_sees_no_chunk_of_the_first [S10] [];
            reply_close::a_second_reply_sees_no_chunk_of_the_first_after_reopening [S10] [Reopen];
            reply_close::a_concurrent_extension_and_close_are_ordered [S10] [];
            reply_close::replacing_a_message_ends_its_reply [S10] [];
            reply_close::removing_messages_ends_their_replies [S10] [];
            reply_close::deleting_a_session_ends_its_replies [S10 S6] [];
            reply_close::an_ended_reply_stays_ended_after_reopening [S10 S1] [Reopen];
            reply_close::a_crash_does_not_undo_an_acknowledged_close [S10 S1] [Crash];
            reply_close::a_crash_leaves_no_half_close [S10 S1] [Crash];
            reply_threads::producers_in_threads_lose_nothing_beside_commits [S10 S2] [Threads];
            reply_threads::readers_in_threads_see_chunks_in_order [S10 S2] [Threads];
            reply_threads::a_close_in_a_thread_counts_every_acknowledged_chunk [S10 S2] [Threads];
            reply_limits::an_extension_of_the_declared_bytes_is_made_and_a_larger_one_refused
                [S7 S10] [ReachableLimits];
            reply_limits::an_extension_of_the_declared_chunks_is_made_and_a_longer_one_refused
                [S7 S10] [ReachableLimits];
            reply_limits::a_reply_leaves_room_for_its_close [S7 S10] [ReachableLimits];
            reply_limits::the_body_and_chunks_of_a_reply_count_towards_its_limit
                [S7 S10] [ReachableLimits];
            reply_limits::an_opening_leaves_room_for_its_reply [S7 S10] [ReachableLimits];
            damaged_replies::a_read_of_chunks_names_the_first_that_is_damaged [S4 S10] [Corrupt];
            damaged_replies::the_chunks_of_a_damaged_extension_are_named_by_an_offset_in_it
                [S4 S10] [Corrupt];
            damaged_replies::a_damaged_last_chunk_is_named_and_never_guessed [S4 S10] [Corrupt];
            damaged_replies::salvage_returns_every_message_beside_damaged_chunks [S4 S10] [Corrupt];
            damaged_replies::a_message_with_a_damaged_chunk_can_be_removed [S4 S10] [Corrupt];
            damaged_replies::a_message_with_a_damaged_chunk_can_be_replaced [S4 S10] [Corrupt];
            damaged_replies::a_session_with_damaged_chunks_can_be_deleted_and_created_again
                [S6 S4] [Corrupt];
            damaged_replies::a_damaged_chunk_affects_no_other_session [S9 S4] [Corrupt];
            damaged_replies::a_message_moved_to_another_session_is_damage_and_never_shown
                [S4 S9] [Misplace];
            tags::a_load_brings_the_tags_of_the_last_messages_whatever_their_size [C7] [];
            tags::every_message_of_a_commit_is_tagged [C7] [];
            tags::after_a_removal_the_tags_reach_further_back [C7] [];
            tags::a_replaced_message_has_its_new_tag [C7] [];
            tags::tags_survive_reopening [C7 S1] [Reopen];
            labels::labels_are_set_at_the_creation_and_later [S11] [];
            labels::a_session_begins_without_labels [S11] [];
            labels::setting_labels_makes_a_version_and_moves_nothing_else [S11 S3] [];
            labels::labels_stay_until_they_are_set [S11] [];
            labels::labels_keep_any_text [S11] [];
            labels::labels_and_formats_have_limits [S7 S11 S10] [];
            labels::a_refused_commit_sets_no_labels [S11 S1] [];
            labels::deleting_a_session_deletes_its_labels [S11 S6] [];
            labels::labels_survive_reopening [S11 S1] [Reopen];
            labels::a_crash_keeps_acknowledged_labels [S11 S1] [Crash];
            changed_at::every_change_of_content_moves_the_time_of_change [S11] [];
            changed_at::nothing_else_moves_the_time_of_change [S11] [];
            changed_at::the_time_of_change_never_moves_backwards [S11 S2] [];
            changed_at::the_time_of_change_survives_reopening [S11 S1] [Reopen];
            owners::an_owners_sessions_are_listed_newest_first [S11] [List];
            owners::an_owners_sessions_may_be_listed_by_id [S11] [List];
            owners::sessions_changed_at_one_time_are_listed_by_id [S11] [List];
            owners::every_change_brings_a_session_to_the_front_of_its_owner [S11] [List];
            owners::a_session_is_listed_only_for_its_current_owner [S11] [List];
            owners::a_deleted_session_is_listed_for_no_owner [S11 S6] [List];
            owners::similar_owners_are_different_owners [S11 S9] [List];
            owners::an_owners_list_can_be_limited_to_changed_or_idle_sessions [S11] [List];
            owners::an_owners_list_continues_after_any_session [S11] [List];
            owners_listing::sessions_changed_during_a_listing_are_listed_or_found_by_changed_since
                [S11] [List];
            owners_listing::sessions_deleted_during_a_listing_do_not_end_it [S11] [List];
            owners_listing::an_owners_list_survives_reopening [S11 S1] [List Reopen];
            owners_listing::an_owners_list_survives_a_crash [S11 S1] [List Crash];
            owners_listing::a_damaged_session_does_not_end_its_owners_list [S11 S4] [List Corrupt];
            open_replies::sessions_are_listed_while_a_reply_is_open [S10] [List];
            open_replies::a_session_is_listed_until_its_last_reply_ends [S10] [List];
            open_replies::a_list_of_open_replies_continues_after_any_id [S10] [List];
            open_replies::a_list_of_open_replies_survives_reopening [S10 S1] [List Reopen];
            open_replies::a_list_of_open_replies_survives_a_crash [S10 S1] [List Crash];
            sharing::a_load_with_a_known_version_is_unchanged_or_complete [S12] [];
            sharing::all_handles_of_a_store_have_the_same_opening [S12] [];
            sharing::reopening_a_store_makes_a_new_opening [S12] [Reopen];
            sharing::the_declared_sharing_of_a_store_stays_the_same [S12] [];
            sharing::a_restored_backup_has_the_sessions_of_the_backup [S12] [Backup];
            sharing::versions_that_a_restore_lost_are_never_reused [S12 S3] [Backup];
            sharing::a_version_that_a_restore_lost_conflicts [S12 S3] [Backup];
            chat_order::changes_of_a_call_are_visible_to_a_new_registry [C1] [];
            chat_order::a_crash_keeps_the_changes_of_calls_that_returned [C1 S1] [Crash];
            chat_order::readers_do_not_wait_behind_a_writer [C1] [];
            chat_order::concurrent_first_uses_load_a_session_once [C2] [];
            chat_order::handles_share_a_session_after_it_was_evicted [C2] [];
            chat_order::calls_made_during_a_commit_share_the_next_one [C3] [];
            chat_order::a_dropped_caller_stops_nothing [C3] [];
            chat_order::a_dropped_caller_does_not_stop_others_in_its_commit [C3] [];
            chat_dropped::a_dropped_callers_change_is_seen_by_the_next_read
                [C1 C3] [AcceptsOnFirstPoll];
            chat_dropped::a_session_whose_callers_were_dropped_is_evicted
                [C2 C9] [AcceptsOnFirstPoll];
            chat_dropped::a_session_that_a_dropped_caller_created_does_not_expire_while_it_is_read
                [C10 C1] [AcceptsOnFirstPoll List];
            chat_failure::a_failed_commit_leaves_no_change_in_memory [C4] [];
            chat_failure::after_an_unknown_outcome_the_stored_state_is_read [C4] [];
            chat_failure::a_failed_commit_fails_every_call_in_it [C4] [];
            chat_failure::a_refused_call_fails_alone [C4] [];
            chat_failure::a_call_that_only_the_store_can_refuse_fails_alone [C4] [];
            chat_failure::a_failed_load_is_an_error_and_not_an_empty_session [C8] [];
            chat_failure::two_registries_on_one_store_lose_no_change [C5] [];
            chat_failure::registries_in_threads_lose_no_change [C5] [Threads];
            chat_failure::a_turn_is_repeated_on_the_changes_of_another_registry [C5] [];
            chat_failure::a_change_that_always_conflicts_fails_as_contended [C5] [];
            chat_failure::a_turn_may_require_a_version [C5] [];
            chat_state::app_state_keeps_keys_that_the_type_does_not_have [C6] [];
            chat_state::messages_are_usable_when_app_state_does_not_fit_its_type [C6] [];
            chat_state::a_message_id_is_stored_once [C7] [];
            chat_state::a_batch_that_mixes_known_and_new_ids_is_refused [C7] [];
            chat_state::an_id_is_found_among_the_last_64_messages [C7] [];
            chat_state::after_a_removal_older_ids_are_found_again [C7] [];
            chat_state::a_list_of_messages_is_stored_as_its_difference [C7] [];
            chat_state::an_absent_session_reads_as_new_and_is_not_written [C8] [];
            chat_state::two_registries_create_a_session_once [C8 C5] [];
            chat_state::a_long_session_is_read_in_bounded_parts [C9] [];
            chat_state::sessions_in_memory_are_bounded [C9] [];
            chat_state::a_call_that_exceeds_a_limit_changes_nothing [C9] [];
            chat_shared::reads_on_a_shared_store_see_the_changes_of_others [C1 S12] [];
            chat_shared::reads_share_a_question_that_is_not_sent_and_no_other [C1] [];
            chat_shared::a_question_to_a_shared_store_names_the_version [C1 S12] [];
            chat_shared::cached_reads_are_no_older_than_their_bound [C1] [];
            chat_shared::a_call_without_a_commit_decides_on_the_stored_state [C1 C5 C7] [];
            chat_shared::watchers_on_a_shared_store_hear_of_the_changes_of_others [C1] [];
            chat_shared::a_failed_question_costs_a_watcher_nothing_but_time [C1] [];
            chat_shared::hints_tell_watchers_of_the_changes_of_others [C1] [];
            chat_shared::a_reply_is_followed_from_another_process [C11 C1] [];
            chat_shared::a_refresh_takes_in_the_changes_of_others [C1 C2] [];
            chat_shared::a_history_that_lost_commits_is_a_new_life [C1 S12] [Backup];
            chat_expiry::idle_sessions_expire_and_used_ones_do_not [C10] [List];
            chat_expiry::reading_writes_a_touch_at_most_once_per_interval [C10] [];
            chat_expiry::a_sweep_writes_pending_touches_first [C10] [List];
            chat_expiry::a_session_that_another_registry_uses_does_not_expire [C10] [List];
            chat_expiry::a_sweep_keeps_sessions_that_are_used_while_it_runs [C10] [List];
            chat_replies::a_chunk_is_durable_before_it_is_shown [C11] [];
            chat_replies::followers_get_each_chunk_once_from_their_offset_on [C11] [];
            chat_replies::a_follower_of_another_registry_gets_the_same_chunks [C11] [];
            chat_replies::a_follower_that_leaves_stops_nothing [C11] [];
            chat_replies::a_chunk_makes_no_version_and_disturbs_no_change [C11 S10] [];
            chat_replies::an_open_message_reads_as_it_was_opened [C11] [];
            chat_replies::what_changes_an_open_message_is_refused [C11] [];
            chat_replies::a_retry_of_a_reply_produces_nothing [C11 C7] [];
            chat_replies::an_unknown_outcome_neither_loses_nor_doubles_a_chunk [C11] [];
            chat_replies::a_chunk_beyond_a_limit_is_refused_before_it_is_shown [C11 C9] [];
            chat_replies::a_message_may_be_opened_again [C11] [];
            chat_reply_end::a_finished_reply_is_its_message [C11] [];
            chat_reply_end::the_first_end_decides_and_the_others_are_told [C11] [];
            chat_reply_end::ends_at_once_have_one_outcome [C11] [];
            chat_reply_end::two_ends_that_meet_at_the_store_have_one_outcome [C11] [];
            chat_reply_end::a_close_has_every_chunk_that_was_shown [C11] [];
            chat_reply_end::an_end_through_another_registry_is_told_to_the_producer [C11] [];
            chat_reply_end::what_removes_the_message_ends_its_reply [C11] [];
            chat_reply_end::an_end_whose_outcome_is_unknown_is_made_once [C11] [];
            chat_reply_end::a_finished_message_stays_finished_after_reopening [C11 S1] [Reopen];
            chat_reply_end::a_state_is_not_read_half_open_and_half_closed [C11 C9] [];
            chat_owners::an_owners_conversations_are_paged_with_their_last_messages
                [C13 S11] [List];
            chat_owners::an_erasure_deletes_an_owners_sessions_and_no_other [C13 S11 S6] [List];
            chat_owners::an_erasure_survives_reopening [C13 S1] [List Reopen];
            chat_owners::a_fork_is_an_exact_copy [C13 S1] [];
            chat_owners::a_fork_made_again_is_found [C13 S3] [];
            chat_owners::a_crash_leaves_a_fork_whole [C13 S1] [Crash];
            chat_producers::a_dropped_reply_is_interrupted [C12 C11] [];
            chat_producers::a_live_producer_is_not_called_dead [C12] [];
            chat_producers::the_first_load_interrupts_a_reply_that_nobody_holds [C12] [];
            chat_producers::after_reopening_the_first_load_interrupts_the_reply [C12] [Reopen];
            chat_producers::after_a_crash_every_chunk_that_was_shown_is_in_the_message
                [C12 C11 S1] [Crash];
            chat_producers::an_interruption_that_fails_fails_no_read [C12] [];
            chat_producers::on_a_shared_store_time_without_a_sign_of_life_decides [C12] [List];
            chat_producers::a_sweep_interrupts_replies_that_nobody_holds [C12] [List];
            chat_producers::expiry_takes_no_session_with_a_live_producer [C12 C10] [List];
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

/// All cases, for environments without a test harness.
///
/// ```
/// for case in durable_session_conformance::cases() {
///     println!("{}: {:?}, needs {:?}", case.name(), case.clauses(), case.needs());
/// }
/// ```
pub fn cases() -> &'static [Case] {
    CASES
}
