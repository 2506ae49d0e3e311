//! The real binary while something stands still for longer than a request waits: the process, the disk's one
//! writer, a connection to MongoDB. Whatever was answered, every device has in the end what its user is entitled
//! to, in order and once, and nothing else.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use chat_testkit::mongod::Mongod;
use mongodb::bson::doc;
use rustix::process::Signal;
use serde_json::{Value, json};
use support::people::{Device, string};
use support::{PATIENCE, Server, Store, on_every_store};
use tokio::time::{Instant, sleep};

/// How often each thing stands still in a test.
const STALLS: usize = 6;
/// How long: beyond `limit_store_seconds = 1`.
const STALL: Duration = Duration::from_millis(1_700);

on_every_store! {
    sec_27_a_process_that_stood_still_delivers_what_it_stored,
}

async fn sec_27_a_process_that_stood_still_delivers_what_it_stored(store: Store) {
    let server = store.server().set("limit_store_seconds", "1").start();
    let mut people = People::new(&server).await;
    for round in 0..STALLS {
        people.submit(round).await;
        server.signal(Signal::STOP);
        sleep(STALL).await;
        server.signal(Signal::CONT);
        people.take_replies().await;
    }
    people.check().await;
}

#[tokio::test]
async fn sec_27_a_blocked_writer_of_sqlite_delivers_what_it_stores_late() {
    let server = Server::with().set("limit_store_seconds", "1").start();
    let mut people = People::new(&server).await;
    let database = server.data_dir().join("chat.db");
    for round in 0..STALLS {
        let other = rusqlite::Connection::open(&database).unwrap();
        other.busy_timeout(PATIENCE).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        people.submit(round).await;
        sleep(STALL).await;
        other.execute_batch("ROLLBACK").unwrap();
        people.take_replies().await;
    }
    assert!(people.timeouts > 0, "nothing was late");
    people.check().await;
}

#[tokio::test]
async fn sec_27_inserts_that_mongodb_holds_back_are_delivered_late() {
    let mongod = Mongod::start().await;
    let server = Server::with().set("store", "mongodb").set("mongodb_uri", mongod.uri());
    let server = server.set("limit_store_seconds", "1").start();
    let mut people = People::new(&server).await;
    let milliseconds = i32::try_from(STALL.as_millis()).unwrap();
    for round in 0..STALLS {
        let held = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": milliseconds };
        mongod.fail_command(doc! { "times": 2 }, held).await;
        people.submit(round).await;
        sleep(STALL).await;
        people.take_replies().await;
    }
    mongod.stop_failing().await;
    assert!(people.timeouts > 0, "nothing was late");
    people.check().await;
}

/// Ann, who owns a room, Bob in it, and Carl, who comes and goes. Ann and Bob have two devices each.
struct People {
    devices: Vec<Device>,
    /// What Ann, Bob and Carl read the logs with.
    readers: [Device; 3],
    given: Vec<BTreeMap<String, Vec<u64>>>,
    room: String,
    submitted: Vec<(usize, Value)>,
    timeouts: usize,
}

const ANN: usize = 0;
const BOB: usize = 2;
const CARL: usize = 4;

impl People {
    async fn new(server: &Server) -> Self {
        let mut ann = server.newcomer("ann").await;
        let mut bob = server.newcomer("bob").await;
        let carl = server.newcomer("carl").await;
        let (ann_again, bob_again) = (server.device("ann").await, server.device("bob").await);
        let room = server.room_of(&mut [&mut ann, &mut bob]).await;
        let devices = vec![ann, ann_again, bob, bob_again, carl];
        let given = vec![BTreeMap::new(); devices.len()];
        let readers = [server.device("ann").await, server.device("bob").await, server.device("carl").await];
        Self { devices, readers, given, room, submitted: Vec::new(), timeouts: 0 }
    }

    /// Sends requests of each kind and waits for no reply.
    async fn submit(&mut self, round: usize) {
        let room = self.room.clone();
        let come_or_go = if round.is_multiple_of(2) { "join_room" } else { "leave_room" };
        let mut requests = vec![
            (CARL, json!({"action": come_or_go, "room_id": room})),
            (BOB, json!({"action": "create_room", "room_name": format!("Room {round}")})),
        ];
        for number in 0..4 {
            let content = format!("{round} {number}");
            let send = json!({"action": "send_room_message", "room_id": room, "content": content});
            requests.extend([(ANN, send.clone()), (BOB, send)]);
        }
        for (device, request) in requests {
            let id = self.devices[device].socket.submit(request).await;
            self.submitted.push((device, id));
        }
    }

    async fn take_replies(&mut self) {
        // Whoever is never read answers no pings of the server either.
        for device in self.devices.iter_mut().chain(&mut self.readers) {
            device.socket.request(json!({"action": "ping"})).await;
        }
        for (device, id) in std::mem::take(&mut self.submitted) {
            let reply = self.devices[device].socket.reply(&id).await;
            self.timeouts += usize::from(reply["code"] == "timeout");
        }
    }

    /// Waits until every device has what its user is entitled to, and checks that it stays so.
    async fn check(&mut self) {
        let began_at = Instant::now();
        loop {
            let is_right = self.compare().await;
            if is_right.is_ok() || began_at.elapsed() > PATIENCE {
                is_right.unwrap();
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        sleep(Duration::from_secs(2)).await;
        self.compare().await.unwrap();
    }

    async fn compare(&mut self) -> Result<(), String> {
        for (device, given) in self.devices.iter_mut().zip(&mut self.given) {
            device.socket.ok(json!({"action": "ping"})).await;
            for push in device.socket.take_pushes() {
                if let (Some(room), Some(seq)) = (push["room_id"].as_str(), push["seq"].as_u64()) {
                    given.entry(room.to_owned()).or_default().push(seq);
                }
            }
        }
        for (index, reader) in [(ANN, 0), (1, 0), (BOB, 1), (3, 1), (CARL, 2)] {
            let mut rooms = rooms_of(&mut self.readers[reader]).await;
            rooms.insert(self.room.clone());
            for room in rooms {
                // The room is public: its owner reads all of it, and the others are read by who is in them.
                let reader = if room == self.room { 0 } else { reader };
                let log = log_of(&mut self.readers[reader], &room).await;
                let stays = stays_of(&log, &self.devices[index].user_id);
                let seqs: Vec<u64> = stays.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
                let given = self.given[index].get(&room).cloned().unwrap_or_default();
                if given != seqs {
                    return Err(format!("device {index} of {room} was given {given:?} of {seqs:?}"));
                }
            }
        }
        Ok(())
    }
}

async fn rooms_of(reader: &mut Device) -> std::collections::BTreeSet<String> {
    let listed = reader.socket.ok(json!({"action": "list_rooms", "limit": 100})).await;
    listed["rooms"].as_array().unwrap().iter().map(|room| string(&room["room_id"])).collect()
}

/// All entries of a room that a member may read whole.
async fn log_of(reader: &mut Device, room: &str) -> Vec<Value> {
    let mut log: Vec<Value> = Vec::new();
    loop {
        let cursor = log.last().map_or(json!(0), |entry| entry["seq"].clone());
        let synced = reader.socket.ok(json!({"action": "sync", "cursors": {room: cursor}})).await;
        let synced = &synced["conversations"][room];
        log.extend(synced["entries"].as_array().unwrap().iter().cloned());
        if synced["more"] != true {
            return log;
        }
    }
}

/// The entries of the stretches in which `user` is a member.
fn stays_of(log: &[Value], user: &str) -> Vec<Value> {
    let mut is_member = false;
    let during = |entry: &&Value| {
        let was_member = is_member;
        if entry["kind"] == "created" && entry["by"] == user {
            is_member = true;
        } else if entry["user_id"] == user {
            is_member = entry["kind"] == "joined";
        }
        was_member || is_member
    };
    log.iter().filter(during).cloned().collect()
}
