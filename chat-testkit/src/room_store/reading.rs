//! Cases of read positions and of unread counts.

use chat_core::domain::{Event, Seq};
use chat_core::id::UserId;
use chat_core::limits::hard;
use chat_core::port::{MembershipPage, RoomStore, Unread};
use tokio::task::JoinSet;

use super::Store;
use super::log::{Log, messages, private_chat, seq};
use crate::random;

async fn mark(log: &Log, user: UserId, number: u64) -> Option<Seq> {
    log.store.mark_read(log.id, user, seq(number)).await.expect("a mark")
}

/// What the user's list says of the conversation; it is the user's only one of its kind.
async fn unread(store: &dyn RoomStore, user: UserId, rooms: bool) -> Unread {
    let page = MembershipPage { rooms, after: None, limit: 10 };
    let listed = store.my_conversations(user, page).await.expect("a list");
    assert_eq!(listed.len(), 1, "the user has one conversation of this kind");
    listed[0].unread
}

/// `member`: everything up to the join is read.
pub(super) async fn the_read_position_starts_at_the_join(store: Store) {
    let [owner, user] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    log.append_new(messages(owner, 4)).await;
    let join = log.join(user).await;
    assert_eq!(log.member(user).await.expect("a row").read_seq, join.seq);
    assert_eq!(unread(&*store, user, true).await, Unread::Exactly(0));
}

/// `mark_read`: moves up, never back, and answers the position that holds.
pub(super) async fn the_read_position_never_goes_back(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    log.append_new(messages(random::user(), 9)).await;
    assert_eq!(mark(&log, owner, 5).await, Some(seq(5)));
    assert_eq!(mark(&log, owner, 3).await, Some(seq(5)), "not back");
    assert_eq!(mark(&log, owner, 0).await, Some(seq(5)));
    assert_eq!(log.member(owner).await.expect("a row").read_seq, seq(5));
    assert_eq!(mark(&log, owner, 7).await, Some(seq(7)));
    assert_eq!(mark(&log, owner, 7).await, Some(seq(7)), "a repeated mark is harmless");
    assert_eq!(log.member(owner).await.expect("a row").read_seq, seq(7));
}

/// `mark_read`: clamps to the head; what comes later is unread.
pub(super) async fn the_read_position_stays_at_or_below_the_head(store: Store) {
    let [owner, other] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    log.append_new(messages(other, 3)).await;
    assert_eq!(mark(&log, owner, Seq::MAX.get()).await, Some(seq(4)));
    log.append_new(messages(other, 2)).await;
    assert_eq!(unread(&*store, owner, true).await, Unread::Exactly(2));
}

/// `mark_read`: answers `None` to everybody who is not joined, and changes nothing.
pub(super) async fn only_members_have_a_read_position(store: Store) {
    let [owner, stranger, invitee, gone, banned] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    log.invite(owner, invitee).await;
    log.join(gone).await;
    log.leave(gone).await;
    log.event(owner, Event::Banned { user: banned }).await;
    log.say(owner, "news").await;
    for user in [stranger, invitee, gone, banned] {
        let row = log.member(user).await;
        assert_eq!(mark(&log, user, 2).await, None);
        assert_eq!(log.member(user).await, row);
    }
    assert_eq!(store.mark_read(random::conversation(), owner, seq(1)).await.expect("a mark"), None);
}

/// `my_conversations`: unread are the messages by others above the read position: own messages and events are not.
pub(super) async fn unread_counts_messages_by_others(store: Store) {
    let [me, other, third] = random::users();
    for rooms in [true, false] {
        let new = private_chat(me, other);
        let mut log =
            if rooms { Log::public(store.port(), me).await } else { Log::create(store.port(), new).await };
        assert_eq!(unread(&*store, me, rooms).await, Unread::Exactly(0));
        log.append_new(messages(other, 3)).await;
        log.append_new(messages(me, 2)).await;
        log.append_new(messages(third, 2)).await;
        log.invite(me, random::user()).await;
        assert_eq!(unread(&*store, me, rooms).await, Unread::Exactly(5));
        // 2, 3, 4 by the other; 5, 6 own; 7, 8 by the third; 9 an event.
        for (read_up_to, left) in [(2, 4), (4, 2), (5, 2), (6, 2), (7, 1), (8, 0), (9, 0)] {
            assert_eq!(mark(&log, me, read_up_to).await, Some(seq(read_up_to)));
            assert_eq!(unread(&*store, me, rooms).await, Unread::Exactly(left), "read up to {read_up_to}");
        }
        log.append_new(messages(me, 1)).await;
        assert_eq!(unread(&*store, me, rooms).await, Unread::Exactly(0), "own messages are read");
        log.append_new(messages(other, 1)).await;
        assert_eq!(unread(&*store, me, rooms).await, Unread::Exactly(1));
    }
}

/// `my_conversations`: what was said while the user was away is not unread.
pub(super) async fn unread_starts_again_with_a_new_join(store: Store) {
    let [owner, user] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    log.join(user).await;
    log.append_new(messages(owner, 4)).await;
    log.leave(user).await;
    log.append_new(messages(owner, 3)).await;
    log.join(user).await;
    assert_eq!(unread(&*store, user, true).await, Unread::Exactly(0));
    log.append_new(messages(owner, 2)).await;
    assert_eq!(unread(&*store, user, true).await, Unread::Exactly(2));
}

/// `my_conversations`: unread is exact up to its bound and true above it.
pub(super) async fn unread_is_exact_up_to_its_bound(store: Store) {
    let [owner, other] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    log.append_new(messages(other, 9_990)).await;
    log.append_new(messages(owner, 5)).await;
    assert_eq!(unread(&*store, owner, true).await, Unread::Exactly(9_990));
    log.append_new(messages(other, 20)).await;
    let truth = 10_010;
    match unread(&*store, owner, true).await {
        Unread::Exactly(count) => assert_eq!(count, truth),
        Unread::AtLeast(count) => assert!((hard::UNREAD_EXACT..=truth).contains(&count), "{count}"),
    }
}

/// `mark_read`: of concurrent marks the highest holds.
pub(super) async fn concurrent_marks_leave_the_highest(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    log.append_new(messages(random::user(), 100)).await;
    let mut marks = JoinSet::new();
    for number in 1..=100 {
        let (store, id) = (store.port(), log.id);
        let number = if number % 2 == 0 { number } else { 101 - number };
        marks.spawn(async move {
            let holds = store.mark_read(id, owner, seq(number)).await.expect("a mark");
            assert!(holds >= Some(seq(number)), "{holds:?} after marking {number}");
        });
    }
    marks.join_all().await;
    assert_eq!(log.member(owner).await.expect("a row").read_seq, seq(100));
}
