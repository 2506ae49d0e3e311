//! Coming back after any time: exactly what was missed.

use serde_json::json;

use crate::support::{World, room, text};

#[tokio::test]
async fn sync_continues_from_the_cursor_until_nothing_is_missed() {
    let world = World::new().await;
    let (mut ann, bob) = (world.user("ann").await, world.auth.add_user("bob"));
    let room = room(&mut ann, "r").await;
    let mut bobs = world.device(bob).await;
    bobs.ok(json!({"action": "join_room", "room_id": room})).await;
    drop(bobs);
    for n in 0..1_000 {
        ann.ok(text(&room, &format!("{n} {}", "x".repeat(300)))).await;
    }
    let mut bobs = world.device(bob).await;
    let mut cursor = 2;
    let mut rounds = 0;
    loop {
        let reply = bobs.ok(json!({"action": "sync", "cursors": {room.as_str(): cursor}})).await;
        let synced = &reply["conversations"][&room];
        assert_eq!(synced["state"], "ok");
        for entry in synced["entries"].as_array().unwrap() {
            cursor += 1;
            assert_eq!(entry["seq"], cursor);
            assert!(entry["content"].as_str().unwrap().starts_with(&format!("{} ", cursor - 3)));
        }
        rounds += 1;
        if synced["more"] == false {
            break;
        }
    }
    assert_eq!(cursor, 1_002);
    assert!(rounds > 1, "a reply is bounded in bytes");
}

#[tokio::test]
async fn sync_says_page_gone_and_reset() {
    let world = World::new().await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let long = room(&mut ann, "long").await;
    let left = room(&mut ann, "left").await;
    let other = room(&mut ann, "other").await;
    for room in [&long, &left, &other] {
        bob.ok(json!({"action": "join_room", "room_id": room})).await;
    }
    for n in 0..1_001 {
        ann.ok(text(&long, &n.to_string())).await;
    }
    // A connection that was not read meanwhile is so far behind that it was closed.
    let mut bob = world.device(bob.user_id.parse().unwrap()).await;
    bob.ok(json!({"action": "leave_room", "room_id": left})).await;
    let reply = bob
        .ok(json!({"action": "sync", "cursors": {
            long.as_str(): 2, left.as_str(): 1, "no id": 3, "00000000000000000000000a": 4,
        }}))
        .await;
    let state = |id: &str| reply["conversations"][id]["state"].as_str().unwrap().to_owned();
    assert_eq!((state(&long), state(&left)), ("page".into(), "gone".into()));
    assert_eq!((state("no id"), state("00000000000000000000000a")), ("gone".into(), "gone".into()));
    assert_eq!(reply["others"][0]["room_id"], json!(other));
    let ahead = bob.ok(json!({"action": "sync", "cursors": {long.as_str(): 5_000}})).await;
    assert_eq!(ahead["conversations"][&long]["state"], "reset");
    let restored = bob.ok(json!({"action": "sync", "cursors": {long.as_str(): 2}, "epoch": "another"})).await;
    assert_eq!(restored["conversations"][&long]["state"], "reset");
    assert_ne!(restored["epoch"], "another");
}

/// Whoever comes back to a private room, on whatever device, is told with which entry it goes on.
#[tokio::test]
async fn sync_says_where_a_private_room_goes_on_after_coming_back() {
    let world = World::new().await;
    let (mut ann, mut bert) = (world.user("ann").await, world.user("bert").await);
    let private = json!({"action": "create_room", "room_name": "r", "visibility": "private"});
    let room = ann.ok(private).await["room_id"].as_str().unwrap().to_owned();
    let invite = json!({"action": "invite_member", "room_id": room, "user_id": bert.user_id});
    let join = json!({"action": "join_room", "room_id": room});
    ann.ok(invite.clone()).await;
    bert.ok(join.clone()).await;
    ann.ok(text(&room, "4")).await;
    bert.ok(json!({"action": "leave_room", "room_id": room})).await;
    for n in 6..9 {
        ann.ok(text(&room, &n.to_string())).await;
    }
    ann.ok(invite).await;
    assert_eq!(bert.ok(join).await["since_seq"], 10);
    ann.ok(text(&room, "11")).await;
    let mut phone = world.device(bert.user_id.parse().unwrap()).await;
    for device in [&mut bert, &mut phone] {
        for (cursor, since, entries) in [
            (0, json!(10), vec![10, 11]),
            (5, json!(10), vec![10, 11]),
            (8, json!(10), vec![10, 11]),
            (9, json!(null), vec![10, 11]),
            (10, json!(null), vec![11]),
            (11, json!(null), vec![]),
        ] {
            let reply = device.ok(json!({"action": "sync", "cursors": {room.as_str(): cursor}})).await;
            let synced = &reply["conversations"][&room];
            let seqs: Vec<_> =
                synced["entries"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
            assert_eq!((&synced["state"], &synced["since_seq"]), (&json!("ok"), &since), "from {cursor}");
            assert_eq!(seqs, entries, "from {cursor}");
        }
    }
    for n in 12..1_020 {
        ann.ok(text(&room, &n.to_string())).await;
    }
    let mut tablet = world.device(bert.user_id.parse().unwrap()).await;
    let reply = tablet.ok(json!({"action": "sync", "cursors": {room.as_str(): 5}})).await;
    let synced = &reply["conversations"][&room];
    assert_eq!((&synced["state"], &synced["since_seq"]), (&json!("page"), &json!(10)));
}

#[tokio::test]
async fn pages_fit_into_a_frame_whatever_they_hold() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let room = room(&mut ann, "r").await;
    for _ in 0..60 {
        ann.ok(text(&room, &"\"".repeat(8_192))).await;
    }
    let newest = ann.ok(json!({"action": "get_room_messages", "room_id": room, "limit": 100})).await;
    assert_eq!(newest["has_more"], true);
    let messages = newest["messages"].as_array().unwrap();
    assert_eq!(messages.last().unwrap()["seq"], 61, "the newest are kept");
    assert!(newest.to_string().len() <= 192 * 1_024);
    let oldest = ann.ok(json!({"action": "get_room_messages", "room_id": room, "after_seq": 0})).await;
    assert_eq!(oldest["messages"][0]["seq"], 2, "the oldest are kept");
    assert_eq!(oldest["has_more"], true);
}
