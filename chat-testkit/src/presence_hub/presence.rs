//! Cases of presence.

use std::time::Duration;

use chat_core::domain::Status;
use chat_core::id::UserId;
use chat_core::limits::hard;
use chat_core::time::{Clock, SystemClock, Timestamp};

use super::Hub;
use super::device::{DEADLINE, Device};
use crate::random;

/// Ticks, as the engine does, until `is_over`; answers who went offline meanwhile.
async fn tick_until(
    hub: &Hub,
    mut is_over: impl FnMut(&[(UserId, Timestamp)]) -> bool,
) -> Vec<(UserId, Timestamp)> {
    let mut offline = Vec::new();
    let ticking = async {
        loop {
            offline.extend(hub.tick(SystemClock.now()));
            if is_over(&offline) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, ticking).await.is_ok();
    assert!(in_time, "presence settles; only {offline:?} went offline");
    offline
}

/// `statuses`: who is connected is online, who is not is offline.
pub(super) async fn a_connected_user_is_online(hub: Hub) {
    let [alice, bob] = random::users();
    let _device = Device::attach(hub.port(), alice);
    assert_eq!(hub.statuses(vec![alice, bob]), [Status::Online, Status::Offline]);
}

/// `set_status`: the status is the user's, on whatever connection, and only a connected user has one.
pub(super) async fn a_status_belongs_to_the_user(hub: Hub) {
    let [alice, bob] = random::users();
    let first = Device::attach(hub.port(), alice);
    for status in [Status::Away, Status::Busy, Status::Offline, Status::Online, Status::Busy] {
        hub.set_status(alice, status);
        assert_eq!(hub.statuses(vec![alice]), [status]);
    }
    let _second = Device::attach(hub.port(), alice);
    first.detach();
    assert_eq!(hub.statuses(vec![alice]), [Status::Busy], "another connection changes nothing");
    hub.set_status(bob, Status::Busy);
    assert_eq!(hub.statuses(vec![bob]), [Status::Offline], "bob is not here");
}

/// `statuses`: one for each user asked for, in their order.
pub(super) async fn statuses_are_answered_in_their_order(hub: Hub) {
    let [alice, bob, carol] = random::users();
    let _devices = [alice, bob].map(|user| Device::attach(hub.port(), user));
    hub.set_status(bob, Status::Away);
    let asked = vec![carol, bob, alice, bob];
    assert_eq!(hub.statuses(asked), [Status::Offline, Status::Away, Status::Online, Status::Away]);
    assert_eq!(hub.statuses(Vec::new()), []);
}

/// `tick`, `detach`: a user goes offline some time after the last connection ended, once, and with that time.
pub(super) async fn a_user_goes_offline_with_the_last_connection(hub: Hub) {
    let [alice, bob] = random::users();
    let devices = [0, 1].map(|_| Device::attach(hub.port(), alice));
    let witness = Device::attach(hub.port(), bob);
    let before = SystemClock.now();
    devices[0].detach();
    // Bob goes and is gone: whatever was due for alice is over as well.
    witness.detach();
    let offline = tick_until(&hub, |offline| offline.iter().any(|(user, _)| *user == bob)).await;
    assert!(offline.iter().all(|(user, _)| *user == bob), "alice is still here: {offline:?}");
    assert_eq!(hub.statuses(vec![alice, bob]), [Status::Online, Status::Offline]);
    assert!(offline[0].1 >= before.minus(Duration::from_millis(50)), "last seen when the connection ended");

    devices[1].detach();
    let offline = tick_until(&hub, |offline| !offline.is_empty()).await;
    assert_eq!(offline.iter().map(|(user, _)| *user).collect::<Vec<_>>(), [alice]);
    assert_eq!(hub.statuses(vec![alice]), [Status::Offline]);
    assert_eq!(hub.tick(SystemClock.now()), [], "nobody goes twice");
}

/// `tick`, `set_status`: presence is pushed to those in a small conversation of the user, and to nobody else.
pub(super) async fn presence_is_pushed_in_small_conversations(hub: Hub) {
    let [alice, peer, neighbour, stranger] = random::users();
    let (small, large) = (random::conversation(), random::conversation());
    let observer = Device::join(hub.port(), peer, small, 0);
    let in_large = Device::attach(hub.port(), neighbour);
    in_large.enter_with(large, 0, hard::PRESENCE_ROOM_MEMBERS + 1);
    let elsewhere = Device::join(hub.port(), stranger, random::conversation(), 0);
    let device = Device::join(hub.port(), alice, small, 0);
    device.enter_with(large, 0, hard::PRESENCE_ROOM_MEMBERS + 1);
    hub.set_status(alice, Status::Busy);

    let named = alice.to_string();
    let is_told = |frames: Vec<String>| frames.iter().any(|frame| frame.contains(&named));
    tick_until(&hub, |_| is_told(observer.drain())).await;
    device.detach();
    tick_until(&hub, |_| is_told(observer.drain())).await;
    assert!(!is_told(in_large.drain()), "the conversation is too large");
    assert!(!is_told(elsewhere.drain()), "they share nothing");
}
