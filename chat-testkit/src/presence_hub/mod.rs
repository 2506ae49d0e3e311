//! The conformance suite of [`PresenceHub`]: one case for each promise of its contract.
//!
//! Cases of presence wait for it to settle, so a harness makes hubs with a grace time of milliseconds.

mod connections;
mod delivery;
mod device;
mod membership;
mod presence;

use chat_core::port::PresenceHub;

use crate::{Harness, Subject};

/// What a case is given: a hub without connections.
pub type Hub = Subject<dyn PresenceHub>;

/// Starts a hub for one case.
pub async fn start(harness: impl Harness<dyn PresenceHub> + 'static) -> Hub {
    Subject::start(Box::new(harness)).await
}

crate::suite::suite! {
    $
    /// Makes a test of every case of the suite for [`PresenceHub`](chat_core::port::PresenceHub), in a module
    /// `presence_hub`. The argument is an expression that makes a [`Harness`](crate::Harness); it is evaluated
    /// once per test.
    macro presence_hub_tests, mod presence_hub, start start, subject Hub;

    connections {
        connections_of_a_user_are_counted,
        a_detached_connection_gets_nothing,
        a_session_is_disconnected_with_its_connections,
        a_user_is_disconnected_but_for_one_connection,
        a_listener_may_be_gone,
    }
    delivery {
        every_device_gets_every_entry_in_order,
        an_entry_that_is_published_twice_comes_once,
        delivery_begins_above_the_position_entered,
        a_subscription_stays_when_entered_again,
        conversations_do_not_mix,
        a_slow_reader_misses_nothing,
        signals_reach_members_but_one,
        signals_reach_a_users_other_connections,
    }
    membership {
        a_join_is_the_first_entry_and_a_leave_the_last,
        a_membership_begins_and_ends_on_every_device,
        many_may_begin_with_one_entry,
        entries_between_attach_and_enter_are_not_missed,
        nothing_past_an_end_between_attach_and_enter_is_delivered,
        a_membership_that_began_between_attach_and_enter_begins_once,
        entering_without_being_attached_does_nothing,
        entering_while_entries_are_published_misses_none,
        what_is_delivered_is_told,
        delivery_is_corrected,
    }
    presence {
        a_connected_user_is_online,
        a_status_belongs_to_the_user,
        statuses_are_answered_in_their_order,
        a_user_goes_offline_with_the_last_connection,
        presence_is_pushed_in_small_conversations,
    }
}
