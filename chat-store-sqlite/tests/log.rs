//! The log in a file: what is acknowledged stays, in order, whoever else writes or reads.

mod support;

use chat_core::domain::Seq;
use chat_core::domain::{Event, MemberState, Role};
use chat_core::port::{
    Append, Appended, EntryRange, MembershipPage, MessageAnchor, MessageQuery, RoomStore, Unread,
};
use support::{ALL, Place, contents, event, head, message, room, send, user};

#[tokio::test]
async fn what_is_acknowledged_is_there_after_reopening() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    send(&store, room, vec![message(user(1), "one"), message(user(1), "two")]).await;
    let (epoch, before) = (store.epoch().await.unwrap(), store.entries(room, ALL).await.unwrap());
    drop(store);

    let store = place.open();
    assert_eq!(store.entries(room, ALL).await.unwrap(), before);
    assert_eq!(store.epoch().await.unwrap(), epoch);
    assert_eq!(before.entries.len(), 3);
}

#[tokio::test]
async fn closing_leaves_a_single_file_behind() {
    let place = Place::new();
    let store = place.open();
    room(&store, user(1)).await;
    drop(store);
    assert!(place.database().exists());
    assert!(!place.path("chat.db-wal").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_readers_beside_each_other_see_logs_without_holes() {
    let place = Place::new();
    let store = place.open();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tasks.spawn(async move {
            let room = room(&store, user(1)).await;
            for number in 0..20 {
                let before = head(&store, room).await;
                let drafts =
                    vec![message(user(1), &format!("{number}a")), message(user(2), &format!("{number}b"))];
                let Append::Done(appended) = store.append(room, before, drafts).await.unwrap() else {
                    panic!("nobody else writes here")
                };
                // Every acknowledged write is seen by the next read.
                let Some(Appended::New(last)) = appended.last() else { panic!("new") };
                assert_eq!(head(&store, room).await, last.head());
            }
            assert_eq!(store.entries(room, ALL).await.unwrap().entries.len(), 41);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_conflict_and_a_duplicate_store_nothing() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    let start = head(&store, room).await;
    let draft = message(user(1), "once");
    send(&store, room, vec![draft.clone(), draft.clone()]).await;
    assert_eq!(contents(&store, room).await, ["once"]);

    let now = head(&store, room).await;
    let conflict = store.append(room, start, vec![message(user(2), "late")]).await.unwrap();
    assert_eq!(conflict, Append::Conflict(now));
    let again = store.append(room, now, vec![draft, message(user(2), "next")]).await.unwrap();
    let Append::Done(appended) = again else { panic!("{again:?}") };
    assert!(matches!(&appended[..], [Appended::Duplicate(_), Appended::New(_)]));
    assert_eq!(contents(&store, room).await, ["once", "next"]);
}

#[tokio::test]
async fn events_make_members_in_the_same_transaction() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    send(&store, room, vec![event(user(1), Event::Invited { user: user(2) })]).await;
    let invited = store.member(room, user(2)).await.unwrap().unwrap();
    assert_eq!((invited.state, invited.invited_by), (MemberState::Invited, Some(user(1))));
    send(&store, room, vec![event(user(2), Event::Joined { user: user(2) })]).await;
    send(&store, room, vec![event(user(1), Event::RoleChanged { user: user(2), role: Role::Owner })]).await;
    let conversation = store.conversation(room).await.unwrap().unwrap();
    assert_eq!((conversation.member_count, conversation.owners), (2, vec![user(1), user(2)]));
    send(&store, room, vec![event(user(2), Event::Left { user: user(2) })]).await;
    let conversation = store.conversation(room).await.unwrap().unwrap();
    assert_eq!((conversation.member_count, conversation.owners), (1, vec![user(1)]));
}

#[tokio::test]
async fn messages_are_found_between_any_number_of_events() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    for number in 0..40_u8 {
        send(&store, room, vec![message(user(1), &format!("{number}"))]).await;
        for guest in 0..number % 7 {
            send(&store, room, vec![event(user(9), Event::Joined { user: user(100 + guest) })]).await;
        }
    }
    for offset in 0..42 {
        let query = MessageQuery {
            anchor: MessageAnchor::Newest { offset },
            from: Seq::ZERO,
            upto: Seq::MAX,
            limit: 2,
            max_bytes: 1_000,
        };
        let page = store.messages(room, query).await.unwrap();
        let counts: Vec<u64> = page.entries.iter().map(|entry| entry.messages_so_far).collect();
        let newest = 40_u64.saturating_sub(offset.into());
        let expected: Vec<u64> = (newest.saturating_sub(1)..=newest).filter(|count| *count > 0).collect();
        assert_eq!((counts, page.has_more), (expected, newest > 2), "{offset}");
    }
}

#[tokio::test]
async fn unread_counts_messages_by_others() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    send(&store, room, vec![event(user(2), Event::Joined { user: user(2) })]).await;
    for number in 0..10_u8 {
        send(&store, room, vec![message(user(1 + number % 2), &format!("{number}"))]).await;
    }
    let list = MembershipPage { rooms: true, after: None, limit: 10 };
    let mine = store.my_conversations(user(2), list).await.unwrap();
    assert_eq!(mine[0].unread, Unread::Exactly(5));
    assert_eq!(mine[0].last_message.as_ref().unwrap().messages_so_far, 10);
    let upto = Seq::new(6).unwrap();
    assert_eq!(store.mark_read(room, user(2), upto).await.unwrap(), Some(upto));
    let mine = store.my_conversations(user(2), list).await.unwrap();
    assert_eq!(mine[0].unread, Unread::Exactly(3));
}

#[tokio::test]
async fn every_id_is_found_and_told_as_a_duplicate_wherever_it_is_in_the_log() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    let mut drafts = Vec::new();
    // Batches that end before, at and behind every border of the index.
    for size in [1, 61, 1, 1, 2, 64, 63, 5, 64, 1, 7] {
        let batch: Vec<_> = (0..size).map(|_| message(user(1), &format!("{}", drafts.len()))).collect();
        send(&store, room, batch.clone()).await;
        drafts.extend(batch);
        let before = head(&store, room).await;
        for repeated in drafts.chunks(64) {
            let again = store.append(room, before, repeated.to_vec()).await.unwrap();
            let Append::Done(appended) = again else { panic!("{again:?}") };
            for (draft, appended) in repeated.iter().zip(appended) {
                assert!(matches!(appended, Appended::Duplicate(entry) if entry.is_same_as(draft)));
            }
        }
        assert_eq!(head(&store, room).await, before);
    }
    for draft in &drafts {
        assert!(store.entry(room, draft.id).await.unwrap().unwrap().is_same_as(draft));
    }
    assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_whose_first_entry_is_too_large_ends_with_it() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    send(&store, room, vec![message(user(1), "too large")]).await;
    send(&store, room, vec![event(user(1), Event::Invited { user: user(2) })]).await;
    let range = EntryRange { after: Seq::ZERO.next(), max_bytes: 5, ..ALL };
    let page = store.entries(room, range).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (1, true));
}
