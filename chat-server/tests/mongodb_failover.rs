//! The real binary on a replica set that loses its primary while people talk: they are refused with a word that says
//! when to try again, what they send again is there once, and nobody has to reconnect.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use chat_testkit::mongod::ReplicaSet;
use futures::future::join_all;
use serde_json::Value;
use support::Server;
use support::people::{Device, keyed};
use support::replica::Replica;
use support::traffic::{Receipt, Sender, check_log};
use tokio::sync::watch;
use tokio::time::Instant;

const SENDERS: [&str; 3] = ["ann", "bob", "cid"];
/// Messages that each sends between two faults.
const EACH: usize = 60;
/// How long a single message may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What senders were told while their messages were not stored.
#[derive(Debug, Default)]
struct Refusals {
    unavailable: usize,
    timeout: usize,
}

/// Sends a message under one key until it is acknowledged.
async fn send(device: &mut Device, sender: &Sender, number: usize, refusals: &mut Refusals) -> Receipt {
    let began = Instant::now();
    loop {
        let mut request = keyed(sender.room(number), &sender.client_id(number), &format!("message {number}"));
        request["request_id"] = number.into();
        device.submit(request).await;
        let reply = reply(device).await;
        if reply["success"] == true {
            return Receipt::of(&reply);
        }
        match reply["code"].as_str() {
            Some("unavailable") => refusals.unavailable += 1,
            Some("timeout") => refusals.timeout += 1,
            _ => panic!("{reply}"),
        }
        let wait_ms = reply["retry_after_ms"].as_u64().unwrap_or_else(|| panic!("no word of when: {reply}"));
        assert!(began.elapsed() < PATIENCE, "{number} was never stored");
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
}

/// The next reply; pushes are heard by others.
async fn reply(device: &mut Device) -> Value {
    loop {
        let frame = device.next_frame().await.expect("the connection stays open");
        if frame.get("success").is_some() {
            return frame;
        }
    }
}

/// Everybody sends `EACH` more messages, one after the other. Answers how long the slowest message took.
async fn talk(
    devices: &mut [Device],
    senders: &mut [Sender],
    stored: &watch::Sender<usize>,
    refusals: &mut Refusals,
) -> Duration {
    let begins = senders.first().unwrap().acknowledged.len();
    let talking = devices.iter_mut().zip(senders).map(async |(device, sender)| {
        let (mut refused, mut slowest) = (Refusals::default(), Duration::ZERO);
        for number in begins..begins + EACH {
            let began = Instant::now();
            let receipt = send(device, sender, number, &mut refused).await;
            slowest = slowest.max(began.elapsed());
            sender.acknowledged.insert(number, receipt);
            stored.send_modify(|count| *count += 1);
        }
        (refused, slowest)
    });
    let mut longest = Duration::ZERO;
    for (refused, slowest) in join_all(talking).await {
        refusals.unavailable += refused.unavailable;
        refusals.timeout += refused.timeout;
        longest = longest.max(slowest);
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout, reason = "how long a recovery took is worth knowing")]
async fn people_talk_on_while_a_mongodb_replica_set_loses_its_primary() {
    let set = ReplicaSet::start().await;
    let database = set.fresh_database();
    let server = Server::with()
        .set("store", "mongodb")
        .set("mongodb_uri", database.uri())
        .set("mongodb_database", database.name())
        .start();
    let mut devices = join_all(SENDERS.map(|name| server.newcomer(name))).await;
    let mut listener = server.newcomer("eve").await;
    let mut rooms = Vec::new();
    for _ in 0..2 {
        let mut members: Vec<&mut Device> = devices.iter_mut().chain([&mut listener]).collect();
        rooms.push(server.room_of(&mut members).await);
    }
    let mut replica = Replica::of(&rooms);
    replica.catch_up(&mut listener).await;
    let mut senders: Vec<Sender> = SENDERS.map(|name| Sender::new(name, &rooms, 4 * EACH)).into();
    let (mut refusals, stored) = (Refusals::default(), watch::channel(0).0);

    let all = async {
        talk(&mut devices, &mut senders, &stored, &mut refusals).await;
        for fault in ["killed", "told to step down", "cut off"] {
            let some = *stored.borrow() + EACH;
            let mut progress = stored.subscribe();
            let breaking = async {
                progress.wait_for(|count| *count >= some).await.unwrap();
                let primary = set.primary().await;
                match fault {
                    "killed" => set.kill(primary),
                    "cut off" => set.partition(primary),
                    _ => drop(set.step_down().await),
                }
                primary
            };
            let talking = talk(&mut devices, &mut senders, &stored, &mut refusals);
            let (primary, longest) = futures::future::join(breaking, talking).await;
            println!("the primary was {fault}: the slowest message took {longest:?}");
            if fault == "killed" {
                set.restart(primary).await;
            }
            set.heal();
            set.wait_until_all_follow().await;
        }
    };
    let total = SENDERS.len() * EACH * 4;
    let hearing = replica.follow(&mut listener, |replica| replica.message_count() >= total);
    futures::future::join(all, hearing).await;
    println!("{total} messages, refused on the way: {refusals:?}");

    let mut heard = 0;
    for room in &rooms {
        let log = listener.history(room).await;
        heard += check_log(room, &log, &senders).len();
        assert!(replica.room(room).messages == log, "the listener has another log than the store");
    }
    assert_eq!(heard, total);
}
