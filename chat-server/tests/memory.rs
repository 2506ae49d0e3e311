//! The real binary and its memory: how much it needs, and that clients who do not read
//! cost neither memory nor anybody else's time.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use chat_testkit::client::ABNORMAL;
use serde_json::Value;
use support::people::text;
use support::replica::Replica;
use support::{Server, wait_until};

#[test]
fn a_server_that_has_just_started_needs_little_memory() {
    let server = Server::start();
    let resident = server.resident_kib();
    println!("resident when ready: {resident} KiB");
    assert!(resident < 64 * 1_024, "{resident} KiB");
}

#[tokio::test]
async fn sec_53_a_client_that_never_reads_is_closed_costs_little_and_resumes() {
    let server = Server::start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let mut slow = server.newcomer("cid").await;
    let room = server.room_of(&mut [&mut ann, &mut bob, &mut slow]).await;
    let mut replica = Replica::of([&room]);
    replica.catch_up(&mut slow).await;
    let (content, before) = ("数".repeat(2_600), server.resident_kib());

    let count = 4_000;
    let sent = ann.pipeline((0..count).map(|number| text(&room, &format!("{number} {content}"))));
    let received = async {
        let mut last = 0;
        for _ in 0..count {
            let seq = bob.expect_push("new_room_message").await["seq"].as_u64().unwrap();
            assert!(last == 0 || seq == last + 1);
            last = seq;
        }
    };
    futures::future::join(sent, received).await;
    let grown = server.resident_kib().saturating_sub(before);
    println!(
        "grown by {grown} KiB for {count} messages of {} bytes that one client did not read",
        content.len()
    );
    assert!(grown < 64 * 1_024, "grown by {grown} KiB");

    wait_until("the slow client to be closed", || {
        server.ask_admin("/metrics").body.contains("chat_disconnects_total{reason=\"too_slow\"} 1")
    });
    let code = loop {
        match slow.next_frame().await {
            Ok(push) => replica.take(&push),
            Err((code, _)) => break code,
        }
    };
    assert!([4408, ABNORMAL].contains(&code), "closed with {code}");
    let had = replica.message_count();
    assert!(had < count, "it was behind");

    let mut slow = server.resume(&slow).await;
    replica.reconnected();
    replica.catch_up(&mut slow).await;
    let log: Vec<Value> = bob.history(&room).await;
    assert!(replica.room(&room).messages == log, "what a slow client gets in the end is the log");
    assert_eq!(log.len(), count);
}
