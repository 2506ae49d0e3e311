//! Cases of the log: numbering, idempotence, conflicts, and that entries read back as they were drafted.

use std::collections::BTreeSet;

use chat_core::domain::{Draft, EntryBody, Event, Head, MessageKind, Role, RoomName, Seq, Topic};
use chat_core::error::{Retry, StoreError};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::hard;
use chat_core::port::{Append, Appended, MessageAnchor, MessageQuery, RoomStore};
use chat_core::time::Timestamp;
use tokio::task::JoinSet;

use super::Store;
use super::log::{ALL_BYTES, Log, NOON, draft, messages, rich_message, seq, text};
use crate::random;

/// `append`: entries follow the head in the order of the drafts, numbered without a hole.
pub(super) async fn entries_are_numbered_from_one_without_holes(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let mut drafts = messages(owner, 5);
    drafts.push(draft(owner, EntryBody::Event(Event::Joined { user: random::user() })));
    let mut answered = log.append_new(drafts.clone()).await;
    drafts.extend(messages(owner, 3));
    answered.extend(log.append_new(drafts[6..].to_vec()).await);

    let stored = log.all().await;
    assert_eq!(stored.len(), 10);
    assert_eq!(&stored[1..], answered, "what was answered is what is stored");
    for (entry, draft) in answered.iter().zip(&drafts) {
        assert!(entry.is_same_as(draft), "the drafts keep their order");
        assert_eq!(entry.timestamp, draft.timestamp);
    }
    assert_eq!(log.conversation().await.head, Head { seq: seq(10), messages: 8 });
}

/// `append`: takes as many drafts as a batch may have.
pub(super) async fn a_full_batch_is_written_in_order(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let mut drafts = messages(owner, hard::BATCH_ENTRIES - 1);
    drafts.push(draft(owner, EntryBody::Event(Event::Joined { user: random::user() })));
    let outcomes = log.append(drafts.clone()).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Appended::New(_))));
    let stored = log.all().await;
    assert_eq!(stored.len(), 1 + hard::BATCH_ENTRIES);
    assert!(stored[1..].iter().zip(&drafts).all(|(entry, draft)| entry.is_same_as(draft)));
    assert_eq!(log.conversation().await.member_count, 2);
}

/// `append`, `conversation`, `entry`, `messages`: `Done` means that every read sees it.
pub(super) async fn what_was_acknowledged_is_read_at_once(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    for number in 0..20 {
        let entry = log.say(owner, &format!("message {number}")).await;
        assert_eq!(log.conversation().await.head, entry.head());
        assert_eq!(store.entry(log.id, entry.id).await.expect("a read"), Some(entry.clone()));
        let query = MessageQuery {
            anchor: MessageAnchor::Newest { offset: 0 },
            from: Seq::ZERO,
            upto: Seq::MAX,
            limit: 1,
            max_bytes: ALL_BYTES,
        };
        assert_eq!(
            store.messages(log.id, query).await.expect("a read").entries,
            std::slice::from_ref(&entry)
        );
        assert_eq!(log.all().await.last(), Some(&entry));
    }
}

/// `append`: a call that is repeated adds nothing and answers the stored entries.
pub(super) async fn a_repeated_draft_is_a_duplicate(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let drafts = messages(owner, 3);
    let entries = log.append_new(drafts.clone()).await;
    let later = Timestamp::from_unix_ms(NOON.unix_ms() + 5_000);
    let repeated = drafts.into_iter().map(|draft| Draft { timestamp: later, ..draft }).collect();
    let outcomes = log.append(repeated).await;
    assert_eq!(outcomes, entries.into_iter().map(Appended::Duplicate).collect::<Vec<_>>());
    assert_eq!(log.all().await.len(), 4);
    assert_eq!(log.conversation().await.head, log.head);
}

/// `append`: the log is searched as a whole; there is no window of time or of entries.
pub(super) async fn a_duplicate_is_recognised_far_back(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let old = draft(owner, text("the first"));
    let entry = log.append_new(vec![old.clone()]).await.remove(0);
    log.append_new(messages(owner, 1_500)).await;
    assert_eq!(log.append(vec![old]).await, [Appended::Duplicate(entry)]);
    assert_eq!(log.conversation().await.head.seq, seq(1_502));
}

/// `append`: an earlier draft of the same call counts as well.
pub(super) async fn a_draft_twice_in_a_call_is_written_once(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let (one, two) = (draft(owner, text("one")), draft(owner, text("two")));
    let outcomes = log.append(vec![one.clone(), one.clone(), two, one]).await;
    let [
        Appended::New(first),
        Appended::Duplicate(second),
        Appended::New(third),
        Appended::Duplicate(fourth),
    ] = outcomes.as_slice()
    else {
        panic!("new, duplicate, new, duplicate: {outcomes:?}");
    };
    assert_eq!((first, first), (second, fourth));
    assert_eq!((first.seq, third.seq), (seq(2), seq(3)));
    assert_eq!(log.all().await.len(), 3);
}

/// `append`: what a duplicate says may differ; the stored entry stands and is answered.
pub(super) async fn a_duplicate_answers_what_is_stored(store: Store) {
    let [owner, other] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    let first = draft(owner, text("first"));
    let entry = log.append_new(vec![first.clone()]).await.remove(0);
    let another_text = Draft { body: text("second"), ..first.clone() };
    let another_sender = Draft { by: other, ..first.clone() };
    let an_event = Draft { body: EntryBody::Event(Event::Joined { user: other }), ..first };
    for draft in [another_text, another_sender, an_event] {
        assert_eq!(log.append(vec![draft]).await, [Appended::Duplicate(entry.clone())]);
    }
    assert_eq!(log.all().await[1..], [entry]);
    assert_eq!(log.member(other).await, None, "a duplicate is not projected");
}

/// `append`: duplicates between new drafts take no number.
pub(super) async fn duplicates_take_no_number_between_new_drafts(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let old = messages(owner, 2);
    let old_entries = log.append_new(old.clone()).await;
    let new = messages(owner, 3);
    let mixed = [&new[0], &old[1], &new[1], &old[0], &new[2]].map(Clone::clone).to_vec();
    let outcomes = log.append(mixed).await;
    let expected_numbers = [4, 3, 5, 2, 6];
    for (outcome, number) in outcomes.iter().zip(expected_numbers) {
        let (Appended::New(entry) | Appended::Duplicate(entry)) = outcome;
        assert_eq!(entry.seq, seq(number), "{outcomes:?}");
    }
    assert_eq!(outcomes[1], Appended::Duplicate(old_entries[1].clone()));
    assert_eq!(outcomes[3], Appended::Duplicate(old_entries[0].clone()));
    assert_eq!(log.all().await.len(), 6);
}

/// `append`: an event that is sent again is not applied again.
pub(super) async fn a_repeated_event_changes_nothing(store: Store) {
    let [owner, user] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    let join = draft(user, EntryBody::Event(Event::Joined { user }));
    log.append(vec![join.clone()]).await;
    log.leave(user).await;
    let row = log.member(user).await;
    let outcomes = log.append(vec![join]).await;
    assert!(matches!(outcomes.as_slice(), [Appended::Duplicate(_)]));
    assert_eq!(log.member(user).await, row, "still not a member");
    assert_eq!(log.conversation().await.member_count, 1);
}

/// `append`: a head that is not the log's is a conflict, which tells the head.
pub(super) async fn a_stale_head_conflicts_and_writes_nothing(store: Store) {
    let [owner, user] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    let stale = log.head;
    log.append_new(messages(owner, 2)).await;
    let lost = draft(owner, text("lost"));
    let join = draft(user, EntryBody::Event(Event::Joined { user }));
    for stale in [stale, Head::default()] {
        let append = log.try_append(stale, vec![lost.clone(), join.clone()]).await;
        assert_eq!(append, Append::Conflict(log.head));
    }
    assert_eq!(log.all().await.len(), 3, "nothing was written");
    assert_eq!(store.entry(log.id, lost.id).await.expect("a read"), None);
    assert_eq!(log.member(user).await, None, "nothing was projected");
    assert!(matches!(log.append(vec![lost, join]).await.as_slice(), [Appended::New(_), Appended::New(_)]));
}

/// `append`: nothing is written above a hole.
pub(super) async fn a_head_above_the_log_conflicts_and_writes_nothing(store: Store) {
    let owner = random::user();
    let log = Log::public(store.port(), owner).await;
    let ahead = Head { seq: seq(5), messages: 4 };
    let append = log.try_append(ahead, messages(owner, 1)).await;
    assert_eq!(append, Append::Conflict(log.head));
    assert_eq!(log.all().await.len(), 1);
}

/// `append`, `entries`: appenders who retry after conflicts end with one dense log that has every draft once.
pub(super) async fn concurrent_appenders_make_one_dense_log(store: Store) {
    let owner = random::user();
    let log = Log::public(store.port(), owner).await;
    let mut appenders = JoinSet::new();
    let mut sent = BTreeSet::new();
    for _ in 0..8 {
        let batches: Vec<Vec<Draft>> = (0..10).map(|_| messages(random::user(), 3)).collect();
        sent.extend(batches.iter().flatten().map(|draft| draft.id));
        let (store, id) = (store.port(), log.id);
        appenders.spawn(async move {
            for batch in batches {
                append_until_done(&*store, id, batch).await;
            }
        });
    }
    appenders.join_all().await;
    let stored = log.all().await;
    assert_eq!(stored.len(), 1 + 240);
    let stored: BTreeSet<_> = stored[1..].iter().map(|entry| entry.id).collect();
    assert_eq!(stored, sent, "every draft is there once");
    assert_eq!(log.conversation().await.head, Head { seq: seq(241), messages: 240 });
}

/// Appends at whatever head the conversation has, as several engines would.
async fn append_until_done(store: &dyn RoomStore, id: ConversationId, drafts: Vec<Draft>) {
    let mut head = store.conversation(id).await.expect("a read").expect("it exists").head;
    loop {
        match store.append(id, head, drafts.clone()).await.expect("an append") {
            Append::Done(outcomes) => {
                assert_eq!(outcomes.len(), drafts.len());
                return;
            }
            Append::Conflict(now) => {
                assert_ne!(now, head, "a conflict tells another head");
                head = now;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// `append`: one draft, sent by many at once, is one entry.
pub(super) async fn concurrent_repeats_of_one_draft_make_one_entry(store: Store) {
    let owner = random::user();
    let log = Log::public(store.port(), owner).await;
    let repeated = draft(owner, text("once"));
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let (store, id, draft) = (store.port(), log.id, repeated.clone());
        calls.spawn(async move { append_until_done(&*store, id, vec![draft]).await });
    }
    calls.join_all().await;
    let stored = log.all().await;
    assert_eq!(stored.len(), 2);
    assert!(stored[1].is_same_as(&repeated));
}

/// `append`: every conversation counts for itself.
pub(super) async fn logs_do_not_touch_each_other(store: Store) {
    let owner = random::user();
    let mut one = Log::public(store.port(), owner).await;
    let mut other = Log::public(store.port(), owner).await;
    for _ in 0..5 {
        one.append_new(messages(owner, 2)).await;
        other.append_new(messages(owner, 1)).await;
    }
    assert_eq!((one.all().await.len(), other.all().await.len()), (11, 6));

    let mut appenders = JoinSet::new();
    for _ in 0..20 {
        let mut log = Log::public(store.port(), owner).await;
        appenders.spawn(async move {
            for _ in 0..5 {
                log.append_new(messages(owner, 2)).await;
            }
            log.all().await.len()
        });
    }
    assert_eq!(appenders.join_all().await, [11; 20], "nobody disturbed the others");
}

/// `append`: an unknown conversation is `Corrupt`.
pub(super) async fn an_append_to_an_unknown_conversation_is_corrupt(store: Store) {
    let id = random::conversation();
    let outcome = store.append(id, Head::default(), messages(random::user(), 1)).await;
    let error = outcome.expect_err("there is nothing to append to");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(store.conversation(id).await.expect("a read"), None);
}

/// `append`, `entry`: a message reads back as it was drafted, whatever it says.
pub(super) async fn contents_are_kept_byte_for_byte(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let longest = "\u{1F468}".repeat(hard::CONTENT_BYTES / 4);
    let contents =
        [" a ", "e\u{301} é", "{\"$ne\": null}", "'; DROP TABLE x; --", "一\n\t二\r", "\u{202E}x", &longest];
    let kinds = [MessageKind::Text, MessageKind::Image, MessageKind::File];
    let bodies = contents
        .iter()
        .zip(kinds.iter().cycle())
        .enumerate()
        .map(|(number, (content, kind))| rich_message(content, *kind, &format!("键 {number} '\"%")));
    let drafts: Vec<Draft> = bodies.map(|body| draft(owner, body)).collect();
    log.append_new(drafts.clone()).await;
    let stored = log.all().await;
    for (entry, draft) in stored[1..].iter().zip(&drafts) {
        assert_eq!(entry.body, draft.body);
        assert_eq!(store.entry(log.id, draft.id).await.expect("a read").as_ref(), Some(entry));
    }
    assert_eq!(stored.len(), 1 + drafts.len());
}

/// `append`: an event of every kind reads back as it was drafted.
pub(super) async fn every_event_reads_back(store: Store) {
    let [owner, user] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    let events = every_event(user);
    for event in &events {
        log.event(owner, event.clone()).await;
    }
    let stored: Vec<EntryBody> = log.all().await.into_iter().skip(1).map(|entry| entry.body).collect();
    assert_eq!(stored, events.into_iter().map(EntryBody::Event).collect::<Vec<_>>());
}

fn every_event(user: UserId) -> Vec<Event> {
    let name = |text: &str| RoomName::new(text).expect("a room name");
    let topic = |text: &str| Topic::new(text).expect("a topic");
    let mut events = vec![
        Event::Invited { user },
        Event::Joined { user },
        Event::Left { user },
        Event::Joined { user },
        Event::Removed { user },
        Event::Banned { user },
        Event::Unbanned { user },
        Event::Joined { user },
        Event::Updated { name: Some(name("茶 & \"Tea\"")), topic: None },
        Event::Updated { name: None, topic: Some(topic("two\nlines")) },
        Event::Updated { name: None, topic: Some(topic("")) },
        Event::Updated { name: Some(name("Tea")), topic: Some(topic("both")) },
        Event::Updated { name: None, topic: None },
    ];
    events.extend([Role::Admin, Role::Owner, Role::Member].map(|role| Event::RoleChanged { user, role }));
    events
}

/// `append`: clocks that go backwards, or stand before 1970, change nothing.
pub(super) async fn order_is_the_number_and_never_the_time(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let times = [NOON.unix_ms(), 0, NOON.unix_ms() + 1, -5, 253_402_300_799_999].map(Timestamp::from_unix_ms);
    let mut drafts = messages(owner, times.len());
    for (draft, time) in drafts.iter_mut().zip(times) {
        draft.timestamp = time;
    }
    log.append_new(drafts).await;
    let stored: Vec<Timestamp> = log.all().await.iter().skip(1).map(|entry| entry.timestamp).collect();
    assert_eq!(stored, times);
}

/// `entry`: finds durable entries of this conversation, and those only.
pub(super) async fn an_entry_is_found_by_id_in_its_conversation(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let other = Log::public(store.port(), owner).await;
    log.append_new(messages(owner, 3)).await;
    for entry in log.all().await {
        assert_eq!(store.entry(log.id, entry.id).await.expect("a read"), Some(entry.clone()));
        assert_eq!(store.entry(other.id, entry.id).await.expect("a read"), None, "not in another log");
    }
    assert_eq!(store.entry(log.id, random::entry()).await.expect("a read"), None);
}
