//! What an application adds: hooks that refuse, and actions of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::Chat;
use chat_core::chat::{
    ActionContext, ActionHandler, ConversationAction, MessageHook, Observer, PendingMessage,
};
use chat_core::domain::{Conversation, Entry};
use chat_core::limits::{Limits, Rate};
use chat_core::memory::MemoryStore;
use chat_core::protocol::{ActionError, Code};
use chat_testkit::double::{FakeAuth, Fault, FaultyRoomStore};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::support::{World, keyed, room, text};

/// Refuses `rude`, and takes its time over `slow`.
#[derive(Debug)]
struct Moderator;

#[async_trait]
impl MessageHook for Moderator {
    async fn check(&self, message: &PendingMessage) -> Result<(), ActionError> {
        match message.content.as_str() {
            "rude" => Err(ActionError::new(Code::Conflict, "Mind your words")),
            "slow" => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

async fn moderated() -> World {
    World::with(Arc::new(MemoryStore::new()), |builder| builder.hook(Arc::new(Moderator))).await
}

#[tokio::test]
async fn a_hook_refuses_with_its_own_words_and_nothing_is_stored() {
    let world = moderated().await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    let refused = ann.request(text(&room, "rude")).await;
    assert_eq!(
        (refused["code"].as_str(), refused["message"].as_str()),
        (Some("conflict"), Some("Mind your words"))
    );
    assert_eq!(ann.ok(text(&room, "kind")).await["seq"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_is_unavailable_after_a_second_and_nothing_is_stored() {
    let world = moderated().await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    let began_at = Instant::now();
    let refused = ann.request(text(&room, "slow")).await;
    assert_eq!(refused["code"], "unavailable");
    assert!(refused["retry_after_ms"].is_u64());
    assert!((Duration::from_secs(1)..Duration::from_millis(1_100)).contains(&began_at.elapsed()));
    assert_eq!(ann.ok(text(&room, "quick")).await["seq"], 2);
}

#[tokio::test]
async fn hooks_are_asked_about_members_only_and_a_stored_message_keeps_its_result() {
    let world = moderated().await;
    let (mut ann, mut eve) = (world.user("ann").await, world.user("eve").await);
    let room = room(&mut ann, "r").await;
    assert_eq!(eve.refused(text(&room, "rude")).await, "forbidden");
    ann.ok(keyed(&room, "k", "fine")).await;
    assert_eq!(ann.refused(keyed(&room, "k", "rude")).await, "conflict");
}

/// Answers what it may look at.
#[derive(Debug)]
struct Peek;

#[async_trait]
impl ActionHandler for Peek {
    async fn handle(
        &self,
        context: ActionContext,
        fields: Map<String, Value>,
    ) -> Result<Map<String, Value>, ActionError> {
        let id = fields.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| ActionError::invalid("id", "is required"))?;
        let scope = context.user().authorise(ConversationAction::Read, id).await?;
        let head = scope.readable_upto().get();
        Ok(Map::from_iter([("head".into(), json!(head)), ("fields".into(), json!(fields.len()))]))
    }
}

fn peek(id: &str) -> Value {
    json!({"action": "test.peek", "id": id, "request_id": 1})
}

#[tokio::test]
async fn an_own_action_gets_scopes_only_where_its_caller_may() {
    let world =
        World::with(Arc::new(MemoryStore::new()), |builder| builder.action("test.peek", Arc::new(Peek)))
            .await;
    let (mut ann, mut eve) = (world.user("ann").await, world.user("eve").await);
    let room = room(&mut ann, "r").await;
    let reply = ann.ok(peek(&room)).await;
    assert_eq!(reply, json!({"success": true, "request_id": 1, "head": 1, "fields": 1}));
    assert_eq!(eve.refused(peek(&room)).await, "forbidden");
    assert_eq!(eve.refused(peek("00000000000000000000000a")).await, "not_found");
    let invalid = eve.request(json!({"action": "test.peek"})).await;
    assert_eq!((invalid["code"].as_str(), invalid["field"].as_str()), (Some("invalid_params"), Some("id")));
    let mut nobody = world.stranger();
    assert_eq!(nobody.refused(peek(&room)).await, "unauthenticated");
    assert_eq!(ann.refused(json!({"action": "other.peek"})).await, "unknown_action");
    assert_eq!(ann.refused(json!({"action": "test.poke"})).await, "unknown_action");
}

/// Answers more than a frame holds.
#[derive(Debug)]
struct Chatter;

#[async_trait]
impl ActionHandler for Chatter {
    async fn handle(
        &self,
        _context: ActionContext,
        _fields: Map<String, Value>,
    ) -> Result<Map<String, Value>, ActionError> {
        Ok(Map::from_iter([("words".into(), json!("x".repeat(200_000)))]))
    }
}

#[tokio::test]
async fn an_own_action_that_answers_too_much_is_not_to_be_repeated() {
    let world = World::with(Arc::new(MemoryStore::new()), |builder| {
        builder.action("test.chatter", Arc::new(Chatter))
    })
    .await;
    let mut ann = world.user("ann").await;
    let refused = ann.request(json!({"action": "test.chatter"})).await;
    assert_eq!((&refused["code"], &refused["retry_after_ms"]), (&json!("limit_exceeded"), &Value::Null));
}

#[tokio::test]
async fn own_actions_count_against_the_same_rate() {
    let limits = Limits { request_rate: Rate { per_second: 1, burst: 5 }, ..Limits::default() };
    let world = World::with(Arc::new(MemoryStore::new()), |builder| {
        builder.limits(limits).action("test.peek", Arc::new(Peek))
    })
    .await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    let mut codes = Vec::new();
    for _ in 0..6 {
        codes.push(ann.request(peek(&room)).await["code"].as_str().map(str::to_owned));
    }
    assert_eq!(codes.last().unwrap().as_deref(), Some("rate_limited"));
}

#[tokio::test]
async fn own_actions_cannot_shadow_those_of_the_protocol() {
    for name in ["join_room", "peek", "test.", ".peek", "Test.peek", "test.peek.more", "test.pe ek", ""] {
        let builder = Chat::builder().auth(Arc::new(FakeAuth::default())).rooms(Arc::new(MemoryStore::new()));
        assert!(builder.action(name, Arc::new(Peek)).build().await.is_err(), "{name}");
    }
    let builder = Chat::builder().auth(Arc::new(FakeAuth::default())).rooms(Arc::new(MemoryStore::new()));
    let twice = builder.action("test.peek", Arc::new(Peek)).action("test.peek", Arc::new(Peek));
    assert!(twice.build().await.is_err());
}

/// Remembers the numbers of what was committed.
#[derive(Debug, Default)]
struct Diary(Mutex<Vec<u64>>);

impl Observer for Diary {
    fn committed(&self, _: &Conversation, entry: &Entry) {
        self.0.lock().unwrap().push(entry.seq.get());
    }
}

#[tokio::test(start_paused = true)]
async fn observers_see_each_entry_once_also_when_its_answer_was_lost() {
    let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
    let faults = store.faults();
    let diary = Arc::new(Diary::default());
    let world = World::with(store, |builder| builder.observer(diary.clone())).await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    ann.ok(keyed(&room, "1", "1")).await;
    for (key, fault) in [("2", Fault::AnswerLost), ("3", Fault::Lost), ("4", Fault::PanicAfter)] {
        faults.next("append", [fault]);
        ann.request(keyed(&room, key, key)).await;
        ann.ok(keyed(&room, key, key)).await;
    }
    assert_eq!(ann.ok(text(&room, "end")).await["seq"], 6);
    // An observer is called after the reply.
    ann.ok(text(&room, "after the end")).await;
    let seen = diary.0.lock().unwrap().clone();
    assert_eq!(seen[..6], [1, 2, 3, 4, 5, 6]);
}
