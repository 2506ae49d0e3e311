//! What an application adds to the chat: `moderation`, `own_action` and `bot`.

use std::sync::Arc;
use std::time::Duration;

use chat_core::Chat;
use chat_core::chat::{HistoryRequest, NewMessage, NewRoom, User};
use chat_core::domain::{EntryBody, RoomName, Visibility};
use chat_core::id::ConversationId;
use chat_core::memory::MemoryStore;
use chat_testkit::double::{FakeAuth, Fault, Faults, FaultyRoomStore};
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::server::{Server, room, text};
use crate::{bot, moderation, own_action};

#[tokio::test]
async fn words_on_the_list_are_refused_and_reach_nobody() {
    let server = Server::start(moderation::chat().await.unwrap()).await;
    let (mut ann, mut ben) = (server.sign_up("ann").await, server.sign_up("ben").await);
    let room = room(&mut ann).await;
    ben.ok(json!({"action": "join_room", "room_id": room})).await;
    for content in ["buy PILLS now", "pills", "这个赌场很好"] {
        let refused = ann.request(text(&room, content)).await;
        assert_eq!((&refused["code"], &refused["field"]), (&json!("forbidden"), &json!("content")));
        assert!(refused["message"].as_str().unwrap().contains("not allowed"), "{refused}");
    }
    ann.ok(text(&room, "two caterpillars")).await;
    assert_eq!(ben.expect_push("new_room_message").await["content"], "two caterpillars");
    let page = ben.ok(json!({"action": "get_room_messages", "room_id": room})).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn members_roll_the_die_and_strangers_do_not() {
    let server = Server::start(own_action::chat().await.unwrap()).await;
    let (mut ann, mut ben) = (server.sign_up("ann").await, server.sign_up("ben").await);
    let room = room(&mut ann).await;
    let roll = json!({"action": "game.roll", "room_id": room});
    for turn in 1..=20 {
        let reply = ann.ok(roll.clone()).await;
        let rolled = reply["rolled"].as_u64().unwrap();
        assert!((1..=6).contains(&rolled));
        assert_eq!(reply["turn"], turn);
        let push = ann.expect_push("new_room_message").await;
        assert_eq!(
            (&push["content"], &push["seq"]),
            (&json!(format!("🎲 turn {turn}: {rolled}")), &reply["seq"])
        );
    }
    assert_eq!(ben.refused(roll.clone()).await, "forbidden");
    ben.ok(json!({"action": "join_room", "room_id": room})).await;
    assert_eq!(ben.ok(roll).await["turn"], 21, "the refused roll took no turn");

    assert_eq!(ann.refused(json!({"action": "game.roll", "room_id": "garden"})).await, "not_found");
    for wrong in [json!({"room_id": 7}), json!({}), json!({"room_id": room, "sides": 20})] {
        let mut request = json!({"action": "game.roll"});
        request.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(ann.refused(request).await, "invalid_params");
    }
    let mut guest = server.connect().await;
    assert_eq!(guest.refused(json!({"action": "game.roll", "room_id": room})).await, "unauthenticated");
}

/// A chat with the bot, a person and a room that the bot was invited to.
struct Party {
    chat: Chat,
    ann: User,
    room: ConversationId,
    faults: Faults,
    _stop: DropGuard,
}

impl Party {
    async fn begin() -> Self {
        let auth = Arc::new(FakeAuth::default());
        let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
        let (faults, stop) = (store.faults(), CancellationToken::new());
        let bot = bot::register(auth.as_ref(), "counter").await.unwrap();
        let builder = Chat::builder().auth(auth.clone()).rooms(store);
        let chat = bot::start(builder, bot, &TaskTracker::new(), stop.clone()).await.unwrap();
        let ann = chat.as_user(auth.add_user("ann"));
        let name = RoomName::new("Garden").unwrap();
        let room =
            ann.create_room(NewRoom { name, topic: None, visibility: Visibility::Private }).await.unwrap().id;
        ann.invite_member(room, bot).await.unwrap();
        while ann.room(room, None, 2).await.unwrap().members.len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { chat, ann, room, faults, _stop: stop.drop_guard() }
    }

    async fn say(&self, text: &str) {
        self.ann.send_message(self.room, NewMessage::text(text).unwrap()).await.unwrap();
    }

    async fn messages(&self) -> Vec<String> {
        let page = self.ann.history(self.room, HistoryRequest::default()).await.unwrap();
        let text = |body: &EntryBody| match body {
            EntryBody::Message(message) => message.content.to_string(),
            EntryBody::Event(_) => panic!("history has messages only"),
        };
        page.entries.iter().map(|entry| text(&entry.body)).collect()
    }

    /// The messages, once there are so many. Time is paused: waiting takes none.
    async fn until(&self, count: usize) -> Vec<String> {
        for _ in 0..10_000 {
            let messages = self.messages().await;
            if messages.len() >= count {
                return messages;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the bot never answers");
    }
}

#[tokio::test(start_paused = true)]
async fn the_bot_joins_where_it_is_invited_and_answers_each_question_once() {
    let party = Party::begin().await;
    party.say("hello").await;
    party.say("!count").await;
    assert_eq!(party.until(3).await, ["hello", "!count", "2 messages so far"]);
    party.say("!count").await;
    assert_eq!(party.until(5).await[3..], ["!count", "4 messages so far"]);
    party.say("thanks").await;
    assert!(party.chat.shutdown(Duration::from_secs(5)).await);
    assert_eq!(party.messages().await.len(), 6, "it does not answer itself");
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_fate_is_unknown_is_sent_again_and_stored_once() {
    let party = Party::begin().await;
    // After the question: an answer that is not stored, and one that is although nobody says so.
    party.faults.next("append", [Fault::None, Fault::Unavailable, Fault::AnswerLost]);
    let before = party.faults.calls("append");
    party.say("!count").await;
    party.until(2).await;
    while party.faults.calls("append") < before + 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    party.say("thanks").await;
    assert_eq!(party.until(3).await, ["!count", "1 messages so far", "thanks"]);
}
