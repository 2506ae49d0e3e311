//! A bug in what an application brings, or in a store, stays where it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::chat::{ActionContext, ActionHandler, MessageHook, Observer, PendingMessage};
use chat_core::domain::{Conversation, Entry, EntryBody};
use chat_core::memory::MemoryStore;
use chat_core::protocol::ActionError;
use chat_testkit::double::{Fault, FaultyRoomStore};
use serde_json::{Map, Value, json};

use crate::double::{AuthFault, FaultyAuth};
use crate::support::{Client, World, keyed, room, text};

/// Panics at the content `boom`.
#[derive(Debug)]
struct Fragile;

#[async_trait]
impl MessageHook for Fragile {
    async fn check(&self, message: &PendingMessage) -> Result<(), ActionError> {
        assert_ne!(message.content.as_str(), "boom");
        Ok(())
    }
}

impl Observer for Fragile {
    fn committed(&self, _: &Conversation, entry: &Entry) {
        assert!(!matches!(&entry.body, EntryBody::Message(message) if message.content.as_str() == "crack"));
    }
}

#[async_trait]
impl ActionHandler for Fragile {
    async fn handle(
        &self,
        _: ActionContext,
        _: Map<String, Value>,
    ) -> Result<Map<String, Value>, ActionError> {
        panic!("a secret of the application")
    }
}

async fn fragile() -> World {
    World::with(Arc::new(MemoryStore::new()), |builder| {
        let builder = builder.hook(Arc::new(Fragile)).observer(Arc::new(Fragile));
        builder.action("test.crash", Arc::new(Fragile))
    })
    .await
}

#[tokio::test]
async fn sec_49_a_hook_that_panics_refuses_that_message_only() {
    let world = fragile().await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    for (n, content) in ["1", "boom", "2", "boom"].into_iter().enumerate() {
        let mut message = text(&room, content);
        message["request_id"] = json!(n);
        ann.send(&message).await;
    }
    for _ in 0..4 {
        let reply = ann.reply().await;
        let code = (reply["request_id"].as_u64().unwrap() % 2 == 1).then_some("internal");
        assert_eq!(reply["code"].as_str(), code, "{reply}");
    }
    assert_eq!(ann.ok(text(&room, "3")).await["seq"], 4);
}

#[tokio::test]
async fn sec_49_an_observer_that_panics_changes_nothing() {
    let world = fragile().await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    for content in ["crack", "whole", "crack"] {
        ann.ok(text(&room, content)).await;
        assert_eq!(ann.push("new_room_message").await["content"], content);
    }
}

#[tokio::test]
async fn sec_49_an_own_action_that_panics_ends_its_connection_only() {
    let world = fragile().await;
    let mut ann = world.user("ann").await;
    let mut phone = world.device(ann.user_id.parse().unwrap()).await;
    let reply = ann.request(json!({"action": "test.crash"})).await;
    assert_eq!(reply["code"], "internal");
    assert!(!reply.to_string().contains("secret"));
    assert_eq!(ann.end().await.close_code(), Some(1011));
    room(&mut phone, "r").await;
}

#[tokio::test]
async fn sec_49_accounts_that_panic_deny_and_end_that_connection_only() {
    let fake = World::new().await.auth;
    let auth = Arc::new(FaultyAuth::new(fake.clone()));
    let world = World::with(Arc::new(MemoryStore::new()), |builder| builder.auth(auth.clone())).await;
    let world = World { auth: fake, ..world };
    let mut ann = world.user("ann").await;
    auth.always("authenticate", AuthFault::Panic);
    let mut bob = world.stranger();
    let token = world.auth.sign_in(ann.user_id.parse().unwrap());
    assert_eq!(bob.refused(json!({"action": "authenticate", "token": token})).await, "internal");
    assert!(!bob.inbound.is_authenticated());
    assert_eq!(bob.end().await.close_code(), Some(1011));
    room(&mut ann, "r").await;
}

/// What goes on in the background goes on after a panic.
#[tokio::test(start_paused = true)]
async fn sec_49_accounts_that_panic_in_the_background_are_asked_again() {
    let fake = World::new().await.auth;
    let auth = Arc::new(FaultyAuth::new(fake.clone()));
    let world = World::with(Arc::new(MemoryStore::new()), |builder| builder.auth(auth.clone())).await;
    let world = World { auth: fake, ..world };
    for method in ["ended_since", "record_seen"] {
        auth.always(method, AuthFault::Panic);
    }
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    ann.ok(json!({"action": "open_private_chat", "username": "bob"})).await;
    bob.entry().await;
    drop(bob);
    // Long enough for bob to go offline and to be recorded as such, and for all other background work.
    tokio::time::sleep(Duration::from_secs(130)).await;
    auth.heal();
    let bob = world.auth.sign_in(world.auth.add_user("bobby"));
    let mut phone = world.stranger();
    phone.ok(json!({"action": "authenticate", "token": bob})).await;
    world.auth.end_elsewhere(bob.split('-').nth(1).unwrap().parse().unwrap());
    assert_eq!(phone.end().await.close_code(), Some(4401));
    let carl = world.auth.add_user("carl");
    let mut carls = world.device(carl).await;
    carls.ok(json!({"action": "open_private_chat", "user_id": ann.user_id})).await;
    carls.ok(json!({"action": "set_status", "status": "busy"})).await;
    ann.presence(carl, "busy").await;
}

async fn over(store: &Arc<FaultyRoomStore>) -> (World, Client, Client, String) {
    let world = World::over(store.clone()).await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    (world, ann, bob, room)
}

#[tokio::test(start_paused = true)]
async fn sec_49_a_store_that_panics_costs_that_request_and_nothing_is_lost_or_doubled() {
    let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
    let faults = store.faults();
    let (_world, mut ann, mut bob, room) = over(&store).await;
    for (fault, is_stored) in [(Fault::PanicBefore, false), (Fault::PanicAfter, true)] {
        faults.next("append", [fault]);
        let key = format!("k{is_stored}");
        let refused = ann.request(keyed(&room, &key, &key)).await;
        assert_eq!(refused["code"], "internal");
        assert!(!refused.to_string().contains("planned"));
        if is_stored {
            // It is in the log: those who read it need not wait for another message.
            assert_eq!(bob.push("new_room_message").await["content"], key);
        }
        let stored = ann.ok(keyed(&room, &key, &key)).await;
        if !is_stored {
            assert_eq!(bob.push("new_room_message").await["message_id"], stored["message_id"]);
        }
    }
    assert_eq!(ann.ok(text(&room, "end")).await["seq"], 5);
    assert_eq!(bob.push("new_room_message").await["seq"], 5);
}

/// The removal is in the log although nobody was told: what comes after it is not delivered to the user.
#[tokio::test(start_paused = true)]
async fn sec_49_a_removal_whose_answer_was_a_panic_still_ends_delivery() {
    let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
    let (_world, mut ann, mut bob, room) = over(&store).await;
    store.faults().next("append", [Fault::PanicAfter]);
    let remove = json!({"action": "remove_member", "room_id": room, "user_id": bob.user_id});
    assert_eq!(ann.refused(remove).await, "internal");
    ann.ok(text(&room, "canary")).await;
    ann.push("new_room_message").await;
    bob.ok(json!({"action": "ping"})).await;
    assert!(bob.frames.iter().any(|frame| frame.contains("\"removed\"")), "the removal is the last entry");
    assert!(bob.frames.iter().all(|frame| !frame.contains("canary")));
}

#[tokio::test(start_paused = true)]
async fn sec_49_every_method_of_the_store_may_panic_once() {
    let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
    let faults = store.faults();
    let (world, mut ann, mut bob, room) = over(&store).await;
    let methods = [
        ("create", json!({"action": "create_room", "room_name": "x"})),
        ("room_count", json!({"action": "create_room", "room_name": "x"})),
        ("messages", json!({"action": "get_room_messages", "room_id": room})),
        ("members", json!({"action": "get_room", "room_id": room})),
        ("my_conversations", json!({"action": "list_rooms"})),
        ("standings", json!({"action": "sync", "cursors": {}})),
        ("entries", json!({"action": "sync", "cursors": {room.as_str(): 1}})),
        ("discover", json!({"action": "list_rooms", "scope": "public"})),
        ("mark_read", json!({"action": "mark_read", "room_id": room, "seq": 2})),
        ("sharing", json!({"action": "get_users", "user_ids": [ann.user_id]})),
        ("member", json!({"action": "unban_member", "room_id": room, "user_id": "00000000000000000000000a"})),
    ];
    let user = ann.user_id.parse().unwrap();
    for (method, request) in methods {
        faults.next(method, [Fault::PanicBefore]);
        assert_eq!(ann.refused(request.clone()).await, "internal", "{method}");
        drop(ann);
        ann = world.device(user).await;
        ann.ok(request).await;
    }
    bob.ok(text(&room, "still here")).await;
}
