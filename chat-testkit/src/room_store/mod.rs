//! The conformance suite of [`RoomStore`]: one case for each promise of its contract.

mod append;
mod create;
mod durability;
mod entries;
mod lists;
mod log;
mod members;
mod messages;
mod reading;
mod writer;

use chat_core::port::RoomStore;

pub use writer::{Writer, append_until};

use crate::{Harness, Subject};

/// What a case is given: a new and empty store.
pub type Store = Subject<dyn RoomStore>;

/// Starts a store for one case.
pub async fn start(harness: impl Harness<dyn RoomStore> + 'static) -> Store {
    Subject::start(Box::new(harness)).await
}

crate::suite::suite! {
    $
    /// Makes a test of every case of the suite for [`RoomStore`](chat_core::port::RoomStore), in a module
    /// `room_store`. The argument is an expression that makes a [`Harness`](crate::Harness); it is evaluated
    /// once per test.
    macro room_store_tests, mod room_store, start start, subject Store;

    create {
        the_epoch_stays,
        a_room_begins_with_entry_one_and_its_owner,
        a_private_chat_begins_with_both_users,
        a_pair_has_one_chat_whoever_opens_it,
        a_race_for_one_chat_has_one_winner,
        a_repeated_creation_answers_the_conversation,
        rooms_may_share_a_name,
        nothing_is_known_of_an_unknown_conversation,
    }
    append {
        entries_are_numbered_from_one_without_holes,
        a_full_batch_is_written_in_order,
        what_was_acknowledged_is_read_at_once,
        a_repeated_draft_is_a_duplicate,
        a_duplicate_is_recognised_far_back,
        a_draft_twice_in_a_call_is_written_once,
        a_duplicate_answers_what_is_stored,
        duplicates_take_no_number_between_new_drafts,
        a_repeated_event_changes_nothing,
        a_stale_head_conflicts_and_writes_nothing,
        a_head_above_the_log_conflicts_and_writes_nothing,
        concurrent_appenders_make_one_dense_log,
        concurrent_repeats_of_one_draft_make_one_entry,
        logs_do_not_touch_each_other,
        an_append_to_an_unknown_conversation_is_corrupt,
        contents_are_kept_byte_for_byte,
        every_event_reads_back,
        order_is_the_number_and_never_the_time,
        an_entry_is_found_by_id_in_its_conversation,
    }
    members {
        every_event_is_projected,
        owners_are_kept_in_order,
        a_role_change_reaches_members_only,
        an_update_changes_what_it_names,
        joining_again_starts_anew,
        members_are_paged_in_order,
        a_closed_room_has_no_owners,
        everybody_who_joins_at_once_is_counted,
    }
    entries {
        a_range_holds_what_it_says,
        a_page_ends_before_too_many_bytes,
        pages_make_the_whole_log,
    }
    messages {
        every_query_answers_as_the_contract_says,
        a_page_of_messages_ends_before_too_many_bytes,
        scrolling_back_while_others_send_misses_nothing,
        reading_on_while_others_send_misses_nothing,
    }
    reading {
        the_read_position_starts_at_the_join,
        the_read_position_never_goes_back,
        the_read_position_stays_at_or_below_the_head,
        only_members_have_a_read_position,
        unread_counts_messages_by_others,
        unread_starts_again_with_a_new_join,
        unread_is_exact_up_to_its_bound,
        concurrent_marks_leave_the_highest,
    }
    lists {
        rooms_and_private_chats_are_listed_apart,
        only_joined_and_invited_rooms_are_listed,
        an_invitee_sees_no_message,
        the_last_message_respects_the_join_of_private_rooms,
        my_conversations_are_paged_in_order,
        standings_hold_what_the_user_is_joined_in,
        standings_are_paged_in_order,
        rooms_are_counted_while_joined,
        public_rooms_are_found_by_part_of_their_name,
        a_search_takes_its_text_literally,
        discovery_is_paged_in_order,
        closed_rooms_are_hidden,
        heads_are_those_of_the_logs,
        all_conversations_are_paged_in_order,
        all_conversations_are_whole,
        sharing_needs_both_joined_in_one_conversation,
    }
    durability {
        a_restart_keeps_everything,
        a_log_goes_on_after_a_restart,
        duplicates_are_recognised_after_a_restart,
    }
}
