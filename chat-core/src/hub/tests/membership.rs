//! Where delivery begins and ends.

use super::*;

#[test]
fn a_join_is_the_first_entry_and_a_leave_the_last() {
    let hub = hub();
    let member = Client::join(&hub, user(1), ROOM, 0);
    let guest = Client::attach(&hub, user(2));
    publish(&hub, ROOM, 1..=2);
    publish_membership(&hub, ROOM, 3, Membership::Begins(vec![user(2)]));
    publish(&hub, ROOM, 4..=4);
    publish_membership(&hub, ROOM, 5, Membership::Ends(user(2)));
    publish(&hub, ROOM, 6..=6);
    assert_eq!(guest.drain(), texts(ROOM, 3..=5));
    assert_eq!(member.drain(), texts(ROOM, 1..=6));
}

#[test]
fn who_joins_again_gets_both_stretches_in_order() {
    let hub = hub();
    let _member = Client::join(&hub, user(1), ROOM, 0);
    let guest = Client::join(&hub, user(2), ROOM, 0);
    publish_membership(&hub, ROOM, 1, Membership::Ends(user(2)));
    publish(&hub, ROOM, 2..=3);
    publish_membership(&hub, ROOM, 4, Membership::Begins(vec![user(2)]));
    publish(&hub, ROOM, 5..=5);
    assert_eq!(guest.drain(), ["7:1", "7:4", "7:5"]);
}

#[test]
fn begin_and_end_within_one_publication_keep_their_order() {
    let hub = hub();
    let guest = Client::attach(&hub, user(2));
    let entries = vec![
        live(ROOM, 1, Membership::Unchanged),
        live(ROOM, 2, Membership::Begins(vec![user(2), user(3)])),
        live(ROOM, 3, Membership::Ends(user(2))),
        live(ROOM, 4, Membership::Unchanged),
    ];
    hub.publish(publication(ROOM, entries));
    assert_eq!(guest.drain(), texts(ROOM, 2..=3));
}

#[test]
fn nothing_is_read_past_an_end_even_from_the_store() {
    let hub = hub();
    let _member = Client::join(&hub, user(1), ROOM, 0);
    let guest = Client::join(&hub, user(2), ROOM, 0);
    publish(&hub, ROOM, 1..=1);
    publish_membership(&hub, ROOM, 2, Membership::Ends(user(2)));
    for number in 3..=500 {
        publish(&hub, ROOM, number..=number);
    }
    assert_eq!(guest.drain(), texts(ROOM, 1..=2));
}

#[test]
fn every_device_begins_and_ends() {
    let hub = hub();
    let devices = [Client::attach(&hub, user(1)), Client::attach(&hub, user(1))];
    publish_membership(&hub, ROOM, 1, Membership::Begins(vec![user(1)]));
    publish_membership(&hub, ROOM, 2, Membership::Ends(user(1)));
    publish(&hub, ROOM, 3..=3);
    for device in devices {
        assert_eq!(device.drain(), texts(ROOM, 1..=2));
    }
}

#[test]
fn entries_published_between_attach_and_enter_are_not_missed() {
    let hub = hub();
    let client = Client::attach(&hub, user(1));
    publish(&hub, ROOM, 6..=6);
    client.enter(&hub, ROOM, 5);
    assert_eq!(client.drain(), texts(ROOM, 6..=6), "nobody was subscribed then");

    let late = Client::attach(&hub, user(2));
    publish(&hub, ROOM, 7..=8);
    late.enter(&hub, ROOM, 6);
    assert_eq!(late.drain(), texts(ROOM, 7..=8), "somebody was subscribed then");
}

#[test]
fn entries_published_before_the_last_reader_left_are_not_missed() {
    let hub = hub();
    let leaving = Client::join(&hub, user(1), ROOM, 5);
    let client = Client::attach(&hub, user(2));
    publish(&hub, ROOM, 6..=6);
    leaving.detach(&hub);
    client.enter(&hub, ROOM, 5);
    assert_eq!(client.drain(), texts(ROOM, 6..=6));
}

#[test]
fn a_membership_that_ended_between_attach_and_enter_ends_delivery() {
    let hub = hub();
    let member = Client::join(&hub, user(1), ROOM, 5);
    let guest = Client::attach(&hub, user(2));
    publish(&hub, ROOM, 6..=6);
    publish_membership(&hub, ROOM, 7, Membership::Ends(user(2)));
    guest.enter(&hub, ROOM, 5);
    publish(&hub, ROOM, 8..=8);
    assert_eq!(guest.drain(), texts(ROOM, 6..=7));
    assert_eq!(member.drain(), texts(ROOM, 6..=8));
}

#[test]
fn a_membership_that_began_between_attach_and_enter_begins_once() {
    let hub = hub();
    let client = Client::attach(&hub, user(1));
    publish_membership(&hub, ROOM, 6, Membership::Begins(vec![user(1)]));
    client.enter(&hub, ROOM, 6);
    client.enter(&hub, ROOM, 0);
    publish(&hub, ROOM, 7..=7);
    assert_eq!(client.drain(), texts(ROOM, 6..=7));
}

#[test]
fn memberships_that_ended_and_began_before_enter_are_not_joined_up() {
    let hub = hub();
    let _member = Client::join(&hub, user(1), ROOM, 5);
    let guests = [user(2), user(3)].map(|user| Client::attach(&hub, user));
    let entries = vec![
        live(ROOM, 6, Membership::Ends(user(2))),
        live(ROOM, 7, Membership::Ends(user(3))),
        live(ROOM, 8, Membership::Begins(vec![user(2), user(3)])),
        live(ROOM, 9, Membership::Ends(user(3))),
    ];
    hub.publish(publication(ROOM, entries));
    guests.iter().for_each(|guest| guest.enter(&hub, ROOM, 5));
    publish(&hub, ROOM, 10..=10);
    assert_eq!(guests[0].drain(), texts(ROOM, 8..=10));
    assert_eq!(guests[1].drain(), texts(ROOM, 8..=9));
}

#[test]
fn an_end_that_is_older_than_the_position_entered_changes_nothing() {
    let hub = hub();
    let client = Client::attach(&hub, user(1));
    client.enter(&hub, ROOM, 12);
    publish_membership(&hub, ROOM, 11, Membership::Ends(user(1)));
    publish_membership(&hub, ROOM, 12, Membership::Begins(vec![user(1)]));
    publish(&hub, ROOM, 13..=13);
    assert_eq!(client.drain(), texts(ROOM, 13..=13));
}

#[test]
fn a_join_that_is_published_again_after_the_leave_begins_nothing() {
    let hub = hub();
    let guest = Client::attach(&hub, user(1));
    publish_membership(&hub, ROOM, 1, Membership::Begins(vec![user(1)]));
    publish_membership(&hub, ROOM, 2, Membership::Ends(user(1)));
    publish_membership(&hub, ROOM, 1, Membership::Begins(vec![user(1)]));
    publish(&hub, ROOM, 3..=3);
    assert_eq!(guest.drain(), texts(ROOM, 1..=2));
}

#[test]
fn entering_without_being_attached_does_nothing() {
    let hub = hub();
    let client = Client::attach(&hub, user(1));
    client.detach(&hub);
    client.enter(&hub, ROOM, 0);
    publish(&hub, ROOM, 1..=1);
    assert_eq!(client.drain(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn sec_d10_ten_thousand_connections_leave_nothing_behind() {
    let hub = hub();
    let resident = Client::join(&hub, user(200), ROOM, 0);
    for number in 0..10_000_u64 {
        let client = Client::attach(&hub, user((number % 100) as u8));
        publish(&hub, OTHER_ROOM, number + 1..=number + 1);
        let both = [ROOM, OTHER_ROOM];
        let subscription = |conversation| Subscription { conversation, after: seq(number), member_count: 3 };
        hub.enter(client.connection.id, both.map(subscription).into());
        publish(&hub, ROOM, number + 1..=number + 1);
        publish_membership(
            &hub,
            ConversationId::generate(),
            1,
            Membership::Begins(vec![client.connection.user_id]),
        );
        assert_eq!(client.drain().len(), 3);
        client.detach(&hub);
        assert_eq!(resident.drain().len(), 1);
    }
    resident.detach(&hub);
    tokio::time::advance(GRACE).await;
    assert_eq!(hub.tick(Timestamp::default()).len(), 101);
    tokio::time::advance(GATHER).await;
    hub.tick(Timestamp::default());
    assert_eq!(hub.sizes(), (0, [0; 6]));
}

#[tokio::test(start_paused = true)]
async fn ended_memberships_are_forgotten_after_a_while() {
    let hub = hub();
    let _guest = Client::join(&hub, user(1), ROOM, 0);
    publish_membership(&hub, ROOM, 1, Membership::Ends(user(1)));
    assert_eq!(hub.sizes().1, [1, 1, 0, 0, 0, 1]);
    tokio::time::advance(Duration::from_secs(60)).await;
    hub.tick(Timestamp::default());
    assert_eq!(hub.sizes().1, [1, 1, 0, 0, 0, 0]);
}
