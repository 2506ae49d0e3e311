//! The dialogue of the oldest clients, word for word, and what anybody gets who says something else.

use chat_core::limits::Limits;
use serde_json::{Value, json};

use crate::support::{World, text};

#[tokio::test]
async fn register_login_room_send_and_history_work_as_they_always_did() {
    let world = World::new().await;
    let mut ann = world.stranger();
    let greeting = ann.push("connected").await;
    assert_eq!(greeting["protocol"], 1);

    let registered = ann
        .ok(json!({"action": "register", "username": "ann", "password": "correct horse", "email": "ann@example.org"}))
        .await;
    let again = json!({"action": "register", "username": "Ann", "password": "correct horse", "email": "b@example.org"});
    let again = ann.request(again).await;
    assert_eq!(
        (again["code"].as_str(), again["message"].as_str()),
        (Some("already_exists"), Some("Username already exists"))
    );

    let login = ann.ok(json!({"action": "login", "username": "ann", "password": "correct horse"})).await;
    assert_eq!(login["user_id"], registered["user_id"]);
    let token = login["token"].as_str().unwrap();

    // Old clients send the token with every request.
    let created = ann.ok(json!({"action": "create_room", "token": token, "room_name": "lounge"})).await;
    let room = created["room_id"].as_str().unwrap();
    ann.ok(json!({"action": "join_room", "token": token, "room_id": room})).await;
    let sent = ann
        .ok(json!({"action": "send_room_message", "token": token, "room_id": room, "content": "hello", "type": "text"}))
        .await;
    assert_eq!(sent["seq"], 2);
    let push = ann.push("new_room_message").await;
    for field in ["room_id", "message_id", "sender_id", "content", "timestamp", "seq"] {
        assert!(push.get(field).is_some(), "{field} is missing in {push}");
    }
    let page = ann
        .ok(json!({"action": "get_room_messages", "token": token, "room_id": room, "limit": 50, "offset": 0}))
        .await;
    assert_eq!(page["messages"][0]["content"], "hello");
    assert_eq!(page["messages"][0]["message_id"], sent["message_id"]);
    assert!(page["messages"][0].get("receiver_id").is_none(), "only private chats have one receiver");
    assert_eq!(page["has_more"], false);
    ann.ok(json!({"action": "logout", "token": token})).await;
    assert_eq!(ann.refused(json!({"action": "list_rooms", "token": token})).await, "unauthenticated");
}

#[tokio::test]
async fn private_chats_are_one_per_pair_and_check_their_receiver() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let opened = ann.ok(json!({"action": "open_private_chat", "username": "bob"})).await;
    let same = bob.ok(json!({"action": "open_private_chat", "user_id": ann.user_id})).await;
    assert_eq!(opened["chat_id"], same["chat_id"]);
    let chat = opened["chat_id"].clone();
    let sent = json!({"action": "send_private_message", "chat_id": chat, "receiver_id": bob.user_id, "content": "psst"});
    ann.ok(sent).await;
    let push = bob.push("new_private_message").await;
    assert_eq!((&push["sender_id"], &push["receiver_id"]), (&json!(ann.user_id), &json!(bob.user_id)));
    bob.ok(json!({"action": "send_private_message", "chat_id": chat, "content": "what?"})).await;
    for client in [&mut ann, &mut bob] {
        let page = client.ok(json!({"action": "get_private_messages", "chat_id": chat})).await;
        let of = |row: &Value| (row["sender_id"].clone(), row["receiver_id"].clone(), row["content"].clone());
        let rows: Vec<_> = page["messages"].as_array().unwrap().iter().map(of).collect();
        // Each opened the chat with the other.
        let (ann, bob) = (&same["user_id"], &opened["user_id"]);
        let expected = [(ann, bob, "psst"), (bob, ann, "what?")]
            .map(|(sender, receiver, content)| (sender.clone(), receiver.clone(), json!(content)));
        assert_eq!(rows, expected);
    }
    let wrong = json!({"action": "send_private_message", "chat_id": chat, "receiver_id": ann.user_id, "content": "x"});
    assert_eq!(ann.request(wrong).await["field"], "receiver_id");
    let mut eve = world.user("eve").await;
    let spy = json!({"action": "get_private_messages", "chat_id": chat});
    assert_eq!(eve.refused(spy).await, "not_found");
}

#[tokio::test]
async fn requests_without_a_valid_token_are_refused_with_the_reason() {
    let world = World::new().await;
    let mut nobody = world.stranger();
    let reply = nobody.request(json!({"action": "list_rooms", "request_id": 7})).await;
    assert_eq!(reply["request_id"], 7);
    assert_eq!(reply["message"], "Authentication required");
    assert_eq!(reply["reason"], "missing");
    let reply = nobody.request(json!({"action": "list_rooms", "token": "made up"})).await;
    assert_eq!(
        (reply["message"].as_str(), reply["reason"].as_str()),
        (Some("Invalid token"), Some("invalid"))
    );
    let mut ann = world.user("ann").await;
    let bob = world.user("bob").await;
    let theft = ann.request(json!({"action": "list_rooms", "token": bob.token})).await;
    assert_eq!(theft["message"], "Invalid token");
    ann.ok(json!({"action": "list_rooms"})).await;
}

#[tokio::test]
async fn unreadable_frames_are_answered_and_the_tenth_closes() {
    let world = World::new().await;
    let mut nobody = world.stranger();
    for _ in 0..10 {
        nobody.inbound.accept("{oops");
        let reply = nobody.reply().await;
        assert_eq!(
            (reply["code"].as_str(), reply["message"].as_str()),
            (Some("invalid_json"), Some("Invalid JSON"))
        );
    }
    assert_eq!(nobody.end().await.close_code(), Some(4400));
}

#[tokio::test]
async fn sec_47_unknown_actions_are_an_error_and_no_close() {
    let world = World::new().await;
    let mut nobody = world.stranger();
    for _ in 0..20 {
        assert_eq!(nobody.refused(json!({"action": "launch_rocket"})).await, "unknown_action");
    }
    nobody.ok(json!({"action": "ping"})).await;
}

#[tokio::test]
async fn pipelined_requests_after_a_login_wait_for_it() {
    let world = World::new().await;
    world.auth.add_user("ann");
    let mut ann = world.stranger();
    ann.send(&json!({"action": "login", "username": "ann", "password": "password"})).await;
    ann.send(&json!({"action": "create_room", "room_name": "r"})).await;
    ann.reply().await;
    let room = ann.reply().await["room_id"].as_str().unwrap().to_owned();
    ann.ok(text(&room, "works")).await;
}

#[tokio::test]
async fn sec_51_a_login_that_is_refused_for_too_many_connections_leaves_no_session() {
    let world = World::limited(Limits { user_connections: 1, ..Limits::default() }).await;
    let mut ann = world.user("ann").await;
    for _ in 0..3 {
        let mut other = world.stranger();
        let login = json!({"action": "login", "username": "ann", "password": "password"});
        assert_eq!(other.refused(login).await, "limit_exceeded");
        assert_eq!(other.end().await.close_code(), Some(4429));
    }
    let sessions = ann.ok(json!({"action": "list_sessions"})).await;
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1);
}
