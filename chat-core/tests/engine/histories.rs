//! Random histories of rooms and private chats, as devices that follow the document see them: in the end each has
//! exactly what its user may read, in order, once.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::chat::{NewMessage, NewRoom};
use chat_core::domain::{RoomName, Seq, Topic, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::{Limits, Rate};
use chat_core::memory::MemoryStore;
use chat_core::port::{EntryRange, RoomStore};
use chat_core::protocol::{EntryContext, entry_push};
use chat_core::{Inbound, Outbound, Peer};
use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::client_model::{ClientModel, Kept};
use crate::support::{Dice, World, memberships};

const USERS: usize = 4;
const DEVICES_OF_A_USER: usize = 3;
const STEPS: usize = 600;
const SEEDS: u64 = 40;

/// A device of a user, which comes and goes.
struct Device {
    user: UserId,
    token: String,
    model: ClientModel,
    line: Option<(Inbound, Outbound)>,
}

impl Device {
    fn new(world: &World, user: UserId) -> Self {
        Self { user, token: world.auth.sign_in(user), model: ClientModel::default(), line: None }
    }

    async fn connect(&mut self, world: &World) {
        let (mut inbound, mut outbound) = world.chat.connect(Peer::default());
        inbound.accept(&json!({"action": "authenticate", "token": self.token}).to_string());
        self.model.connected();
        let mut is_signed_in = false;
        while !is_signed_in {
            let mut batch = Vec::new();
            outbound.frames(&mut batch, 16 * 1_024).await.expect("it is not closed");
            for frame in batch {
                let frame: Value = serde_json::from_str(frame.text()).unwrap();
                is_signed_in |= frame["success"] == true;
                self.model.frame(frame);
            }
        }
        self.line = Some((inbound, outbound));
    }

    /// Takes what has come, and asks what there is to ask. Answers whether anything happened.
    fn turn(&mut self) -> bool {
        let Some((inbound, outbound)) = &mut self.line else { return false };
        let mut batch = Vec::new();
        let came = outbound.frames(&mut batch, 2_048).now_or_never();
        if let Some(Err(reason)) = came {
            self.model.faults.push(format!("the connection ended: {reason:?}"));
        }
        let mut has_happened = !batch.is_empty();
        for frame in batch {
            self.model.frame(serde_json::from_str(frame.text()).unwrap());
        }
        if inbound.has_room()
            && let Some(request) = self.model.ask()
        {
            inbound.accept(&request.to_string());
            has_happened = true;
        }
        has_happened
    }

    /// Takes turns until nothing happens any more.
    async fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..10_000 {
            quiet = if self.turn() { 0 } else { quiet + 1 };
            if quiet > 50 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} asks for ever: {:?}", self.user, self.model.kept);
    }
}

/// Everybody, and the conversations that they have.
struct History {
    world: World,
    store: Arc<MemoryStore>,
    users: Vec<UserId>,
    devices: Vec<Device>,
    rooms: Vec<ConversationId>,
    dice: Dice,
}

impl History {
    async fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let no_rate = Rate { per_second: 0, burst: 0 };
        let limits = Limits { send_rate: no_rate, request_rate: no_rate, ..Limits::default() };
        let world = World::with(store.clone(), |builder| builder.limits(limits)).await;
        let users: Vec<_> = (0..USERS).map(|n| world.auth.add_user(&format!("user{n}"))).collect();
        let devices = users.iter().flat_map(|user| [*user; DEVICES_OF_A_USER]);
        let devices = devices.map(|user| Device::new(&world, user)).collect();
        let mut rooms = Vec::new();
        for (n, visibility) in
            [Visibility::Private, Visibility::Public, Visibility::Private].into_iter().enumerate()
        {
            let name = RoomName::new(format!("room {n}")).unwrap();
            let owner = world.chat.as_user(users[0]);
            rooms.push(owner.create_room(NewRoom { name, topic: None, visibility }).await.unwrap().id);
        }
        Self { world, store, users, devices, rooms, dice: Dice(seed) }
    }

    /// Somebody does something; what is refused does not matter. The first user is the owner of all rooms.
    async fn act(&mut self) {
        let [user, other, room, what] =
            [USERS, USERS, self.rooms.len(), 14].map(|bound| self.dice.index(bound));
        let owner = self.world.chat.as_user(self.users[0]);
        let (user, other, room) =
            (self.world.chat.as_user(self.users[user]), self.users[other], self.rooms[room]);
        match what {
            0 if user.id() != owner.id() => drop(user.leave_room(room).await),
            1..=3 => {
                drop(owner.invite_member(room, user.id()).await);
                drop(user.join_room(room).await);
            }
            4 => drop(owner.invite_member(room, other).await),
            5 => drop(user.join_room(room).await),
            6 => drop(owner.remove_member(room, other).await),
            7 => drop(owner.ban_member(room, other).await),
            8 => drop(owner.unban_member(room, other).await),
            9 => {
                let topic = Topic::new(format!("topic {}", self.dice.below(1_000))).unwrap();
                drop(owner.update_room(room, None, Some(topic)).await);
            }
            10 => {
                if let Ok(chat) = user.open_private_chat(other).await {
                    let text = NewMessage::text("to you").unwrap();
                    user.send_message(chat.id, text).await.unwrap();
                }
            }
            _ => {
                let longest = if self.dice.below(6) == 0 { 8_000 } else { 50 };
                let text = "x".repeat(1 + self.dice.index(longest));
                drop(user.send_message(room, NewMessage::text(text).unwrap()).await);
            }
        }
    }

    async fn step(&mut self) {
        let device = self.dice.index(self.devices.len());
        match self.dice.below(12) {
            0 => self.devices[device].line = None,
            1 => self.devices[device].connect(&self.world).await,
            2..=4 => {
                for _ in 0..self.dice.below(10) {
                    self.devices[device].turn();
                    tokio::task::yield_now().await;
                }
            }
            5 => tokio::task::yield_now().await,
            _ => self.act().await,
        }
    }

    /// What is wrong with what the devices have in the end.
    async fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for device in &self.devices {
            faults.extend(device.model.faults.iter().cloned());
            let known = device.model.kept.keys().map(|id| id.parse::<ConversationId>().unwrap());
            let standings = self.store.standings(device.user, None, 1_000).await.unwrap();
            let joined: BTreeSet<_> = standings.iter().map(|standing| standing.conversation.id).collect();
            for id in known.chain(joined.iter().copied()).collect::<BTreeSet<_>>() {
                let unknown = Kept::default();
                let kept = device.model.kept.get(&id.to_string()).unwrap_or(&unknown);
                let wrong = self.wrong_with(device.user, id, kept).await;
                faults.extend(wrong.map(|wrong| format!("{} in {id}: {wrong}", device.user)));
            }
        }
        faults
    }

    async fn wrong_with(&self, user: UserId, id: ConversationId, kept: &Kept) -> Option<String> {
        let conversation = self.store.conversation(id).await.unwrap().unwrap();
        let range = EntryRange { after: Seq::ZERO, upto: Seq::MAX, limit: 10_000, max_bytes: usize::MAX };
        let log = self.store.entries(id, range).await.unwrap().entries;
        let head = log.len() as u64;
        let is_room = conversation.pair().is_none();
        let memberships = if is_room { memberships(&log, user) } else { vec![1..=u64::MAX] };
        let is_of_memberships = is_room && conversation.visibility() == Visibility::Private;
        let may_have = |seq: u64| match memberships.last() {
            Some(last) if !is_of_memberships => seq <= *last.end(),
            _ => memberships.iter().any(|membership| membership.contains(&seq)),
        };
        let context = EntryContext::of(&conversation);
        for (seq, entry) in &kept.applied {
            let stored = entry_push(&log[usize::try_from(*seq).unwrap() - 1], context);
            if serde_json::from_str::<Value>(stored.text()).unwrap() != *entry || !may_have(*seq) {
                return Some(format!("has {entry} in place of {}", stored.text()));
            }
        }
        let applied: Vec<u64> = kept.applied.iter().map(|(seq, _)| *seq).collect();
        if !applied.is_sorted_by(|one, next| one < next) {
            return Some(format!("has entries twice or out of order: {applied:?}"));
        }
        // Only a member must have everything, in a private room from the latest join on.
        let last = memberships.last().filter(|last| *last.end() == u64::MAX)?;
        let from = if is_of_memberships { *last.start() } else { 1 };
        let (cursor, waiting) = (kept.cursor, kept.waiting.keys().collect::<Vec<_>>());
        if cursor != head || !waiting.is_empty() {
            return Some(format!(
                "is stuck at {cursor} of {head}, may read from {from}, and {waiting:?} wait"
            ));
        }
        let is_whole = applied.iter().copied().filter(|seq| *seq >= from).eq(from..=head);
        (!is_whole).then(|| format!("lacks something of {from} to {head}: {applied:?}"))
    }
}

/// What went wrong, and how often a device came back to a private room.
async fn run(seed: u64) -> (Vec<String>, usize) {
    let mut history = History::new(seed).await;
    for _ in 0..STEPS {
        history.step().await;
    }
    for device in &mut history.devices {
        // Some come back now, some have been there all the time.
        if device.line.is_none() {
            device.connect(&history.world).await;
        }
    }
    for device in &mut history.devices {
        device.settle().await;
    }
    let gaps = history.devices.iter().map(|device| device.model.gaps).sum();
    (history.faults().await, gaps)
}

#[tokio::test]
async fn devices_that_follow_the_document_end_with_what_their_user_may_read() {
    let mut all_gaps = 0;
    for seed in 0..SEEDS {
        let (faults, gaps) = run(seed).await;
        assert!(faults.is_empty(), "seed {seed}, {} faults:\n{}", faults.len(), faults.join("\n"));
        all_gaps += gaps;
    }
    assert!(
        all_gaps > 2 * usize::try_from(SEEDS).unwrap(),
        "only {all_gaps} devices came back to a private room"
    );
}
