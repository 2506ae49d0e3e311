//! A client that is cut again and again follows the documented rule, and ends with exactly the log.
//!
//! The rule: the cursor follows every push with a `seq`; what is at or below it is dropped; what is beyond the
//! next waits until `sync` or another push fills the gap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_core::chat::{NewMessage, NewRoom, User};
use chat_core::domain::{RoomName, Topic, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::hard;
use chat_core::memory::MemoryStore;
use chat_core::protocol::{EntryContext, entry_push};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::device::{Device, log};
use crate::stage::unhurried;
use crate::support::{Dice, World};

/// What a client keeps while it comes and goes.
#[derive(Default)]
struct Client {
    /// What was handed to the application; the cursor is its length.
    applied: Vec<Value>,
    /// Beyond the next one.
    early: BTreeMap<u64, Value>,
}

impl Client {
    fn cursor(&self) -> u64 {
        self.applied.len() as u64
    }

    fn take(&mut self, entry: Value) {
        let seq = entry["seq"].as_u64().unwrap();
        if seq > self.cursor() {
            self.early.insert(seq, entry);
        }
        while let Some(next) = self.early.remove(&(self.cursor() + 1)) {
            self.applied.push(next);
        }
    }

    /// Asks for what is missed until there is no more.
    async fn sync(&mut self, device: &mut Device, room: ConversationId) {
        loop {
            let reply =
                device.request(json!({"action": "sync", "cursors": {room.to_string(): self.cursor()}})).await;
            let synced = &reply["conversations"][room.to_string()];
            assert_eq!(synced["state"], "ok", "{reply}");
            for entry in synced["entries"].as_array().unwrap() {
                self.take(entry.clone());
            }
            if synced["more"] == false {
                return;
            }
        }
    }

    /// Takes what was pushed on one connection, which had no gap and nothing twice.
    fn take_pushes(&mut self, device: &Device, room: ConversationId) {
        let pushes = device.pushes(room);
        let contiguous = pushes.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0);
        assert!(contiguous, "{:?}", pushes.iter().map(|push| push.0).collect::<Vec<_>>());
        for (_, push) in pushes {
            self.take(serde_json::from_str(&push).unwrap());
        }
    }
}

const ACTS: u64 = hard::SYNC_ENTRIES / 4 - 10;

/// Does something to the room; what is refused does not matter.
async fn act(user: &User, room: ConversationId, dice: &mut Dice) {
    match dice.below(10) {
        0 => drop(user.leave_room(room).await),
        1 => {
            let topic = Topic::new(format!("topic {}", dice.below(1_000))).unwrap();
            drop(user.update_room(room, None, Some(topic)).await);
        }
        2 | 3 => drop(user.join_room(room).await),
        _ => {
            let longest = if dice.below(10) == 0 { 8_000 } else { 50 };
            let length = 1 + dice.below(longest);
            let text = NewMessage::text("x".repeat(usize::try_from(length).unwrap())).unwrap();
            drop(user.send_message(room, text).await);
        }
    }
}

/// Does something until it is told to stop. All together add fewer entries than `sync` gives at once.
async fn busy(user: User, room: ConversationId, seed: u64, stop: Arc<AtomicBool>) {
    let mut dice = Dice(seed);
    for _ in 0..ACTS {
        act(&user, room, &mut dice).await;
        for _ in 0..dice.below(8) {
            tokio::task::yield_now().await;
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// How often a client is cut at least, and at most.
const CUTS: (usize, usize) = (20, 10_000);
/// Entries that a client sees at least while it comes and goes.
const SOME: usize = 50;

/// Comes and goes while others are busy, until it has seen some of what they did.
async fn resume(world: &World, user: UserId, room: ConversationId, seed: u64) -> Client {
    let mut dice = Dice(seed);
    let mut client = Client::default();
    for cuts in 0..CUTS.1 {
        if cuts >= CUTS.0 && client.applied.len() > SOME {
            break;
        }
        let mut device = Device::sign_in(world, user).await;
        // Some are cut before, some while and some after they have synced.
        if dice.below(4) > 0 {
            client.sync(&mut device, room).await;
        }
        for _ in 0..dice.below(40) {
            tokio::task::yield_now().await;
        }
        if dice.below(2) == 0 {
            device.send(json!({"action": "sync", "cursors": {room.to_string(): client.cursor()}})).await;
        }
        client.take_pushes(&device, room);
    }
    client
}

async fn run(seed: u64) {
    let store = Arc::new(MemoryStore::new());
    let world = unhurried(store.clone()).await;
    let user = world.auth.add_user("resuming");
    let owner = world.chat.as_user(user);
    let new = NewRoom { name: RoomName::new("room").unwrap(), topic: None, visibility: Visibility::Public };
    let room = owner.create_room(new).await.unwrap().id;
    let mut others = JoinSet::new();
    let stop = Arc::new(AtomicBool::new(false));
    for n in 0..4 {
        let other = world.chat.as_user(world.auth.add_user(&format!("other{n}")));
        owner.invite_member(room, other.id()).await.unwrap();
        others.spawn(busy(other, room, seed * 10 + n, stop.clone()));
    }
    let (one, other) =
        tokio::join!(resume(&world, user, room, seed), resume(&world, user, room, seed + 1_000));
    stop.store(true, Ordering::Relaxed);
    others.join_all().await;
    let log = log(&*store, room).await;
    assert!(log.len() > SOME, "seed {seed}: only {} entries", log.len());
    let expected: Vec<Value> = log
        .iter()
        .map(|entry| serde_json::from_str(entry_push(entry, EntryContext::Room).text()).unwrap())
        .collect();
    for mut client in [one, other] {
        let mut device = Device::sign_in(&world, user).await;
        client.sync(&mut device, room).await;
        client.take_pushes(&device, room);
        assert!(client.early.is_empty(), "seed {seed}: something is beyond a gap");
        assert_eq!(client.applied.len(), expected.len(), "seed {seed}");
        assert!(client.applied == expected, "seed {seed}: the client has another log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_cut_at_random_ends_with_exactly_the_log() {
    for seed in 0..30 {
        run(seed).await;
    }
}

/// The same on one thread, where tasks change places elsewhere.
#[tokio::test]
async fn a_client_that_is_cut_at_random_ends_with_exactly_the_log_on_one_thread() {
    for seed in 100..130 {
        run(seed).await;
    }
}
