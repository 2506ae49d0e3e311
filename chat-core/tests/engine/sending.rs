//! Messages are stored once, in order, and refused cleanly.

use std::sync::Arc;

use chat_core::limits::{Limits, Rate};
use chat_core::memory::MemoryStore;
use chat_testkit::double::{Fault, FaultyRoomStore};
use serde_json::json;

use crate::support::{World, keyed, room, text};

#[tokio::test]
async fn a_message_sent_again_returns_its_first_result() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    let first = ann.ok(keyed(&room, "k1", "hello")).await;
    for n in 0..300 {
        ann.ok(text(&room, &format!("{n}"))).await;
    }
    let mut phone = world.device(ann.user_id.parse().unwrap()).await;
    let again = phone.ok(keyed(&room, "k1", "hello")).await;
    assert_eq!(first, again);
    assert_eq!(ann.refused(keyed(&room, "k1", "other words")).await, "conflict");
    let page =
        ann.ok(json!({"action": "get_room_messages", "room_id": room, "after_seq": 0, "limit": 1})).await;
    assert_eq!(page["messages"][0]["message_id"], first["message_id"]);
}

#[tokio::test]
async fn pipelined_messages_keep_their_order() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    for n in 0..500 {
        ann.send(&text(&room, &n.to_string())).await;
        if n % 16 == 15 {
            for _ in 0..16 {
                assert_eq!(ann.reply().await["success"], true);
            }
        }
    }
    for n in 0..500 {
        let push = ann.push("new_room_message").await;
        assert_eq!((&push["content"], &push["seq"]), (&json!(n.to_string()), &json!(n + 2)));
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_sending_again() {
    let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
    let faults = store.faults();
    let world = World::over(store).await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    faults.next("append", [Fault::AnswerLost]);
    let lost = ann.request(keyed(&room, "k", "once")).await;
    assert_eq!(lost["code"], "timeout");
    assert!(lost["retry_after_ms"].is_u64());
    // It was stored after all: the others get it although the sender knows nothing yet.
    let push = bob.push("new_room_message").await;
    let again = ann.ok(keyed(&room, "k", "once")).await;
    assert_eq!(push["message_id"], again["message_id"]);
    faults.next("append", [Fault::Unavailable]);
    assert_eq!(ann.refused(keyed(&room, "k2", "twice")).await, "unavailable");
    let stored = ann.ok(keyed(&room, "k2", "twice")).await;
    assert_eq!(stored["seq"], json!(again["seq"].as_u64().unwrap() + 1));
}

#[tokio::test]
async fn sec_52_a_flood_is_refused_and_then_closed_but_stored_messages_keep_their_result() {
    let limits =
        Limits { send_rate: Rate { per_second: 1, burst: 3 }, flood_refusals: 10, ..Limits::default() };
    let world = World::limited(limits).await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    let first = ann.ok(keyed(&room, "k", "1")).await;
    ann.ok(text(&room, "2")).await;
    ann.ok(text(&room, "3")).await;
    let refused = ann.request(text(&room, "4")).await;
    assert_eq!(refused["code"], "rate_limited");
    assert!(refused["retry_after_ms"].as_u64().unwrap() <= 1_000);
    assert_eq!(ann.ok(keyed(&room, "k", "1")).await, first);
    ann.ok(json!({"action": "list_rooms"})).await;
    for _ in 0..8 {
        ann.send(&text(&room, "x")).await;
    }
    assert_eq!(ann.end().await.close_code(), Some(4429));
}

#[tokio::test]
async fn a_former_member_still_gets_the_result_of_what_was_stored() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    let sent = bob.ok(keyed(&room, "k", "bye")).await;
    ann.ok(json!({"action": "remove_member", "room_id": room, "user_id": bob.user_id})).await;
    assert_eq!(bob.ok(keyed(&room, "k", "bye")).await, sent);
    assert_eq!(bob.refused(keyed(&room, "k2", "more")).await, "forbidden");
}

#[tokio::test]
async fn sec_43_contents_have_a_configurable_bound() {
    let world = World::limited(Limits { content_bytes: 10, ..Limits::default() }).await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    ann.ok(text(&room, "1234567890")).await;
    let refused = ann.request(text(&room, "12345678901")).await;
    assert_eq!(
        (refused["code"].as_str(), refused["field"].as_str()),
        (Some("invalid_params"), Some("content"))
    );
}

#[tokio::test]
async fn sec_45_client_ids_are_bounded_and_never_stand_for_two_messages() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    for client_id in ["a".to_owned(), "字".repeat(64), "{\"$ne\":null}".to_owned()] {
        let first = ann.ok(keyed(&room, &client_id, "one")).await;
        assert_eq!(ann.ok(keyed(&room, &client_id, "one")).await, first);
        let other = ann.request(keyed(&room, &client_id, "two")).await;
        assert_eq!((&other["code"], &other["field"]), (&json!("conflict"), &json!("client_id")));
        let mut image = keyed(&room, &client_id, "one");
        image["type"] = json!("image");
        assert_eq!(ann.refused(image).await, "conflict");
    }
    for client_id in [String::new(), "字".repeat(65), "a\u{0}".to_owned(), "a\nb".to_owned()] {
        let refused = ann.request(keyed(&room, &client_id, "one")).await;
        assert_eq!((&refused["code"], &refused["field"]), (&json!("invalid_params"), &json!("client_id")));
    }
}
