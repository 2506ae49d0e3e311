//! Membership: what each change does to logs, lists and rights.

use chat_core::limits::Limits;
use serde_json::json;

use crate::support::{World, room, text};

#[tokio::test]
async fn the_last_owner_hands_over_before_leaving_and_the_last_member_closes_the_room() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    assert_eq!(ann.refused(json!({"action": "leave_room", "room_id": room})).await, "conflict");
    let demote = json!({"action": "set_role", "room_id": room, "user_id": ann.user_id, "role": "member"});
    assert_eq!(ann.refused(demote).await, "conflict");
    ann.ok(json!({"action": "set_role", "room_id": room, "user_id": bob.user_id, "role": "owner"})).await;
    ann.ok(json!({"action": "leave_room", "room_id": room})).await;
    assert_eq!(ann.refused(text(&room, "x")).await, "forbidden");
    bob.ok(json!({"action": "leave_room", "room_id": room})).await;
    assert_eq!(ann.refused(json!({"action": "join_room", "room_id": room})).await, "not_found");
    let public = ann.ok(json!({"action": "list_rooms", "scope": "public"})).await;
    assert_eq!(public["rooms"], json!([]));
}

#[tokio::test]
async fn sec_33_a_private_room_does_not_exist_for_others() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let created =
        ann.ok(json!({"action": "create_room", "room_name": "secret", "visibility": "private"})).await;
    let room = created["room_id"].as_str().unwrap().to_owned();
    ann.ok(text(&room, "before")).await;
    let absent = bob.request(json!({"action": "join_room", "room_id": "000000000000000000000000"})).await;
    let hidden = bob.request(json!({"action": "join_room", "room_id": room})).await;
    let malformed = bob.request(json!({"action": "join_room", "room_id": "no id at all"})).await;
    assert_eq!(absent, hidden);
    assert_eq!(absent, malformed);
    ann.ok(json!({"action": "invite_member", "room_id": room, "user_id": bob.user_id})).await;
    let invitation = bob.push("invitation").await;
    assert_eq!((&invitation["room_id"], &invitation["room_name"]), (&json!(room), &json!("secret")));
    let mine = bob.ok(json!({"action": "list_rooms"})).await;
    assert_eq!(
        (&mine["rooms"][0]["membership"], &mine["rooms"][0]["invited_by"]),
        (&json!("invited"), &json!(ann.user_id))
    );
    assert_eq!(bob.refused(json!({"action": "get_room_messages", "room_id": room})).await, "forbidden");
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    ann.ok(text(&room, "after")).await;
    let page = bob.ok(json!({"action": "get_room_messages", "room_id": room})).await;
    let contents: Vec<_> =
        page["messages"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
    assert_eq!(contents, ["after"], "members of a private room read from their join on");
}

#[tokio::test]
async fn banned_users_cannot_come_back_until_unbanned() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    ann.ok(json!({"action": "ban_member", "room_id": room, "user_id": bob.user_id})).await;
    let last = loop {
        let entry = bob.entry().await;
        if entry["kind"] == "banned" {
            break entry;
        }
    };
    ann.ok(text(&room, "gone?")).await;
    assert!(bob.pushes_so_far().await.is_empty(), "the ban is the last entry: {last}");
    assert_eq!(bob.refused(json!({"action": "join_room", "room_id": room})).await, "forbidden");
    ann.ok(json!({"action": "unban_member", "room_id": room, "user_id": bob.user_id})).await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
}

#[tokio::test]
async fn unread_counts_messages_by_others_and_read_positions_never_go_back() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    for n in 0..5 {
        ann.ok(text(&room, &n.to_string())).await;
    }
    bob.ok(text(&room, "own")).await;
    let mine = bob.ok(json!({"action": "list_rooms"})).await;
    assert_eq!(mine["rooms"][0]["unread"], 5);
    let mut phone = world.device(bob.user_id.parse().unwrap()).await;
    let marked = bob.ok(json!({"action": "mark_read", "room_id": room, "seq": 4})).await;
    assert_eq!(marked["read_seq"], 4);
    let marker = phone.push("read_marker").await;
    assert_eq!((&marker["read_seq"], &marker["room_id"]), (&json!(4), &json!(room)));
    let back = bob.ok(json!({"action": "mark_read", "room_id": room, "seq": 1})).await;
    assert_eq!(back["read_seq"], 4);
    let ahead = bob.ok(json!({"action": "mark_read", "room_id": room, "seq": 9_000_000})).await;
    assert_eq!(ahead["read_seq"], 8);
    let mine = bob.ok(json!({"action": "list_rooms"})).await;
    assert_eq!(mine["rooms"][0]["unread"], 0);
}

#[tokio::test]
async fn rooms_that_are_made_at_once_do_not_pass_the_limit() {
    let world = World::limited(Limits { user_rooms: 3, ..Limits::default() }).await;
    let mut ann = world.user("ann").await;
    for n in 0..12 {
        ann.send(&json!({"action": "create_room", "room_name": n.to_string()})).await;
    }
    for _ in 0..12 {
        ann.reply().await;
    }
    let mine = ann.ok(json!({"action": "list_rooms"})).await;
    assert!(mine["rooms"].as_array().unwrap().len() <= 3, "{mine}");
    let refused = ann.request(json!({"action": "open_private_chat", "username": "ann"})).await;
    assert_eq!((&refused["code"], &refused["field"]), (&json!("invalid_params"), &json!("username")));
}
