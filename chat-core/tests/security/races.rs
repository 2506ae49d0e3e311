//! Membership and sends at the same time, from many connections, on several threads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chat_core::chat::{NewMessage, NewRoom, User};
use chat_core::domain::{EntryBody, RoomName, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::Limits;
use chat_core::memory::MemoryStore;
use chat_core::port::RoomStore;
use chat_core::protocol::{ActionError, Code};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::device::{Device, canaries, compare, expected, is_within, log, memberships};
use crate::stage::{NO_RATE, unhurried};
use crate::support::World;

async fn new_room(owner: &User, visibility: Visibility) -> ConversationId {
    let room = NewRoom { name: RoomName::new("room").unwrap(), topic: None, visibility };
    owner.create_room(room).await.unwrap().id
}

async fn say(user: &User, room: ConversationId, content: &str) -> u64 {
    user.send_message(room, NewMessage::text(content).unwrap()).await.unwrap().seq.get()
}

fn message(room: ConversationId, content: &str) -> Value {
    json!({"action": "send_room_message", "room_id": room.to_string(), "content": content})
}

/// When to stop, and how many messages of the one who comes and goes were stored.
#[derive(Debug, Default)]
struct Race {
    is_over: AtomicBool,
    stored: AtomicUsize,
}

/// Sends until the race is over, whatever the answers.
async fn chatter(mut device: Device, room: ConversationId, name: &str, race: Arc<Race>) -> Device {
    let mut n = 0;
    while !race.is_over.load(Ordering::Relaxed) {
        let mut sent = Vec::new();
        for _ in 0..8 {
            n += 1;
            sent.push(device.send(message(room, &format!("canary-{name}-{n}"))).await);
        }
        for id in sent {
            let reply = device.reply(id).await;
            let code = reply["code"].as_str();
            assert!(matches!(code, None | Some("not_found" | "forbidden" | "unavailable")), "{reply}");
            if code.is_none() && name != "carol" {
                race.stored.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    device
}

/// Reads in every way until the race is over.
async fn snoop(mut device: Device, room: ConversationId, race: Arc<Race>) -> Device {
    while !race.is_over.load(Ordering::Relaxed) {
        device
            .request(json!({"action": "get_room_messages", "room_id": room.to_string(), "limit": 20}))
            .await;
        device.request(json!({"action": "sync", "cursors": {room.to_string(): 0}})).await;
        device.request(json!({"action": "list_rooms"})).await;
        device.request(json!({"action": "typing", "room_id": room.to_string()})).await;
    }
    device
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sec_35_nothing_of_or_for_a_user_lies_outside_their_memberships() {
    // Each log stays so short that no device can be too far behind.
    for _ in 0..6 {
        come_and_go(50).await;
    }
}

async fn come_and_go(rounds: usize) {
    let store = Arc::new(MemoryStore::new());
    let world = unhurried(store.clone()).await;
    let [ann, bob, carol] = ["ann", "bob", "carol"].map(|name| world.auth.add_user(name));
    let (owner, target) = (world.chat.as_user(ann), world.chat.as_user(bob));
    let room = new_room(&owner, Visibility::Private).await;
    let race = Arc::new(Race::default());
    let mut busy = JoinSet::new();
    for (user, name) in [(bob, "phone"), (bob, "laptop"), (carol, "carol")] {
        let device = Device::sign_in(&world, user).await;
        let race = race.clone();
        busy.spawn(async move { (user, chatter(device, room, name, race).await) });
    }
    let device = Device::sign_in(&world, bob).await;
    owner.invite_member(room, carol).await.unwrap();
    world.chat.as_user(carol).join_room(room).await.unwrap();
    let snooping = race.clone();
    busy.spawn(async move { (bob, snoop(device, room, snooping).await) });
    for round in 0..rounds {
        owner.invite_member(room, bob).await.unwrap();
        target.join_room(room).await.unwrap();
        for _ in 0..=round % 6 {
            say(&owner, room, "round").await;
        }
        if round % 2 == 0 {
            owner.remove_member(room, bob).await.unwrap();
        } else {
            owner.ban_member(room, bob).await.unwrap();
            say(&owner, room, "canary-banned").await;
            owner.unban_member(room, bob).await.unwrap();
        }
        for _ in 0..round % 4 {
            say(&owner, room, "canary-without-bob").await;
        }
    }
    race.is_over.store(true, Ordering::Relaxed);
    let mut devices: Vec<(UserId, Device)> = busy.join_all().await;
    owner.invite_member(room, bob).await.unwrap();
    target.join_room(room).await.unwrap();
    let end = say(&owner, room, "end").await;
    let log = log(&*store, room).await;
    let intervals = memberships(&log, bob);
    assert_eq!(intervals.len(), rounds + 1);
    let mut visible = BTreeSet::new();
    let mut of_bob = 0;
    for entry in &log {
        if let EntryBody::Message(message) = &entry.body {
            let is_visible = is_within(&intervals, entry.seq.get());
            assert!(is_visible || entry.by != bob, "a message of bob at {}", entry.seq);
            of_bob += usize::from(entry.by == bob);
            if is_visible {
                visible.extend(canaries(message.content.as_str()));
            }
        }
    }
    assert!(of_bob > 0, "the race was no race: {of_bob}");
    for (user, device) in &mut devices {
        device.wait_for_entry(room, end).await;
        compare(*user, &device.pushes(room), &expected(&log, *user));
        if *user == bob {
            let seen = device.frames().iter().flat_map(|frame| canaries(frame)).collect::<BTreeSet<_>>();
            let leaked: Vec<_> = seen.difference(&visible).collect();
            assert!(leaked.is_empty(), "bob read {leaked:?}");
        }
    }
}

/// Tries again while others are faster.
async fn insist<T, F>(mut act: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ActionError>>,
{
    loop {
        match act().await {
            Ok(done) => return done,
            Err(error) => assert_eq!(error.code, Code::Unavailable),
        }
    }
}

/// Two processes over one store, without a bus between them: the append is the fence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sec_35_a_removal_on_one_node_holds_for_sends_through_another() {
    let store = Arc::new(MemoryStore::new());
    let here = unhurried(store.clone()).await;
    let there = World::with(store.clone(), |builder| {
        let limits = Limits { send_rate: NO_RATE, request_rate: NO_RATE, ..Limits::default() };
        builder.auth(here.auth.clone()).limits(limits)
    })
    .await;
    let there = World { auth: here.auth.clone(), ..there };
    let [ann, bob, carol] = ["ann", "bob", "carol"].map(|name| here.auth.add_user(name));
    let (owner, target) = (here.chat.as_user(ann), here.chat.as_user(bob));
    let room = new_room(&owner, Visibility::Private).await;
    owner.invite_member(room, carol).await.unwrap();
    here.chat.as_user(carol).join_room(room).await.unwrap();
    let race = Arc::new(Race::default());
    let mut busy = JoinSet::new();
    for (user, name) in [(bob, "bob"), (carol, "carol")] {
        busy.spawn(chatter(Device::sign_in(&there, user).await, room, name, race.clone()));
    }
    let mut round = 0;
    while round < 30 || race.stored.load(Ordering::Relaxed) == 0 {
        round += 1;
        insist(|| owner.invite_member(room, bob)).await;
        insist(|| target.join_room(room)).await;
        for _ in 0..round % 6 {
            insist(|| owner.send_message(room, NewMessage::text("round").unwrap())).await;
        }
        insist(|| owner.remove_member(room, bob)).await;
        insist(|| owner.send_message(room, NewMessage::text("without bob").unwrap())).await;
    }
    race.is_over.store(true, Ordering::Relaxed);
    let devices = busy.join_all().await;
    let log = log(&*store, room).await;
    let intervals = memberships(&log, bob);
    let of_bob: Vec<u64> =
        log.iter().filter(|e| e.by == bob && e.body.is_message()).map(|e| e.seq.get()).collect();
    assert!(!of_bob.is_empty(), "the race was no race");
    assert!(of_bob.iter().all(|seq| is_within(&intervals, *seq)));
    for device in devices {
        let seqs: Vec<u64> = device.pushes(room).iter().map(|push| push.0).collect();
        assert!(seqs.is_sorted_by(|a, b| a < b), "each comes once, in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sec_35_in_a_storm_of_joins_every_device_gets_the_log_of_its_memberships() {
    for _ in 0..4 {
        storm(25).await;
    }
}

async fn storm(rounds: usize) {
    let store = Arc::new(MemoryStore::new());
    let world = unhurried(store.clone()).await;
    let owner = world.chat.as_user(world.auth.add_user("owner"));
    let room = new_room(&owner, Visibility::Public).await;
    let users: Vec<UserId> = (0..4).map(|n| world.auth.add_user(&format!("user{n}"))).collect();
    let mut devices = Vec::new();
    for user in users.iter().flat_map(|user| [*user; 3]) {
        devices.push((user, Device::sign_in(&world, user).await));
    }
    let mut storm = JoinSet::new();
    for (user, mut device) in devices {
        storm.spawn(async move {
            let room_id = room.to_string();
            for n in 0..rounds {
                device.request(json!({"action": "join_room", "room_id": room_id})).await;
                device.request(message(room, &format!("{user} {n}"))).await;
                device.request(json!({"action": "leave_room", "room_id": room_id})).await;
            }
            (user, device)
        });
    }
    let mut devices = storm.join_all().await;
    for user in &users {
        world.chat.as_user(*user).join_room(room).await.unwrap();
    }
    let end = say(&owner, room, "end").await;
    let log = log(&*store, room).await;
    for (user, device) in &mut devices {
        device.wait_for_entry(room, end).await;
        compare(*user, &device.pushes(room), &expected(&log, *user));
    }
    for entry in &log {
        let memberships = memberships(&log, entry.by);
        assert!(!entry.body.is_message() || is_within(&memberships, entry.seq.get()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_private_chats_opened_200_times_at_once_are_one_and_everybody_gets_all_of_it() {
    let store = Arc::new(MemoryStore::new());
    let world = unhurried(store.clone()).await;
    for round in 0..10 {
        let [one, other] = ["one", "other"].map(|side| world.auth.add_user(&format!("{side}{round}")));
        let mut devices = Vec::new();
        for (user, peer) in [(one, other), (other, one)] {
            for _ in 0..10 {
                devices.push((Device::sign_in(&world, user).await, peer));
            }
        }
        let mut opening = JoinSet::new();
        for (mut device, peer) in devices {
            opening.spawn(async move {
                let open = json!({"action": "open_private_chat", "user_id": peer.to_string()});
                let mut sent = Vec::new();
                for _ in 0..10 {
                    sent.push(device.send(open.clone()).await);
                }
                let mut chats = BTreeSet::new();
                for id in sent {
                    chats.insert(device.reply(id).await["chat_id"].as_str().unwrap().to_owned());
                }
                (device, chats)
            });
        }
        let opened = opening.join_all().await;
        let chats: BTreeSet<String> = opened.iter().flat_map(|(_, chats)| chats.clone()).collect();
        assert_eq!(chats.len(), 1, "{chats:?}");
        let chat: ConversationId = chats.first().unwrap().parse().unwrap();
        say(&world.chat.as_user(one), chat, "hello").await;
        for (mut device, _) in opened {
            device.wait_for_entry(chat, 2).await;
            let seqs: Vec<u64> = device.pushes(chat).into_iter().map(|(seq, _)| seq).collect();
            assert_eq!(seqs, [1, 2]);
        }
    }
}

fn keyed(room: ConversationId, key: &str, content: &str) -> Value {
    let mut keyed = message(room, content);
    keyed["client_id"] = json!(key);
    keyed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_from_two_devices_at_once_is_one_entry_with_one_answer() {
    let store = Arc::new(MemoryStore::new());
    let world = unhurried(store.clone()).await;
    let (ann, bob) = (world.auth.add_user("ann"), world.auth.add_user("bob"));
    let owner = world.chat.as_user(ann);
    let (room, elsewhere) =
        (new_room(&owner, Visibility::Public).await, new_room(&owner, Visibility::Public).await);
    world.chat.as_user(bob).join_room(room).await.unwrap();
    let mut phone = Device::sign_in(&world, ann).await;
    let mut laptop = Device::sign_in(&world, ann).await;
    let mut other = Device::sign_in(&world, bob).await;
    let mut ids = BTreeSet::new();
    for n in 0..100 {
        let key = format!("key{n}");
        let request = keyed(room, &key, &key);
        let (mut one, mut same) =
            tokio::join!(phone.request(request.clone()), laptop.request(request.clone()));
        let (one, same) = (one.as_object_mut().unwrap(), same.as_object_mut().unwrap());
        one.remove("request_id");
        same.remove("request_id");
        assert_eq!(one, same);
        // The same key of another sender, and in another conversation, is another message.
        let (theirs, there) =
            tokio::join!(other.request(request), phone.request(keyed(elsewhere, &key, &key)));
        let different =
            [one["message_id"].clone(), theirs["message_id"].clone(), there["message_id"].clone()];
        ids.extend(different.map(|id| id.as_str().unwrap().to_owned()));
    }
    assert_eq!(ids.len(), 300);
    assert_eq!(log(&*store, room).await.len(), 2 + 200);
    assert_eq!(log(&*store, elsewhere).await.len(), 1 + 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typed_api_and_the_protocol_share_one_log_and_its_rules() {
    let store = Arc::new(MemoryStore::new());
    let world: World = unhurried(store.clone()).await;
    let ann = world.chat.as_user(world.auth.add_user("ann"));
    let room = new_room(&ann, Visibility::Public).await;
    let joining = (0..50).map(|n| {
        let user = world.chat.as_user(world.auth.add_user(&format!("user{n}")));
        async move {
            let early = user.send_message(room, NewMessage::text("early").unwrap()).await;
            assert_eq!(early.unwrap_err().code, Code::Forbidden);
            let joined = user.join_room(room).await.unwrap();
            assert_eq!(user.join_room(room).await.unwrap(), joined, "twice succeeds");
            assert!(say(&user, room, "hello").await > joined.get());
        }
    });
    join_all(joining).await;
    let conversation = store.conversation(room).await.unwrap().unwrap();
    assert_eq!((conversation.member_count, conversation.head.messages), (51, 50));
    assert_eq!(log(&*store, room).await.len(), 101);
}
