//! Defects of wrappers, and the cases that must fail on each.

macro_rules! defects {
    ($($defect:ident { $($case:ident)* })*) => {
        /// The one defect of a wrapper. A wrapper without a defect keeps the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Defect {
            $($defect,)*
        }

        /// Every defect, with cases that fail on it.
        pub(crate) const DEFECTS: &[(Defect, &[&str])] =
            &[$((Defect::$defect, &[$(stringify!($case)),*]),)*];
    };
}

defects! {
    HasTheLimitsOfTheInnerStore {
        a_body_of_the_declared_limit_is_stored_and_a_larger_one_refused
        app_state_of_the_declared_limit_is_stored_and_larger_refused
        a_commit_of_the_declared_bytes_is_made_and_a_larger_one_refused
        an_extension_of_the_declared_bytes_is_made_and_a_larger_one_refused
    }
    LeavesTheLimitOfRepliesToTheInnerStore {
        a_reply_leaves_room_for_its_close
    }
    ReportsTotalsOfTheInnerStore {
        success_reports_the_head_that_is_stored
        a_replaced_message_keeps_its_place
        a_removal_removes_the_messages_in_its_range
    }
    ReportsBytesOfStoredChunks {
        an_extension_adds_chunks_in_order
        a_load_names_every_open_reply
        a_page_names_the_open_replies_of_its_messages
    }
    BoundsByStoredSizes {
        a_page_holds_at_most_the_bytes_asked_for_or_one_message
        load_returns_the_longest_tail_within_both_bounds
        chunks_are_read_by_offset_and_within_bounds
    }
    HidesThatThereIsMore {
        a_page_holds_at_most_the_bytes_asked_for_or_one_message
        consecutive_pages_are_the_whole_session
        consecutive_pages_of_chunks_are_the_whole_reply
    }
    LeavesTheIncarnationToTheInnerStore {
        all_operations_of_a_commit_land
        a_deleted_session_can_be_created_again_empty
    }
    BindsNoSession {
        a_message_moved_to_another_session_is_damage_and_never_shown
    }
    BindsChunksToTheirExtension {
        an_extension_sent_again_is_skipped
        chunks_are_read_by_offset_and_within_bounds
    }
    ReturnsTagsAsStored {
        a_load_brings_the_tags_of_the_last_messages_whatever_their_size
        a_replaced_message_has_its_new_tag
    }
    // No case moves a message within its session; a test in `main.rs` does.
    BindsNoSeq {
    }
}
