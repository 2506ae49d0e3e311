//! The real binary and what it promises of delivery: every device of every member, in
//! order and once, whether it was there or comes back after any time.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use futures::future::join_all;
use serde_json::Value;
use support::people::{Device, keyed, text};
use support::replica::Replica;
use support::{Server, Store, on_every_store};

on_every_store! {
    every_device_of_every_member_gets_every_message_in_order_and_once,
    after_a_thousand_missed_messages_sync_brings_exactly_the_log,
    after_three_thousand_missed_messages_history_brings_exactly_the_log,
}

fn numbered(room: &str, count: usize) -> impl Iterator<Item = Value> {
    (1..=count).map(move |number| text(room, &format!("message {number}")))
}

fn contents(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["content"].as_str().unwrap()).collect()
}

async fn every_device_of_every_member_gets_every_message_in_order_and_once(store: Store) {
    let server = store.start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let mut cid = server.newcomer("cid").await;
    let room = server.room_of(&mut [&mut ann, &mut bob, &mut cid]).await;
    let mut devices = [ann, bob, cid, server.device("ann").await, server.device("bob").await];

    let names = ["ann's phone", "bob's phone", "cid's phone"];
    let sending = devices.iter_mut().zip(names).map(|(device, name)| {
        let room = &room;
        device.pipeline((0..200).map(move |number| keyed(room, &format!("{name}-{number}"), name)))
    });
    let sent: Vec<Value> = join_all(sending).await.into_iter().flatten().collect();
    let head = sent.iter().map(|reply| reply["seq"].as_u64().unwrap()).max().unwrap();

    let log = devices[2].history(&room).await;
    assert_eq!(log.len(), 600);
    for name in names {
        let keys =
            log.iter().filter(|message| message["content"] == name).map(|message| &message["client_id"]);
        let expected: Vec<String> = (0..200).map(|number| format!("{name}-{number}")).collect();
        assert_eq!(
            keys.collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>(),
            "the order of each sender is kept"
        );
    }
    let since = log[0]["seq"].as_u64().unwrap();
    for device in &mut devices {
        let mut seen = Vec::new();
        let mut last = 0;
        while last < head {
            let push = device.next_push().await;
            let Some(seq) = push["seq"].as_u64() else { continue };
            assert!(last == 0 || seq == last + 1, "entry {seq} follows {last}");
            last = seq;
            if seq >= since {
                seen.push((push["seq"].clone(), push["message_id"].clone()));
            }
        }
        let expected: Vec<(Value, Value)> =
            log.iter().map(|message| (message["seq"].clone(), message["message_id"].clone())).collect();
        assert_eq!(seen, expected);
    }
}

/// Sends `count` messages while bob is offline; answers bob's device after it has come back.
async fn miss(server: &Server, count: usize) -> (Device, Replica, String) {
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let room = server.room_of(&mut [&mut ann, &mut bob]).await;
    ann.ok(text(&room, "before")).await;
    let mut replica = Replica::of([&room]);
    replica.catch_up(&mut bob).await;
    assert_eq!(contents(&replica.room(&room).messages), ["before"]);

    let bobs = Device { socket: server.connect().await, ..bob };
    ann.pipeline(numbered(&room, count)).await;
    let mut bob = server.resume(&bobs).await;
    replica.reconnected();
    ann.ok(text(&room, "after")).await;
    replica.catch_up(&mut bob).await;
    (bob, replica, room)
}

async fn after_a_thousand_missed_messages_sync_brings_exactly_the_log(store: Store) {
    let server = store.start();
    let (mut bob, replica, room) = miss(&server, 999).await;
    let copy = replica.room(&room);
    assert_eq!(copy.paged, 0, "1,000 missed entries come by sync");
    assert_eq!(copy.messages.len(), 1_001);
    assert_eq!(copy.messages, bob.history(&room).await);
    assert_eq!(contents(&copy.messages)[1000], "after");
}

async fn after_three_thousand_missed_messages_history_brings_exactly_the_log(store: Store) {
    let server = store.start();
    let (mut bob, replica, room) = miss(&server, 3_000).await;
    let copy = replica.room(&room);
    assert_eq!(copy.paged, 1, "sync says that it is too much");
    assert_eq!(copy.messages.len(), 3_002);
    let forwards = bob.history(&room).await;
    assert_eq!(copy.messages, forwards);
    assert_eq!(bob.history_backwards(&room).await, forwards);
    let expected: Vec<String> = (1..=3_000).map(|number| format!("message {number}")).collect();
    assert_eq!(contents(&forwards[1..3_001]), expected);
}
