//! Every bound is met exactly, by one and by many above it, and only who exceeds it feels it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chat_core::hub::DisconnectReason;
use chat_core::limits::{Limits, Rate, hard};
use chat_core::memory::MemoryStore;
use chat_core::port::{PresenceHub, RoomStore};
use chat_testkit::double::{Fault, FaultyRoomStore, Gate};
use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::device::canaries;
use crate::stage::{NO_RATE, unhurried};
use crate::support::{Client, World, room, text};

#[tokio::test]
async fn sec_51_sixteen_requests_are_worked_on_and_then_reading_stops() {
    let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
    let faults = store.faults();
    let world = World::over(store).await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    let gate = Gate::closed();
    faults.always("messages", Fault::HeldBefore(gate.clone()));
    let history = json!({"action": "get_room_messages", "room_id": room}).to_string();
    for taken in 0..16 {
        assert!(ann.inbound.has_room(), "{taken}");
        ann.inbound.accept(&history);
    }
    assert!(!ann.inbound.has_room());
    assert!(ann.inbound.room().now_or_never().is_none());
    gate.reached(16).await;
    bob.ok(text(&room, "others go on")).await;
    gate.open();
    ann.inbound.room().await;
    for _ in 0..16 {
        assert_eq!(ann.reply().await["success"], true);
    }
}

#[tokio::test]
async fn sec_51_a_user_has_twenty_connections() {
    let world = World::new().await;
    let ann = world.auth.add_user("ann");
    let mut devices = Vec::new();
    for _ in 0..20 {
        devices.push(world.device(ann).await);
    }
    for _ in 0..100 {
        let mut late = world.stranger();
        let token = world.auth.sign_in(ann);
        assert_eq!(late.refused(json!({"action": "authenticate", "token": token})).await, "limit_exceeded");
        assert_eq!(late.end().await.close_code(), Some(4429));
        assert!(!late.inbound.is_authenticated());
    }
    let room = room(&mut devices[0], "r").await;
    for device in &mut devices {
        assert_eq!(device.entry().await["room_id"], json!(room), "none of the twenty was harmed");
    }
    devices.pop();
    devices.push(world.device(ann).await);
    world.user("bob").await;
}

#[tokio::test]
async fn sec_51_rooms_and_memberships_have_their_bounds() {
    let limits = Limits { room_members: 5, user_rooms: 3, ..Limits::default() };
    let world = World::limited(limits).await;
    let mut ann = world.user("ann").await;
    let mut rooms = Vec::new();
    for n in 0..3 {
        rooms.push(room(&mut ann, &n.to_string()).await);
    }
    for _ in 0..100 {
        let create = json!({"action": "create_room", "room_name": "one more"});
        assert_eq!(ann.refused(create).await, "limit_exceeded");
    }
    let mut members = Vec::new();
    for n in 0..4 {
        let mut member = world.user(&format!("member{n}")).await;
        member.ok(json!({"action": "join_room", "room_id": rooms[0]})).await;
        members.push(member);
    }
    for n in 0..100 {
        let mut late = world.user(&format!("late{n}")).await;
        assert_eq!(late.refused(json!({"action": "join_room", "room_id": rooms[0]})).await, "limit_exceeded");
    }
    // Joining again is no new membership.
    members[0].ok(json!({"action": "join_room", "room_id": rooms[0]})).await;
    members[0].ok(json!({"action": "leave_room", "room_id": rooms[0]})).await;
    let mut next = world.user("next").await;
    next.ok(json!({"action": "join_room", "room_id": rooms[0]})).await;
    let theirs = room(&mut members[0], "theirs").await;
    assert_eq!(ann.refused(json!({"action": "join_room", "room_id": theirs})).await, "limit_exceeded");
    ann.ok(json!({"action": "leave_room", "room_id": rooms[2]})).await;
    ann.ok(json!({"action": "join_room", "room_id": theirs})).await;
}

/// Whatever somebody floods with: requests, frames that are none, or requests before signing in.
#[tokio::test]
async fn sec_52_floods_are_refused_and_then_closed() {
    let limits =
        Limits { request_rate: Rate { per_second: 1, burst: 20 }, flood_refusals: 50, ..Limits::default() };
    let limits = Limits { unreadable_frames: 0, ..limits };
    for frame in
        [r#"{"action":"ping"}"#, r#"{"a":1}"#, r#"{"action":"dance"}"#, r#"{"action":"get_room"}"#, "{oops"]
    {
        for is_signed_in in [false, true] {
            let world = World::limited(limits.clone()).await;
            let mut other = world.user("other").await;
            let mut flood = if is_signed_in { world.user("flood").await } else { world.stranger() };
            let mut refused = 0;
            for _ in 0..200 {
                flood.inbound.room().await;
                flood.inbound.accept(frame);
                if has_ended(&mut flood).await {
                    break;
                }
            }
            assert_eq!(flood.end().await, DisconnectReason::Flood, "{frame}");
            for reply in flood.frames.iter().filter(|frame| frame.contains("rate_limited")) {
                let reply: Value = serde_json::from_str(reply).unwrap();
                assert!(reply["retry_after_ms"].is_u64(), "{reply}");
                refused += 1;
            }
            assert_eq!(refused, 50, "{frame}");
            other.ok(json!({"action": "ping"})).await;
        }
    }
}

/// Takes what is there. Answers whether the connection has ended.
async fn has_ended(client: &mut Client) -> bool {
    tokio::task::yield_now().await;
    let mut batch = Vec::new();
    loop {
        let ended = client.outbound.frames(&mut batch, 64 * 1_024).now_or_never();
        client.frames.extend(batch.drain(..).map(|frame| frame.text().to_owned()));
        match ended {
            Some(Ok(())) => {}
            Some(Err(_)) => return true,
            None => return false,
        }
    }
}

async fn exchange(ann: &mut Client, room: &str, count: usize) {
    for n in 0..count {
        ann.ok(text(room, &n.to_string())).await;
    }
}

#[tokio::test]
async fn sec_53_who_never_reads_costs_a_bounded_number_of_frames_and_harms_nobody() {
    let world = unhurried(Arc::new(MemoryStore::new())).await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    bob.pushes_so_far().await;
    let before = bob.frames.len();
    // Replies: reading stops when too many wait.
    let mut taken = 0;
    while bob.inbound.has_room() {
        bob.inbound.accept(r#"{"action":"ping"}"#);
        taken += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(taken, hard::REPLIES);
    // Signals: the oldest are dropped. Entries: a place in a ring.
    for _ in 0..200 {
        ann.ok(json!({"action": "typing", "room_id": room})).await;
    }
    exchange(&mut ann, &room, 900).await;
    let mut seqs = Vec::new();
    while seqs.last() != Some(&902) {
        seqs.push(bob.entry().await["seq"].as_u64().unwrap());
    }
    assert_eq!(seqs, (3..=902).collect::<Vec<_>>(), "nothing is lost");
    let came = &bob.frames[before..];
    let count = |what: &str| came.iter().filter(|frame| frame.contains(what)).count();
    assert_eq!((count("\"pong\""), count("\"typing\"")), (hard::REPLIES, hard::EPHEMERAL_FRAMES));
}

#[tokio::test]
async fn sec_53_who_is_a_thousand_behind_is_closed_and_reads_all_of_it_when_they_resume() {
    let world = unhurried(Arc::new(MemoryStore::new())).await;
    let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
    let room = room(&mut ann, "r").await;
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    let mut carol = world.user("carol").await;
    carol.ok(json!({"action": "join_room", "room_id": room})).await;
    bob.push("conversation_event").await;
    let cursor = bob.push("conversation_event").await["seq"].as_u64().unwrap();
    for part in 0..3 {
        exchange(&mut ann, &room, 400).await;
        for n in 0..400 {
            assert_eq!(carol.push("new_room_message").await["seq"], json!(cursor + part * 400 + n + 1));
        }
    }
    let end = bob.end().await;
    assert_eq!((end.close_code(), end.close_text()), (Some(4408), "too slow, resume"));
    let mut bob = world.device(bob.user_id.parse().unwrap()).await;
    let synced = bob.ok(json!({"action": "sync", "cursors": {room.as_str(): cursor}})).await;
    assert_eq!(synced["conversations"][&room]["state"], "page");
    let mut seqs = vec![cursor];
    loop {
        let after = *seqs.last().unwrap();
        let page = json!({"action": "get_room_messages", "room_id": room, "after_seq": after, "limit": 100});
        let page = bob.ok(page).await;
        seqs.extend(page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()));
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(seqs, (cursor..=cursor + 1_200).collect::<Vec<_>>());
    ann.ok(text(&room, "live again")).await;
    assert_eq!(bob.push("new_room_message").await["seq"], json!(cursor + 1_201));
}

/// Connections come and go, some in the middle of something: nobody gets what is another's, and nothing stays.
#[tokio::test(start_paused = true)]
async fn d10_two_thousand_connections_leave_nothing_and_hear_nothing_of_others() {
    let store = Arc::new(MemoryStore::new());
    let hub = Arc::new(chat_core::hub::LocalHub::default());
    let limits = Limits { send_rate: NO_RATE, request_rate: NO_RATE, ..Limits::default() };
    let world = World::with(store, |builder| builder.hub(hub.clone()).limits(limits)).await;
    let mut users = Vec::new();
    for n in 0..20 {
        let user = world.auth.add_user(&format!("user{n}"));
        let mut client = world.device(user).await;
        users.push((user, room(&mut client, "own").await));
    }
    let mut open: VecDeque<(usize, Client)> = VecDeque::new();
    for n in 0..2_000 {
        let who = n % users.len();
        let (user, room) = &users[who];
        if n % 7 == 0 {
            // Leaves while it signs in.
            let mut hasty = world.stranger();
            hasty.send(&json!({"action": "authenticate", "token": world.auth.sign_in(*user)})).await;
            if n % 2 == 0 {
                tokio::task::yield_now().await;
            }
            continue;
        }
        let mut client = world.device(*user).await;
        client.ok(text(room, &format!("canary-{who}"))).await;
        client.push("new_room_message").await;
        open.push_back((who, client));
        if open.len() > 10 {
            let (who, mut oldest) = open.pop_front().unwrap();
            oldest.pushes_so_far().await;
            let own = format!("canary-{who}");
            for frame in &oldest.frames {
                assert!(canaries(frame).iter().all(|canary| *canary == own), "{own} got {frame}");
            }
            if n % 3 == 0 {
                // Leaves while its requests are worked on.
                oldest.send(&text(room, &own)).await;
                oldest.send(&json!({"action": "sync", "cursors": {}})).await;
            }
        }
    }
    drop(open);
    tokio::time::sleep(Duration::from_secs(200)).await;
    let stats = world.chat.stats();
    assert_eq!((stats.connections, stats.users, stats.conversations), (0, 0, 0));
    assert!(hub.connected_users().is_empty());
}

/// The client is gone before the store panics: nobody is left to close anything.
#[tokio::test(start_paused = true)]
async fn sec_49_a_sign_in_that_panics_after_its_client_left_leaves_nothing() {
    let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
    let faults = store.faults();
    let world = World::over(store).await;
    let ann = world.auth.add_user("ann");
    for fault in [Fault::PanicBefore, Fault::Unavailable, Fault::None, Fault::HeldBefore(Gate::closed())] {
        faults.next("standings", [fault]);
        let mut hasty = world.stranger();
        hasty.send(&json!({"action": "authenticate", "token": world.auth.sign_in(ann)})).await;
        drop(hasty);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let stats = world.chat.stats();
        assert_eq!((stats.connections, stats.users), (0, 0));
    }
}

/// Ids that name nothing leave nothing in memory.
#[tokio::test]
async fn sec_51_asking_for_what_does_not_exist_costs_no_memory() {
    let store = Arc::new(MemoryStore::new());
    let world = unhurried(store.clone()).await;
    let mut eve = world.user("eve").await;
    for n in 0..1_000 {
        let id = format!("{n:024x}");
        assert_eq!(eve.refused(json!({"action": "join_room", "room_id": id})).await, "not_found");
        assert_eq!(eve.refused(json!({"action": "typing", "chat_id": id})).await, "not_found");
    }
    assert_eq!(world.chat.stats().conversations, 0);
    assert!(store.conversation("0".repeat(24).parse().unwrap()).await.unwrap().is_none());
}
