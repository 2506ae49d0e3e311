//! The conformance suite of [`AccountStore`]: one case for each promise of its contract.

mod accounts;
mod durability;
mod ending;
mod names;
mod rows;
mod sessions;

use chat_core::port::AccountStore;

use crate::{Harness, Subject};

/// What a case is given: a new and empty store.
pub type Store = Subject<dyn AccountStore>;

/// Starts a store for one case.
pub async fn start(harness: impl Harness<dyn AccountStore> + 'static) -> Store {
    Subject::start(Box::new(harness)).await
}

crate::suite::suite! {
    $
    /// Makes a test of every case of the suite for [`AccountStore`](chat_core::port::AccountStore), in a module
    /// `account_store`. The argument is an expression that makes a [`Harness`](crate::Harness); it is evaluated
    /// once per test.
    macro account_store_tests, mod account_store, start start, subject Store;

    names {
        a_folded_name_is_unique,
        a_skeleton_is_unique,
        a_refused_account_leaves_nothing,
        a_race_for_one_name_has_one_winner,
        a_race_for_one_skeleton_has_one_winner,
        a_repeated_registration_succeeds,
        a_name_is_found_exactly_before_folded,
        a_skeleton_finds_nobody,
    }
    accounts {
        an_account_reads_back,
        accounts_are_read_together,
        all_accounts_are_paged_in_order,
        all_accounts_are_whole,
        a_password_is_replaced_only_if_it_is_the_expected_one,
        a_race_for_one_password_has_one_winner,
        the_display_name_is_replaced,
        a_login_is_noted,
        the_time_last_seen_never_goes_back,
        accounts_are_disabled_and_enabled,
        unknown_users_are_no_error,
    }
    sessions {
        a_session_is_found_by_its_tokens,
        an_unknown_token_finds_nothing,
        expired_sessions_are_found,
        a_repeated_creation_is_harmless,
        a_rotation_replaces_the_tokens,
        every_replaced_refresh_token_is_found,
        a_rotation_needs_the_current_refresh_token,
        a_race_for_one_rotation_has_one_winner,
        touching_moves_the_last_use,
        sessions_are_listed_the_longest_unused_first,
    }
    ending {
        an_ended_session_is_found_no_more,
        ended_sessions_leave_revocations,
        revocations_are_listed_from_a_time_on,
        an_ended_token_is_told_from_an_unknown_one,
        ending_twice_changes_nothing,
        a_race_to_end_a_session_has_one_winner,
        expired_sessions_are_removed,
        revocations_are_kept_for_two_days,
        expiry_leaves_no_revocation,
    }
    durability {
        a_restart_keeps_accounts_and_sessions,
    }
}
