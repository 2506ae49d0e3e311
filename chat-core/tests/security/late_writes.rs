//! Writes that the store commits late, or that somebody else makes: whatever was answered, what is durable
//! reaches every device of every member, and nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_core::chat::Observer;
use chat_core::domain::{Conversation, ConversationKind, Draft, Entry, EntryBody, Event, Pair, Seq};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::memory::MemoryStore;
use chat_core::port::{Append, Creation, EntryRange, NewConversation, RoomStore};
use chat_core::time::{Clock, SystemClock};
use chat_testkit::double::{Fault, Faults, FaultyRoomStore, Gate};
use serde_json::{Value, json};

use crate::device::is_within;
use crate::support::{Client, World, memberships, room, text};

/// The entries that observers were shown.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<EntryId>>);

impl Observer for Seen {
    fn committed(&self, _conversation: &Conversation, entry: &Entry) {
        self.0.lock().unwrap().push(entry.id);
    }
}

/// A connection, and every entry that it was given, by conversation.
struct Device {
    client: Client,
    user: UserId,
    given: BTreeMap<String, Vec<u64>>,
    invitations: usize,
}

impl Device {
    async fn new(world: &World, user: UserId) -> Self {
        let client = world.device(user).await;
        Self { client, user, given: BTreeMap::new(), invitations: 0 }
    }

    async fn collect(&mut self) {
        for push in self.client.pushes_so_far().await {
            self.invitations += usize::from(push["action"] == "invitation");
            let id = push["room_id"].as_str().or(push["chat_id"].as_str());
            if let (Some(id), Some(seq)) = (id, push["seq"].as_u64()) {
                self.given.entry(id.to_owned()).or_default().push(seq);
            }
        }
    }
}

struct Scene {
    /// Keeps the engine alive.
    _world: World,
    store: Arc<MemoryStore>,
    faults: Faults,
    seen: Arc<Seen>,
    devices: Vec<Device>,
    room: ConversationId,
}

const ANN: usize = 0;
const BOB: usize = 2;
const CARL: usize = 4;
const DORA: usize = 5;

impl Scene {
    /// A room of Ann, who owns it, and Bob; both with two devices. Carl and Dora are connected.
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let faulty = Arc::new(FaultyRoomStore::new(store.clone()));
        let (faults, seen) = (faulty.faults(), Arc::new(Seen::default()));
        let world = World::with(faulty, |builder| builder.observer(seen.clone())).await;
        let users = ["ann", "bob", "carl", "dora"].map(|name| world.auth.add_user(name));
        let mut devices = Vec::new();
        for user in [users[0], users[0], users[1], users[1], users[2], users[3]] {
            devices.push(Device::new(&world, user).await);
        }
        let id = room(&mut devices[ANN].client, "r").await;
        devices[BOB].client.ok(json!({"action": "join_room", "room_id": id})).await;
        Self { _world: world, store, faults, seen, devices, room: id.parse().unwrap() }
    }

    /// What is asked, by whom, and the method of the store that writes it.
    fn request(&self, kind: &str) -> (usize, Value, &'static str) {
        let (room, user) = (self.room.to_string(), |device: usize| self.devices[device].user.to_string());
        let of = |action: &str, device| json!({"action": action, "room_id": room, "user_id": user(device)});
        match kind {
            "message" => (BOB, text(&room, "hello"), "append"),
            "join" => (CARL, json!({"action": "join_room", "room_id": room}), "append"),
            "leave" => (BOB, json!({"action": "leave_room", "room_id": room}), "append"),
            "invite" => (ANN, of("invite_member", DORA), "append"),
            "remove" => (ANN, of("remove_member", BOB), "append"),
            "ban" => (ANN, of("ban_member", BOB), "append"),
            "role" => {
                let role =
                    json!({"action": "set_role", "room_id": room, "user_id": user(BOB), "role": "admin"});
                (ANN, role, "append")
            }
            "update" => (ANN, json!({"action": "update_room", "room_id": room, "topic": "x"}), "append"),
            "create" => (CARL, json!({"action": "create_room", "room_name": "new"}), "create"),
            "chat" => (CARL, json!({"action": "open_private_chat", "user_id": user(BOB)}), "create"),
            kind => panic!("{kind} is no kind of entry"),
        }
    }

    /// Everything that a connection of `user`, there from the beginning, must have been given.
    async fn entitled(&self, user: UserId) -> BTreeMap<String, Vec<u64>> {
        let mut all = BTreeMap::new();
        for conversation in self.store.all_conversations(None, 100).await.unwrap() {
            let range = EntryRange { after: Seq::ZERO, upto: Seq::MAX, limit: 1_000, max_bytes: usize::MAX };
            let log = self.store.entries(conversation.id, range).await.unwrap().entries;
            let memberships = match conversation.pair() {
                Some(pair) if pair.peer_of(user).is_some() => vec![1..=u64::MAX],
                Some(_) => Vec::new(),
                None => memberships(&log, user),
            };
            let seqs = log.iter().map(|entry| entry.seq.get());
            let given: Vec<u64> = seqs.filter(|seq| is_within(&memberships, *seq)).collect();
            if !given.is_empty() {
                all.insert(conversation.id.to_string(), given);
            }
        }
        all
    }

    /// Every device was given what it is entitled to, in order and once, and nothing else; and what it reads
    /// agrees.
    async fn check(&mut self, what: &str) {
        for index in 0..self.devices.len() {
            self.devices[index].collect().await;
            let user = self.devices[index].user;
            let entitled = self.entitled(user).await;
            assert_eq!(self.devices[index].given, entitled, "{what}: device {index}");
        }
        self.check_reads(what).await;
    }

    /// Lists and `sync` of one moment agree.
    async fn check_reads(&mut self, what: &str) {
        for index in 0..self.devices.len() {
            let client = &mut self.devices[index].client;
            let rooms = client.ok(json!({"action": "list_rooms"})).await["rooms"].clone();
            for listed in rooms.as_array().unwrap().iter().filter(|listed| listed["membership"] == "joined") {
                let (id, head) = (listed["room_id"].as_str().unwrap(), listed["head_seq"].clone());
                let synced = client.ok(json!({"action": "sync", "cursors": {id: 0}})).await;
                let synced = &synced["conversations"][id];
                assert_eq!(synced["head_seq"], head, "{what}: device {index} of {id}");
                let entries = synced["entries"].as_array().unwrap();
                assert_eq!(entries.last().unwrap()["seq"], head, "{what}: device {index} of {id}");
            }
        }
    }

    fn observed(&self) -> usize {
        let seen = self.seen.0.lock().unwrap();
        let mut distinct = seen.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len(), "an entry was observed twice");
        seen.len()
    }

    async fn entries_in_store(&self) -> usize {
        let all = self.store.all_conversations(None, 100).await.unwrap();
        all.iter().map(|conversation| conversation.head.seq.get() as usize).sum()
    }
}

const KINDS: [&str; 10] =
    ["message", "join", "leave", "invite", "remove", "ban", "role", "update", "create", "chat"];

#[tokio::test(start_paused = true)]
async fn sec_27_what_commits_late_reaches_every_member_and_nobody_else() {
    // The call ends late; nobody waits for the call any more; the store has given up before.
    type Late = (fn(Gate) -> Fault, u64);
    let lates: [Late; 4] =
        [(Fault::Late, 7), (Fault::Late, 120), (Fault::Unfinished, 3), (Fault::Unfinished, 300)];
    for kind in KINDS {
        for (fault, seconds) in lates {
            let mut scene = Scene::new().await;
            scene.check("before").await;
            let (device, request, method) = scene.request(kind);
            let gate = Gate::closed();
            let fault = fault(gate.clone());
            let what = format!("{kind} with {fault:?} after {seconds} s");
            scene.faults.next(method, [fault]);
            let refused = scene.devices[device].client.refused(request.clone()).await;
            assert_eq!(refused, "timeout", "{what}");
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let before = scene.entries_in_store().await;
            gate.open();
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(scene.entries_in_store().await, before + 1, "{what}");
            scene.check(&what).await;
            assert_eq!(scene.observed(), before + 1, "{what}");
            assert_eq!(scene.devices[DORA].invitations, usize::from(kind == "invite"), "{what}");
            // Long after, when the conversation was forgotten in between.
            for pause in [0, 1_200] {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                let text = text(&scene.room.to_string(), "afterwards");
                scene.devices[ANN].client.ok(text).await;
                scene.check(&what).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_was_opened_again_after_its_creation_was_late_is_delivered() {
    for seconds in [1, 60] {
        let mut scene = Scene::new().await;
        let (device, open, method) = scene.request("chat");
        let gate = Gate::closed();
        scene.faults.next(method, [Fault::Unfinished(gate.clone())]);
        assert_eq!(scene.devices[device].client.refused(open.clone()).await, "timeout");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        gate.open();
        tokio::task::yield_now().await;
        let chat = scene.devices[device].client.ok(open).await["chat_id"].clone();
        for content in ["1", "2", "3"] {
            let send = json!({"action": "send_private_message", "chat_id": chat, "content": content});
            scene.devices[device].client.ok(send).await;
        }
        scene.check("an opened chat").await;
    }
}

/// Writes past the engine, as another node or a tool does.
async fn write_beside(scene: &Scene, by: UserId, event: Event) {
    let head = scene.store.conversation(scene.room).await.unwrap().unwrap().head;
    let body = EntryBody::Event(event);
    let draft = Draft { id: EntryId::generate(), by, timestamp: SystemClock.now(), body };
    let append = scene.store.append(scene.room, head, vec![draft]).await.unwrap();
    assert!(matches!(append, Append::Done(_)));
}

#[tokio::test(start_paused = true)]
async fn sec_27_what_others_write_is_found_and_begins_and_ends_delivery() {
    // While the conversation is in memory, and when it is forgotten.
    for idle in [0, 300] {
        let mut scene = Scene::new().await;
        let (bob, carl) = (scene.devices[BOB].user, scene.devices[CARL].user);
        for event in [Event::Joined { user: carl }, Event::Banned { user: bob }, Event::Left { user: carl }] {
            tokio::time::sleep(Duration::from_secs(idle)).await;
            write_beside(&scene, bob, event).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
            scene.check(&format!("{idle} s idle")).await;
        }
        // Nothing of it was made here.
        assert_eq!(scene.observed(), scene.entries_in_store().await - 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_others_create_is_found_by_its_members() {
    let mut scene = Scene::new().await;
    let (carl, dora) = (scene.devices[CARL].user, scene.devices[DORA].user);
    let new = NewConversation {
        id: ConversationId::generate(),
        kind: ConversationKind::Private(Pair::new(carl, dora).unwrap()),
        created_by: dora,
        created_at: SystemClock.now(),
        entry_id: EntryId::generate(),
    };
    assert!(matches!(scene.store.create(new).await.unwrap(), Creation::New(_)));
    tokio::time::sleep(Duration::from_secs(90)).await;
    scene.check("found").await;
}

#[tokio::test(start_paused = true)]
async fn a_list_and_what_is_read_after_it_agree() {
    let mut scene = Scene::new().await;
    let bob = scene.devices[BOB].user;
    write_beside(&scene, bob, Event::Left { user: bob }).await;
    write_beside(&scene, bob, Event::Joined { user: bob }).await;
    // No sweep has come yet.
    scene.check_reads("at once").await;
    scene.check("at once").await;
}
