//! Live delivery: every device of every member, in order, once, and nobody else.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chat_core::memory::MemoryStore;
use chat_core::port::RoomStore as _;
use futures::poll;
use serde_json::json;

use crate::support::{World, room, text};

#[tokio::test]
async fn every_device_of_every_member_gets_every_entry_once_in_order() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let mut phone = world.device(bob.user_id.parse().unwrap()).await;
    let mut eve = world.user("eve").await;
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    for n in 0..900 {
        ann.ok(text(&room, &n.to_string())).await;
    }
    for client in [&mut bob, &mut phone] {
        let join = client.entry().await;
        assert_eq!((&join["kind"], &join["seq"]), (&json!("joined"), &json!(2)));
        for n in 0..900 {
            let push = client.entry().await;
            assert_eq!((&push["seq"], &push["content"]), (&json!(n + 3), &json!(n.to_string())));
        }
    }
    assert!(eve.pushes_so_far().await.iter().all(|push| push["action"] == "connected"));
}

#[tokio::test]
async fn a_session_that_is_revoked_loses_its_connections_and_logout_keeps_its_own() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let user = ann.user_id.parse().unwrap();
    let mut phone = world.device(user).await;
    let sessions = ann.ok(json!({"action": "list_sessions"})).await;
    let other = sessions["sessions"].as_array().unwrap().iter().find(|s| s["current"] == false).unwrap();
    ann.ok(json!({"action": "revoke_session", "session_id": other["session_id"]})).await;
    let end = phone.end().await;
    assert_eq!((end.close_code(), end.close_text()), (Some(4401), "ended"));
    ann.ok(json!({"action": "logout"})).await;
    assert_eq!(ann.refused(json!({"action": "list_rooms"})).await, "unauthenticated");
    ann.ok(json!({"action": "ping"})).await;
}

#[tokio::test(start_paused = true)]
async fn sec_28_a_token_that_ends_is_announced_and_closes_unless_renewed() {
    let world = World::new().await;
    world.auth.set_token_lifetime(Duration::from_millis(1_500));
    let ann = world.auth.add_user("ann");
    let mut client = world.device(ann).await;
    // Paused time does not move the clock of tokens: wait for it on the wall.
    let half = || tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(800)));
    half().await.unwrap();
    client.push("token_expiring").await;
    half().await.unwrap();
    let end = client.end().await;
    assert_eq!((end.close_code(), end.close_text()), (Some(4401), "expired"));
}

#[tokio::test(start_paused = true)]
async fn presence_reaches_those_who_share_a_conversation() {
    let world = World::new().await;
    let (mut ann, mut eve) = (world.user("ann").await, world.user("eve").await);
    let bob = world.auth.add_user("bob");
    let room = room(&mut ann, "r").await;
    let mut bobs = world.device(bob).await;
    bobs.ok(json!({"action": "join_room", "room_id": room})).await;
    drop(bobs);
    ann.presence(bob, "offline").await;
    let mut bobs = world.device(bob).await;
    ann.presence(bob, "online").await;
    bobs.ok(json!({"action": "set_status", "status": "away"})).await;
    ann.presence(bob, "away").await;
    assert!(eve.pushes_so_far().await.iter().all(|push| push["action"] != "presence"));
    let asked = eve.ok(json!({"action": "get_presence", "user_ids": [bob.to_string()]})).await;
    assert_eq!(asked["users"], json!([]));
    let asked = ann.ok(json!({"action": "get_presence", "user_ids": [bob.to_string()]})).await;
    assert_eq!(asked["users"][0]["status"], "away");
}

#[tokio::test]
async fn typing_reaches_the_others_only() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    bob.ok(json!({"action": "typing", "room_id": room})).await;
    assert_eq!(ann.push("typing").await["user_id"], json!(bob.user_id));
    assert!(bob.pushes_so_far().await.iter().all(|push| push["action"] != "typing"));
}

#[tokio::test]
async fn shutdown_answers_what_was_taken_and_closes_with_1001() {
    let world = World::with(Arc::new(MemoryStore::new()), |builder| builder).await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    for n in 0..10 {
        ann.send(&text(&room, &n.to_string())).await;
    }
    assert!(world.chat.shutdown(Duration::from_secs(5)).await);
    for _ in 0..10 {
        assert_eq!(ann.reply().await["success"], true);
    }
    assert_eq!(ann.end().await.close_code(), Some(1001));
}

#[tokio::test]
async fn a_frame_whose_reader_looked_just_before_a_shutdown_is_neither_stored_nor_answered() {
    let store = Arc::new(MemoryStore::new());
    let world = World::over(store.clone()).await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    ann.send(&text(&room, "in time")).await;
    let mut shutdown = pin!(world.chat.shutdown(Duration::from_secs(5)));
    assert!(poll!(shutdown.as_mut()).is_pending(), "one is under way");
    ann.inbound.accept(&text(&room, "too late").to_string());
    assert!(shutdown.await);
    assert_eq!(ann.reply().await["success"], true);
    assert_eq!(ann.end().await.close_code(), Some(1001));
    let room = store.conversation(room.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(room.head.messages, 1);
}
