//! Pages of long logs, and of logs in which messages are far apart: they answer right, and cost little.

use chat_core::domain::{Entry, Seq};
use chat_core::port::{EntryRange, MembershipPage, MessageAnchor, MessageQuery, RoomStore, Unread};

use super::rows::{Kind, RawLog, Setup, seq, user};
use crate::support::{Cost, cost_of};

fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq.get()).collect()
}

fn query(anchor: MessageAnchor, log: &RawLog<'_>, limit: u32) -> MessageQuery {
    MessageQuery { anchor, from: Seq::ZERO, upto: log.head(), limit, max_bytes: usize::MAX }
}

/// What a page of messages has to be.
fn expected(log: &RawLog<'_>, query: &MessageQuery) -> (Vec<u64>, bool) {
    let mut within = log.messages();
    within.retain(|number| (query.from.get()..=query.upto.get()).contains(number));
    let limit = query.limit as usize;
    match query.anchor {
        MessageAnchor::Newest { offset } => within.truncate(within.len().saturating_sub(offset as usize)),
        MessageAnchor::Before(below) => within.retain(|number| *number < below.get()),
        MessageAnchor::After(above) => within.retain(|number| *number > above.get()),
    }
    let has_more = within.len() > limit;
    if matches!(query.anchor, MessageAnchor::After(_)) {
        within.truncate(limit);
    } else {
        within.drain(..within.len().saturating_sub(limit));
    }
    (within, has_more)
}

/// Asks for a page, and answers what it cost.
async fn check(setup: &Setup, log: &RawLog<'_>, query: MessageQuery) -> Cost {
    let (page, cost) = cost_of(&setup.beside, setup.store.messages(log.id, query)).await;
    let page = page.unwrap();
    assert_eq!((numbers(&page.entries), page.has_more), expected(log, &query), "{query:?}");
    cost
}

#[tokio::test]
async fn a_page_of_messages_takes_one_command_wherever_it_is() {
    let (setup, owner) = (Setup::new().await, user());
    let mut log = setup.public_room(owner).await;
    for _ in 0..400 {
        log.write_messages(owner, 9).await;
        log.write_events(1).await;
    }
    for anchor in [
        MessageAnchor::Newest { offset: 0 },
        MessageAnchor::Before(seq(2_000)),
        MessageAnchor::Before(seq(200)),
        MessageAnchor::After(seq(1)),
        MessageAnchor::After(seq(3_900)),
    ] {
        let cost = check(&setup, &log, query(anchor, &log, 50)).await;
        assert!(cost.commands == 1 && cost.rows <= 60, "{anchor:?}: {cost:?}");
    }
    for offset in [1, 50, 3_000, 3_590, 3_600, 10_000] {
        let anchor = MessageAnchor::Newest { offset };
        let cost = check(&setup, &log, query(anchor, &log, 50)).await;
        assert!(cost.commands <= 6 && cost.rows <= 300, "{anchor:?}: {cost:?}");
    }
    for (after, limit) in [(0, 100), (2_000, 100), (3_900, 100), (3_990, 100), (4_001, 10)] {
        let range = EntryRange { after: seq(after), upto: log.head(), limit, max_bytes: usize::MAX };
        let (page, cost) = cost_of(&setup.beside, setup.store.entries(log.id, range)).await;
        let page = page.unwrap();
        let expected: Vec<u64> = (after + 1..=log.head().get()).take(limit as usize).collect();
        assert_eq!(numbers(&page.entries), expected);
        assert_eq!(page.more, after + u64::from(limit) < log.head().get());
        assert!(cost.commands <= 1 && cost.rows <= 101, "after {after}: {cost:?}");
    }
}

#[tokio::test]
async fn messages_behind_a_hundred_thousand_events_are_found_with_few_commands() {
    let (setup, owner) = (Setup::new().await, user());
    let mut log = setup.public_room(owner).await;
    log.write_messages(owner, 60).await;
    log.write_events(100_000).await;
    log.write_messages(owner, 40).await;
    let (before, behind) = (seq(61), seq(100_062));
    for anchor in [
        MessageAnchor::Newest { offset: 0 },
        MessageAnchor::Newest { offset: 39 },
        MessageAnchor::Newest { offset: 40 },
        MessageAnchor::Newest { offset: 75 },
        MessageAnchor::Before(behind),
        MessageAnchor::Before(seq(50_000)),
        MessageAnchor::After(before),
        MessageAnchor::After(seq(30)),
        MessageAnchor::After(seq(50_000)),
    ] {
        for limit in [1, 50, 100] {
            let cost = check(&setup, &log, query(anchor, &log, limit)).await;
            assert!(cost.commands <= 12 && cost.rows <= 1_200, "{anchor:?} of {limit}: {cost:?}");
        }
        let only_behind = MessageQuery { from: seq(62), ..query(anchor, &log, 50) };
        let cost = check(&setup, &log, only_behind).await;
        assert!(cost.commands <= 12 && cost.rows <= 1_200, "{anchor:?}: {cost:?}");
        let only_before = MessageQuery { upto: seq(100_061), ..query(anchor, &log, 50) };
        let cost = check(&setup, &log, only_before).await;
        assert!(cost.commands <= 12 && cost.rows <= 1_200, "{anchor:?}: {cost:?}");
    }
}

#[tokio::test]
async fn messages_that_are_all_far_apart_are_found_together() {
    let (setup, owner) = (Setup::new().await, user());
    let mut log = setup.public_room(owner).await;
    let stretch = || std::iter::repeat_n(Kind::Event, 1_000).chain([Kind::Message(owner)]);
    log.write((0..60).flat_map(|_| stretch())).await;
    for anchor in [
        MessageAnchor::Newest { offset: 0 },
        MessageAnchor::Newest { offset: 20 },
        MessageAnchor::Before(seq(40_000)),
        MessageAnchor::After(seq(10_000)),
    ] {
        let cost = check(&setup, &log, query(anchor, &log, 50)).await;
        assert!(cost.commands <= 18 && cost.rows <= 2_000, "{anchor:?}: {cost:?}");
    }
}

#[tokio::test]
async fn a_list_shows_the_last_message_and_the_unread_ones_behind_many_events() {
    let (setup, [owner, other]) = (Setup::new().await, [user(), user()]);
    let mut log = setup.public_room(owner).await;
    log.write_messages(other, 3).await;
    log.write_messages(owner, 2).await;
    log.write_events(30_000).await;
    log.write_messages(other, 4).await;
    log.write_events(30_000).await;
    let page = MembershipPage { rooms: true, after: None, limit: 10 };
    let (listed, cost) = cost_of(&setup.beside, setup.store.my_conversations(owner, page)).await;
    let listed = listed.unwrap();
    let shown: Vec<_> =
        listed.iter().map(|one| (one.last_message.as_ref().map(|last| last.seq), one.unread)).collect();
    assert_eq!(shown, [(Some(seq(30_010)), Unread::Exactly(7))]);
    assert!(cost.commands <= 24 && cost.rows <= 25_000, "{cost:?}");
}

#[tokio::test]
async fn what_counting_unread_messages_may_cost_is_bounded() {
    let (setup, [owner, other]) = (Setup::new().await, [user(), user()]);
    let mut log = setup.public_room(owner).await;
    log.write_messages(other, 5).await;
    log.write_messages(owner, 55_000).await;
    log.write_messages(other, 5).await;
    let page = MembershipPage { rooms: true, after: None, limit: 10 };
    let (listed, cost) = cost_of(&setup.beside, setup.store.my_conversations(owner, page)).await;
    let unread: Vec<_> = listed.unwrap().iter().map(|one| one.unread).collect();
    assert_eq!(unread, [Unread::AtLeast(5)], "there are more, but not so near");
    assert!(cost.commands <= 18 && cost.rows <= 50_200, "{cost:?}");

    log.write_messages(other, 20_000).await;
    setup.store.mark_read(log.id, owner, seq(55_000)).await.unwrap();
    let (listed, cost) = cost_of(&setup.beside, setup.store.my_conversations(owner, page)).await;
    let unread: Vec<_> = listed.unwrap().iter().map(|one| one.unread).collect();
    assert_eq!(unread, [Unread::AtLeast(10_000)]);
    assert!(cost.commands <= 12 && cost.rows <= 20_200, "it ends when it is enough: {cost:?}");
}
