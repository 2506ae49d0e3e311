//! The real binary and what people see of each other: presence, typing, read positions
//! and unread counts.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use serde_json::{Value, json};
use support::people::{Device, text};
use support::{Store, on_every_store};

on_every_store! {
    people_are_online_until_a_while_after_their_last_device_has_gone,
    invisible_people_look_offline_at_once,
    typing_is_seen_by_the_others_and_leaves_no_trace,
    read_positions_move_forwards_only_and_unread_counts_follow,
    in_private_chats_the_other_one_sees_what_was_read,
}

/// The next status of `user_id` that is pushed to `device`.
async fn next_status(device: &mut Device, user_id: &str) -> Value {
    loop {
        let push = device.expect_push("presence").await;
        let users = push["users"].as_array().unwrap();
        if let Some(user) = users.iter().find(|user| user["user_id"] == user_id) {
            return user.clone();
        }
    }
}

async fn status(device: &mut Device, user_id: &str) -> Value {
    let reply = device.ok(json!({"action": "get_presence", "user_ids": [user_id]})).await;
    reply["users"][0]["status"].clone()
}

async fn people_are_online_until_a_while_after_their_last_device_has_gone(store: Store) {
    let server = store.start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let mut eve = server.newcomer("eve").await;
    let ann_id = ann.user_id.clone();
    bob.chat_with(&ann_id).await;
    assert_eq!(status(&mut bob, &ann_id).await, "online");

    ann.ok(json!({"action": "set_status", "status": "away"})).await;
    assert_eq!(next_status(&mut bob, &ann_id).await["status"], "away");
    let phone = server.device("ann").await;
    ann.socket.close().await;
    assert_eq!(status(&mut bob, &ann_id).await, "away", "another device is there");
    phone.socket.close().await;
    assert_eq!(status(&mut bob, &ann_id).await, "away", "a reconnect would not be seen");

    let mut back = server.device("ann").await;
    back.ok(json!({"action": "set_status", "status": "busy"})).await;
    assert_eq!(next_status(&mut bob, &ann_id).await["status"], "busy", "and it was not");

    drop(back);
    let offline = next_status(&mut bob, &ann_id).await;
    assert_eq!(offline["status"], "offline");
    assert!(offline["last_seen"].is_string(), "{offline}");
    assert_eq!(status(&mut bob, &ann_id).await, "offline");
    server.device("ann").await;
    assert_eq!(next_status(&mut bob, &ann_id).await["status"], "online", "as after every absence");

    let hidden = eve.ok(json!({"action": "get_presence", "user_ids": [ann_id]})).await;
    assert_eq!(hidden["users"], json!([]), "strangers see nothing");
    eve.ok(json!({"action": "ping"})).await;
    assert!(eve.take_pushes().iter().all(|push| push["action"] != "presence"));
}

async fn invisible_people_look_offline_at_once(store: Store) {
    let server = store.start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let room = server.room_of(&mut [&mut ann, &mut bob]).await;
    for status in ["busy", "offline"] {
        ann.ok(json!({"action": "set_status", "status": status})).await;
        assert_eq!(next_status(&mut bob, &ann.user_id).await["status"], status);
    }
    ann.ok(text(&room, "I see you")).await;
    bob.expect_push("new_room_message").await;
    assert_eq!(status(&mut bob, &ann.user_id).await, "offline");
}

async fn typing_is_seen_by_the_others_and_leaves_no_trace(store: Store) {
    let server = store.start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let mut eve = server.newcomer("eve").await;
    let room = server.room_of(&mut [&mut ann, &mut bob]).await;
    let chat = ann.chat_with(&bob.user_id).await;
    for (field, id) in [("room_id", &room), ("chat_id", &chat)] {
        ann.ok(json!({"action": "typing", field: id})).await;
        let expected = json!({"action": "typing", field: id, "user_id": ann.user_id});
        assert_eq!(bob.expect_push("typing").await, expected);
    }
    assert_eq!(eve.refused(json!({"action": "typing", "room_id": room})).await, "forbidden");
    assert_eq!(eve.refused(json!({"action": "typing", "chat_id": chat})).await, "not_found");
    ann.ok(json!({"action": "ping"})).await;
    assert!(ann.take_pushes().iter().all(|push| push["action"] != "typing"));
    assert!(bob.history(&room).await.is_empty());
}

async fn read_positions_move_forwards_only_and_unread_counts_follow(store: Store) {
    let server = store.start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let mut phone = server.device("bob").await;
    let room = server.room_of(&mut [&mut ann, &mut bob]).await;
    let mut sent = Vec::new();
    for number in 1..=5 {
        sent.push(ann.ok(text(&room, &format!("message {number}"))).await["seq"].clone());
    }
    bob.ok(text(&room, "my own")).await;
    let listed = bob.ok(json!({"action": "list_rooms"})).await;
    assert_eq!(
        (&listed["rooms"][0]["unread"], &listed["rooms"][0]["last_message"]["content"]),
        (&json!(5), &json!("my own"))
    );

    let mark = |seq: &Value| json!({"action": "mark_read", "room_id": room, "seq": seq});
    assert_eq!(bob.ok(mark(&sent[2])).await["read_seq"], sent[2]);
    let marker = phone.expect_push("read_marker").await;
    let expected =
        json!({"action": "read_marker", "room_id": room, "user_id": bob.user_id, "read_seq": sent[2]});
    assert_eq!(marker, expected);
    assert_eq!(bob.ok(mark(&sent[0])).await["read_seq"], sent[2], "never backwards");
    assert_eq!(phone.ok(json!({"action": "list_rooms"})).await["rooms"][0]["unread"], 2);
    let head = bob.ok(mark(&json!(1_000_000))).await["read_seq"].as_u64().unwrap();
    assert_eq!(head, sent[4].as_u64().unwrap() + 1, "never above the last entry");
    assert_eq!(phone.ok(json!({"action": "list_rooms"})).await["rooms"][0]["unread"], 0);
    ann.ok(json!({"action": "ping"})).await;
    assert!(
        ann.take_pushes().iter().all(|push| push["action"] != "read_marker"),
        "rooms do not tell who read"
    );
}

async fn in_private_chats_the_other_one_sees_what_was_read(store: Store) {
    let server = store.start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let chat = ann.chat_with(&bob.user_id).await;
    let message = json!({"action": "send_private_message", "chat_id": chat, "content": "Hi"});
    let sent = ann.ok(message).await;
    assert_eq!(bob.ok(json!({"action": "list_private_chats"})).await["chats"][0]["unread"], 1);
    bob.ok(json!({"action": "mark_read", "chat_id": chat, "seq": sent["seq"]})).await;
    let expected =
        json!({"action": "read_marker", "chat_id": chat, "user_id": bob.user_id, "read_seq": sent["seq"]});
    assert_eq!(ann.expect_push("read_marker").await, expected);
    assert_eq!(bob.ok(json!({"action": "list_private_chats"})).await["chats"][0]["unread"], 0);
}
