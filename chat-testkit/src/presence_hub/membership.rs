//! Cases of where delivery begins and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat_core::port::{Delivery, Membership};
use tokio::task::JoinSet;

use super::Hub;
use super::device::{Device, MEMBERS, begin, end, publish, say, seq, texts};
use crate::random;

/// `publish`: delivery begins with the entry that says so, and ends after the one that says so.
pub(super) async fn a_join_is_the_first_entry_and_a_leave_the_last(hub: Hub) {
    let [alice, bob] = random::users();
    let room = random::conversation();
    let member = Device::join(hub.port(), alice, room, 0);
    let guest = Device::attach(hub.port(), bob);
    guest.enter(random::conversation(), 0);
    say(&*hub, room, 1..=2);
    begin(&*hub, room, 3, &[bob]);
    say(&*hub, room, [4]);
    end(&*hub, room, 5, bob);
    say(&*hub, room, 6..=7);
    let comes_back_and_goes = vec![
        (8, Membership::Begins(vec![bob])),
        (9, Membership::Unchanged),
        (10, Membership::Ends(bob)),
        (11, Membership::Unchanged),
    ];
    publish(&*hub, room, comes_back_and_goes);
    member.expect(&texts(room, 1..=11)).await;
    guest.expect(&texts(room, [3, 4, 5, 8, 9, 10])).await;
}

/// `publish`: memberships are the user's: they begin and end on every connection.
pub(super) async fn a_membership_begins_and_ends_on_every_device(hub: Hub) {
    let [alice, bob] = random::users();
    let room = random::conversation();
    let member = Device::join(hub.port(), alice, room, 0);
    let devices = [0, 1, 2].map(|_| Device::attach(hub.port(), bob));
    begin(&*hub, room, 1, &[bob]);
    say(&*hub, room, [2]);
    end(&*hub, room, 3, bob);
    say(&*hub, room, [4]);
    for device in devices {
        device.expect(&texts(room, 1..=3)).await;
    }
    member.expect(&texts(room, 1..=4)).await;
}

/// `publish`: one entry may begin the membership of several users: the first of a private chat.
pub(super) async fn many_may_begin_with_one_entry(hub: Hub) {
    let [alice, bob, carol] = random::users();
    let chat = random::conversation();
    let devices = [alice, bob].map(|user| Device::attach(hub.port(), user));
    let stranger = Device::attach(hub.port(), carol);
    begin(&*hub, chat, 1, &[alice, bob]);
    say(&*hub, chat, [2]);
    for device in devices {
        device.expect(&texts(chat, 1..=2)).await;
    }
    stranger.expect_nothing();
}

/// `attach`, `enter`: what is published in between arrives, whether or not others were there.
pub(super) async fn entries_between_attach_and_enter_are_not_missed(hub: Hub) {
    let (busy, quiet) = (random::conversation(), random::conversation());
    let leaving = Device::join(hub.port(), random::user(), busy, 5);
    let device = Device::attach(hub.port(), random::user());
    for room in [busy, quiet] {
        say(&*hub, room, 6..=7);
    }
    leaving.detach();
    device.enter(busy, 5);
    device.expect(&texts(busy, 6..=7)).await;

    let device = Device::attach(hub.port(), random::user());
    say(&*hub, quiet, [8]);
    device.enter(quiet, 7);
    say(&*hub, quiet, [9]);
    device.expect(&texts(quiet, 8..=9)).await;
}

/// `attach`, `enter`: nothing past the end of a membership is delivered, though it ended in between.
pub(super) async fn nothing_past_an_end_between_attach_and_enter_is_delivered(hub: Hub) {
    let [alice, bob] = random::users();
    for others_are_there in [true, false] {
        let room = random::conversation();
        let _member = others_are_there.then(|| Device::join(hub.port(), alice, room, 5));
        let guest = Device::attach(hub.port(), bob);
        say(&*hub, room, [6]);
        end(&*hub, room, 7, bob);
        say(&*hub, room, [8]);
        guest.enter(room, 5);
        say(&*hub, room, [9]);
        guest.expect(&texts(room, 6..=7)).await;
    }
}

/// `attach`, `enter`: a membership that began in between is not begun again.
pub(super) async fn a_membership_that_began_between_attach_and_enter_begins_once(hub: Hub) {
    let alice = random::user();
    let room = random::conversation();
    let device = Device::attach(hub.port(), alice);
    begin(&*hub, room, 6, &[alice]);
    device.enter(room, 6);
    device.enter(room, 0);
    say(&*hub, room, [7]);
    device.expect(&texts(room, 6..=7)).await;
}

/// `enter`: does nothing for a connection that is not attached.
pub(super) async fn entering_without_being_attached_does_nothing(hub: Hub) {
    let room = random::conversation();
    let member = Device::join(hub.port(), random::user(), room, 0);
    let gone = Device::attach(hub.port(), random::user());
    gone.detach();
    gone.enter(room, 0);
    say(&*hub, room, [1]);
    member.expect(&texts(room, [1])).await;
    gone.expect_nothing();
}

/// `attach`, `enter`, `publish`: connections that come while entries are published miss none and get none twice.
pub(super) async fn entering_while_entries_are_published_misses_none(hub: Hub) {
    const ENTRIES: u64 = 2_000;
    let room = random::conversation();
    let head = Arc::new(AtomicU64::new(0));
    let publisher = {
        let (hub, head) = (hub.port(), Arc::clone(&head));
        std::thread::spawn(move || {
            for number in 1..=ENTRIES {
                // The log has an entry before it is published.
                head.store(number, Ordering::SeqCst);
                say(&*hub, room, [number]);
                std::thread::yield_now();
            }
        })
    };
    let mut readers = JoinSet::new();
    for _ in 0..3 {
        let (hub, head) = (hub.port(), Arc::clone(&head));
        readers.spawn(async move {
            loop {
                let device = Device::attach(Arc::clone(&hub), random::user());
                let after = head.load(Ordering::SeqCst);
                device.enter(room, after);
                let few = 5.min(ENTRIES - after);
                let got = device.receive(few as usize).await;
                assert_eq!(got, texts(room, after + 1..=after + got.len() as u64));
                device.detach();
                if after == ENTRIES {
                    return;
                }
            }
        });
    }
    readers.join_all().await;
    publisher.join().expect("the publisher does not panic");
}

/// `head`, `heads`, `deliveries`: only of what somebody gets, and as far as it was published.
pub(super) async fn what_is_delivered_is_told(hub: Hub) {
    let [alice, bob] = random::users();
    let [room, other] = [random::conversation(), random::conversation()];
    assert_eq!((hub.head(room), hub.heads(), hub.deliveries(alice)), (None, vec![], vec![]));
    let device = Device::join(hub.port(), alice, room, 3);
    assert_eq!(hub.head(room), Some(seq(3)));
    say(&*hub, room, 4..=5);
    say(&*hub, other, [1]);
    assert_eq!((hub.head(room), hub.head(other)), (Some(seq(5)), None));
    assert_eq!(hub.heads(), [(room, seq(5))]);
    assert_eq!((hub.deliveries(alice), hub.deliveries(bob)), (vec![(room, true)], vec![]));
    let second = Device::attach(hub.port(), alice);
    assert_eq!(hub.deliveries(alice), [(room, true)], "the second has not entered");
    second.enter(other, 1);
    let mut deliveries = hub.deliveries(alice);
    deliveries.sort_unstable();
    let mut expected = [(room, false), (other, false)];
    expected.sort_unstable();
    assert_eq!(deliveries, expected);
    device.detach();
    assert_eq!((hub.head(room), hub.deliveries(alice)), (None, vec![(other, true)]));
}

/// `correct`: begins where delivery lacks, and ends it at once.
pub(super) async fn delivery_is_corrected(hub: Hub) {
    let [alice, bob] = random::users();
    let room = random::conversation();
    let [first, second] = [(); 2].map(|()| Device::join(hub.port(), alice, random::conversation(), 0));
    first.enter(room, 4);
    let delivery = Some(Delivery { after: seq(2), head: seq(4), member_count: MEMBERS });
    hub.correct(alice, room, delivery);
    hub.correct(bob, room, delivery);
    assert_eq!(hub.deliveries(bob), [], "nobody is connected");
    say(&*hub, room, [5]);
    first.expect(&texts(room, [5])).await;
    second.expect(&texts(room, 3..=5)).await;
    // What is published and not taken yet is not delivered either.
    say(&*hub, room, [6]);
    hub.correct(alice, room, None);
    say(&*hub, room, [7]);
    first.expect_nothing();
    second.expect_nothing();
    assert_eq!(hub.head(room), None);
    // It can begin again, also where there is no conversation yet.
    let delivery = Some(Delivery { after: seq(7), head: seq(8), member_count: MEMBERS });
    hub.correct(alice, room, delivery);
    say(&*hub, room, [9]);
    first.expect(&texts(room, 8..=9)).await;
    second.expect(&texts(room, 8..=9)).await;
}
