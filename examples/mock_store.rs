//! Swapping the store for a mock in a test: what the engine does when the store fails, and
//! that it does not even ask the store to write for a stranger.
//!
//! A mock says what is called, how often, and what it answers; a call that was not expected
//! fails the test. Where a test needs a store that works, `MemoryStore` is simpler, and
//! `FaultyRoomStore` makes any store fail on command.

#![allow(clippy::unwrap_used, reason = "a test may fail with a panic")]

use std::sync::Arc;

use chat_core::Chat;
use chat_core::chat::NewMessage;
use chat_core::domain::{
    Conversation, ConversationKind, Head, Member, Role, RoomName, Seq, Topic, Visibility,
};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, UserId};
use chat_core::protocol::Code;
use chat_core::time::Timestamp;
use chat_testkit::double::{FakeAuth, MockRoomStore};

const OWNER: UserId = UserId::from_bytes([1; 12]);
const STRANGER: UserId = UserId::from_bytes([2; 12]);
const ROOM: ConversationId = ConversationId::from_bytes([3; 12]);

#[tokio::test]
async fn a_message_is_refused_while_the_store_is_down_and_nothing_is_stored() {
    let mut store = store_with_a_room();
    store.expect_append().times(1).returning(|_, _, _| Err(StoreError::unavailable("the disk is gone")));
    let chat = chat_over(store).await;

    let refused = chat.as_user(OWNER).send_message(ROOM, hello()).await.unwrap_err();

    assert_eq!(refused.code, Code::Unavailable);
    assert!(refused.retry_after.is_some(), "the sender is told when to try again");
    assert!(!refused.outcome_unknown(), "the sender is told that nothing happened");
    assert!(!refused.message.contains("disk"), "what failed is for the log, not for clients");
}

#[tokio::test]
async fn a_message_whose_outcome_is_unknown_is_said_to_be_so() {
    let mut store = store_with_a_room();
    store.expect_append().times(1).returning(|_, _, _| Err(StoreError::timeout("no answer")));
    let chat = chat_over(store).await;

    let refused = chat.as_user(OWNER).send_message(ROOM, hello()).await.unwrap_err();

    assert_eq!(refused.code, Code::Timeout);
    assert!(refused.outcome_unknown());
}

#[tokio::test]
async fn nothing_is_written_for_a_stranger() {
    let mut store = store_with_a_room();
    store.expect_append().never();
    store.expect_mark_read().never();
    let chat = chat_over(store).await;
    let stranger = chat.as_user(STRANGER);

    assert_eq!(stranger.send_message(ROOM, hello()).await.unwrap_err().code, Code::Forbidden);
    assert_eq!(stranger.mark_read(ROOM, Seq::MAX).await.unwrap_err().code, Code::Forbidden);
}

/// A store that knows one public room with its owner, and expects no writes.
fn store_with_a_room() -> MockRoomStore {
    let mut store = MockRoomStore::new();
    store.expect_epoch().returning(|| Ok("one".to_owned()));
    store.expect_conversation().returning(|id| Ok((id == ROOM).then(room)));
    store.expect_member().returning(|_, user| {
        let member = Member::by_creation(OWNER, Role::Owner, Seq::ZERO.next());
        Ok((user == OWNER).then_some(member))
    });
    store
}

fn room() -> Conversation {
    Conversation {
        id: ROOM,
        kind: ConversationKind::Room {
            name: RoomName::new("Garden").unwrap(),
            topic: Topic::new("").unwrap(),
            visibility: Visibility::Public,
        },
        created_by: OWNER,
        created_at: Timestamp::from_unix_ms(0),
        head: Head { seq: Seq::ZERO.next(), messages: 0 },
        member_count: 1,
        owners: vec![OWNER],
    }
}

async fn chat_over(store: MockRoomStore) -> Chat {
    Chat::builder().auth(Arc::new(FakeAuth::default())).rooms(Arc::new(store)).build().await.unwrap()
}

fn hello() -> NewMessage {
    NewMessage::text("hello").unwrap()
}
