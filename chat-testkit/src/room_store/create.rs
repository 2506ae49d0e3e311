//! Cases of creating conversations.

use chat_core::domain::{ConversationKind, EntryBody, Event, Head, Role, Seq, Visibility};
use chat_core::error::StoreError;
use chat_core::port::{
    Creation, EntryPage, EntryRange, MembershipPage, MessageAnchor, MessagePage, MessageQuery,
};
use tokio::task::JoinSet;

use super::Store;
use super::log::{ALL_BYTES, Log, NOON, private_chat, room, seq};
use crate::random;

/// `epoch`: does not change while nothing is restored, and is not empty.
pub(super) async fn the_epoch_stays(store: Store) {
    let epoch = store.epoch().await.expect("an epoch");
    assert!(!epoch.is_empty());
    Log::public(store.port(), random::user()).await;
    assert_eq!(store.epoch().await.expect("an epoch"), epoch);
    if let Some(store) = store.restart().await {
        assert_eq!(store.epoch().await.expect("an epoch"), epoch, "a restart is no restore");
    }
}

/// `create`, `conversation`, `member`: a room exists with entry 1 and the creator as owner.
pub(super) async fn a_room_begins_with_entry_one_and_its_owner(store: Store) {
    let owner = random::user();
    let new = room(owner, "Tea", Visibility::Private);
    let creation = store.create(new.clone()).await.expect("a creation");
    let Creation::New(conversation) = creation else { panic!("a room is always new: {creation:?}") };
    assert_eq!((conversation.id, &conversation.kind), (new.id, &new.kind));
    assert_eq!((conversation.created_by, conversation.created_at), (owner, NOON));
    assert_eq!(conversation.head, Head { seq: seq(1), messages: 0 });
    assert_eq!((conversation.member_count, conversation.owners.as_slice()), (1, &[owner][..]));

    let log = Log::open(store.port(), new.id).await;
    assert_eq!(log.conversation().await, conversation, "it reads back as it was answered");
    let entries = log.all().await;
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].id, entries[0].by, entries[0].timestamp), (new.entry_id, owner, NOON));
    assert_eq!(entries[0].body, EntryBody::Event(Event::Created));
    let member = log.member(owner).await.expect("the creator has a row");
    assert!(member.is_joined());
    assert_eq!((member.role, member.since_seq, member.read_seq), (Role::Owner, seq(1), seq(1)));
}

/// `create`: a private chat begins with both users as plain members and without owners.
pub(super) async fn a_private_chat_begins_with_both_users(store: Store) {
    let [one, other] = random::users();
    let log = Log::create(store.port(), private_chat(other, one)).await;
    let conversation = log.conversation().await;
    assert!(matches!(conversation.kind, ConversationKind::Private(pair) if pair.users() == [one, other]));
    assert_eq!((conversation.member_count, conversation.owners.len()), (2, 0));
    assert_eq!(conversation.created_by, other);
    for user in [one, other] {
        let member = log.member(user).await.expect("both have a row");
        assert!(member.is_joined());
        assert_eq!((member.role, member.since_seq), (Role::Member, seq(1)));
    }
    assert_eq!(log.all().await.len(), 1);
}

/// `create`: the pair has one chat, whoever asks and whatever has happened in it.
pub(super) async fn a_pair_has_one_chat_whoever_opens_it(store: Store) {
    let [one, other, third] = random::users();
    let mut log = Log::create(store.port(), private_chat(one, other)).await;
    log.say(one, "hello").await;
    for new in [private_chat(one, other), private_chat(other, one)] {
        let id = new.id;
        let creation = store.create(new).await.expect("a creation");
        assert_eq!(creation, Creation::Existing(log.conversation().await), "as it is now");
        assert_eq!(
            store.conversation(id).await.expect("a read"),
            None,
            "nothing was stored under the new id"
        );
    }
    let with_third = Log::create(store.port(), private_chat(one, third)).await;
    assert_ne!(with_third.id, log.id, "another pair has another chat");
}

/// `create`: of any number of concurrent calls for one pair exactly one answers `New`.
pub(super) async fn a_race_for_one_chat_has_one_winner(store: Store) {
    let [one, other] = random::users();
    let mut calls = JoinSet::new();
    for number in 0..200 {
        let new = if number % 2 == 0 { private_chat(one, other) } else { private_chat(other, one) };
        let store = store.port();
        calls.spawn(async move { store.create(new).await.expect("a creation") });
    }
    let (mut winners, mut ids) = (0, Vec::new());
    for creation in calls.join_all().await {
        winners += usize::from(matches!(creation, Creation::New(_)));
        let (Creation::New(conversation) | Creation::Existing(conversation)) = creation;
        ids.push(conversation.id);
    }
    assert_eq!(winners, 1, "exactly one call created the chat");
    ids.dedup();
    assert_eq!(ids.len(), 1, "all answer the same conversation");
    assert_eq!(Log::open(store.port(), ids[0]).await.all().await.len(), 1);
}

/// `create`: repeated with the same ids it answers the conversation and makes nothing twice.
pub(super) async fn a_repeated_creation_answers_the_conversation(store: Store) {
    let [one, other] = random::users();
    for new in [room(one, "Tea", Visibility::Public), private_chat(one, other)] {
        let log = Log::create(store.port(), new.clone()).await;
        let creation = store.create(new).await.expect("a repeated creation");
        let (Creation::New(conversation) | Creation::Existing(conversation)) = creation;
        assert_eq!(conversation, log.conversation().await);
        assert_eq!(log.all().await.len(), 1, "still one entry");
    }
    assert_eq!(store.room_count(one).await.expect("a count"), 1);
}

/// `create`: the name of a room is not unique.
pub(super) async fn rooms_may_share_a_name(store: Store) {
    let owner = random::user();
    let one = Log::create(store.port(), room(owner, "Tea", Visibility::Public)).await;
    let other = Log::create(store.port(), room(owner, "Tea", Visibility::Public)).await;
    assert_ne!(one.id, other.id);
    assert_eq!(store.room_count(owner).await.expect("a count"), 2);
}

/// `conversation`, `entry`, `entries`, `messages`, `member`, `members`, `mark_read`, `my_conversations`,
/// `standings`, `room_count`, `sharing`: absence is an answer and no error.
pub(super) async fn nothing_is_known_of_an_unknown_conversation(store: Store) {
    let (id, [user, other]) = (random::conversation(), random::users());
    if let Err(error) = expect_nothing(&store, id, user, other).await {
        panic!("absence is no error: {error}");
    }
}

async fn expect_nothing(
    store: &Store,
    id: chat_core::id::ConversationId,
    user: chat_core::id::UserId,
    other: chat_core::id::UserId,
) -> Result<(), StoreError> {
    assert_eq!(store.conversation(id).await?, None);
    assert_eq!(store.entry(id, random::entry()).await?, None);
    let range = EntryRange { after: Seq::ZERO, upto: Seq::MAX, limit: 100, max_bytes: ALL_BYTES };
    assert_eq!(store.entries(id, range).await?, EntryPage::default());
    let query = MessageQuery {
        anchor: MessageAnchor::Newest { offset: 0 },
        from: Seq::ZERO,
        upto: Seq::MAX,
        limit: 100,
        max_bytes: ALL_BYTES,
    };
    assert_eq!(store.messages(id, query).await?, MessagePage::default());
    assert_eq!(store.member(id, user).await?, None);
    assert_eq!(store.members(id, None, 100).await?, []);
    assert_eq!(store.mark_read(id, user, seq(1)).await?, None);
    for rooms in [true, false] {
        let page = MembershipPage { rooms, after: None, limit: 100 };
        assert_eq!(store.my_conversations(user, page).await?, []);
    }
    assert_eq!(store.standings(user, None, 100).await?, []);
    assert_eq!(store.room_count(user).await?, 0);
    assert_eq!(store.sharing(user, vec![other]).await?, []);
    assert_eq!(store.sharing(user, Vec::new()).await?, []);
    Ok(())
}
