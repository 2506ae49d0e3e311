//! Cases of delivering entries and ephemeral frames.

use chat_core::hub::Frame;
use chat_core::limits::hard;
use chat_core::port::EphemeralTarget;

use super::Hub;
use super::device::{Device, say, text, texts};
use crate::random;

/// `publish`: every connection of every member gets every entry, once and in order.
pub(super) async fn every_device_gets_every_entry_in_order(hub: Hub) {
    let [alice, bob] = random::users();
    let room = random::conversation();
    let devices = [alice, alice, bob].map(|user| Device::join(hub.port(), user, room, 0));
    say(&*hub, room, 1..=3);
    for number in 4..=40 {
        say(&*hub, room, [number]);
    }
    say(&*hub, room, 41..=60);
    for device in devices {
        device.expect(&texts(room, 1..=60)).await;
    }
}

/// `publish`: entries at or below what was published before are ignored.
pub(super) async fn an_entry_that_is_published_twice_comes_once(hub: Hub) {
    let room = random::conversation();
    let device = Device::join(hub.port(), random::user(), room, 0);
    for numbers in [1..=2, 2..=2, 1..=2, 1..=4, 3..=5, 5..=5] {
        say(&*hub, room, numbers);
    }
    device.expect(&texts(room, 1..=5)).await;
}

/// `enter`: entries above `after` are delivered, for each connection from its own.
pub(super) async fn delivery_begins_above_the_position_entered(hub: Hub) {
    let room = random::conversation();
    let devices = [10, 12, 11].map(|after| (after, Device::join(hub.port(), random::user(), room, after)));
    for number in 11..=15 {
        say(&*hub, room, [number]);
    }
    for (after, device) in devices {
        device.expect(&texts(room, after + 1..=15)).await;
    }
}

/// `enter`: a subscription that the connection already has stays where it is.
pub(super) async fn a_subscription_stays_when_entered_again(hub: Hub) {
    let room = random::conversation();
    let device = Device::join(hub.port(), random::user(), room, 0);
    say(&*hub, room, 1..=2);
    for after in [0, 2, 10] {
        device.enter(room, after);
    }
    say(&*hub, room, [3]);
    device.expect(&texts(room, 1..=3)).await;
}

/// `publish`: a connection gets what it is subscribed to and nothing else.
pub(super) async fn conversations_do_not_mix(hub: Hub) {
    let (tea, coffee) = (random::conversation(), random::conversation());
    let drinks_tea = Device::join(hub.port(), random::user(), tea, 0);
    let drinks_both = Device::join(hub.port(), random::user(), tea, 0);
    drinks_both.enter(coffee, 0);
    let drinks_nothing = Device::attach(hub.port(), random::user());
    drinks_nothing.enter(random::conversation(), 0);
    for number in 1..=10 {
        say(&*hub, tea, [number]);
        say(&*hub, coffee, [number]);
    }
    drinks_tea.expect(&texts(tea, 1..=10)).await;
    let got = drinks_both.receive(20).await;
    assert_eq!(got.len(), 20);
    for room in [tea, coffee] {
        let of_room: Vec<String> =
            got.iter().filter(|text| text.starts_with(&room.to_string())).cloned().collect();
        assert_eq!(of_room, texts(room, 1..=10), "each in its order");
    }
    drinks_nothing.expect_nothing();
}

/// `publish`: a connection that was not read for a while gets everything, from the log where it must.
pub(super) async fn a_slow_reader_misses_nothing(hub: Hub) {
    let room = random::conversation();
    let slow = Device::join(hub.port(), random::user(), room, 0);
    let quick = Device::join(hub.port(), random::user(), room, 0);
    let count = hard::RING_ENTRIES as u64 * 3;
    let mut got = Vec::new();
    for number in 1..=count {
        say(&*hub, room, [number]);
        got.extend(quick.drain());
    }
    assert!(got.len() as u64 <= count);
    got.extend(quick.receive(count as usize - got.len()).await);
    assert_eq!(got, texts(room, 1..=count));
    slow.expect(&texts(room, 1..=count)).await;
}

/// `signal`: an ephemeral frame reaches all connections in the conversation but those of one user.
pub(super) async fn signals_reach_members_but_one(hub: Hub) {
    let [alice, bob, carol] = random::users();
    let (room, other_room) = (random::conversation(), random::conversation());
    let mine = [0, 1].map(|_| Device::join(hub.port(), alice, room, 0));
    let theirs = [0, 1].map(|_| Device::join(hub.port(), bob, room, 0));
    let elsewhere = Device::join(hub.port(), carol, other_room, 0);
    let target = EphemeralTarget::Conversation { conversation: room, but: alice };
    hub.signal(target, Frame::new("typing".to_owned()));
    for device in theirs {
        device.expect(&["typing".to_owned()]).await;
    }
    mine.iter().for_each(Device::expect_nothing);
    elsewhere.expect_nothing();
    let nowhere = EphemeralTarget::Conversation { conversation: random::conversation(), but: alice };
    hub.signal(nowhere, Frame::new("typing".to_owned()));
    say(&*hub, room, [1]);
    mine[0].expect(&[text(room, 1)]).await;
}

/// `signal`: an ephemeral frame reaches the connections of a user but one, whatever they have entered.
pub(super) async fn signals_reach_a_users_other_connections(hub: Hub) {
    let [alice, bob] = random::users();
    let devices = [0, 1, 2].map(|_| Device::attach(hub.port(), alice));
    let other = Device::attach(hub.port(), bob);
    let signal = |but, content: &str| {
        hub.signal(EphemeralTarget::User { user: alice, but }, Frame::new(content.to_owned()));
    };
    signal(Some(devices[0].id()), "read elsewhere");
    signal(None, "for all");
    devices[0].expect(&["for all".to_owned()]).await;
    for device in &devices[1..] {
        device.expect(&["read elsewhere".to_owned(), "for all".to_owned()]).await;
    }
    other.expect_nothing();
}
