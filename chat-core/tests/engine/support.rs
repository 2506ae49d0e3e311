//! A chat with fake accounts, and clients that speak JSON with it in the same process.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::{Entry, EntryBody, Event};
use chat_core::hub::DisconnectReason;
use chat_core::id::UserId;
use chat_core::limits::Limits;
use chat_core::memory::MemoryStore;
use chat_core::port::RoomStore;
use chat_core::{Chat, ChatBuilder, Inbound, Outbound, Peer};
use chat_testkit::double::FakeAuth;
use serde_json::{Value, json};

/// A chat and its accounts.
pub(crate) struct World {
    pub(crate) chat: Chat,
    pub(crate) auth: Arc<FakeAuth>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new())).await
    }

    pub(crate) async fn over(rooms: Arc<dyn RoomStore>) -> Self {
        Self::with(rooms, |builder| builder).await
    }

    pub(crate) async fn limited(limits: Limits) -> Self {
        Self::with(Arc::new(MemoryStore::new()), |builder| builder.limits(limits)).await
    }

    pub(crate) async fn with(
        rooms: Arc<dyn RoomStore>,
        more: impl FnOnce(ChatBuilder) -> ChatBuilder,
    ) -> Self {
        let auth = Arc::new(FakeAuth::default());
        let builder = Chat::builder().auth(auth.clone()).rooms(rooms);
        let chat = more(builder).build().await.expect("a chat");
        Self { chat, auth }
    }

    /// A new user on a new connection.
    pub(crate) async fn user(&self, name: &str) -> Client {
        let user = self.auth.add_user(name);
        self.device(user).await
    }

    /// Another connection of a user, in a session of its own.
    pub(crate) async fn device(&self, user: UserId) -> Client {
        let mut client = self.stranger();
        let token = self.auth.sign_in(user);
        client.ok(json!({"action": "authenticate", "token": token})).await;
        client.user_id = user.to_string();
        client.token = token;
        client
    }

    /// A connection that nobody has signed in on.
    pub(crate) fn stranger(&self) -> Client {
        let (inbound, outbound) = self.chat.connect(Peer::default());
        let (user_id, token) = (String::new(), String::new());
        let (frames, pushes, replies) = (Vec::new(), VecDeque::new(), VecDeque::new());
        Client { inbound, outbound, user_id, token, frames, pushes, replies }
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    pub(crate) user_id: String,
    pub(crate) token: String,
    /// The text of every frame that came.
    pub(crate) frames: Vec<String>,
    pushes: VecDeque<Value>,
    replies: VecDeque<String>,
}

impl Client {
    /// Sends a request and waits for its reply; pushes that come before it are kept.
    pub(crate) async fn request(&mut self, request: Value) -> Value {
        self.send(&request).await;
        self.reply().await
    }

    /// A request that must succeed.
    pub(crate) async fn ok(&mut self, request: Value) -> Value {
        let reply = self.request(request.clone()).await;
        assert_eq!(reply["success"], true, "{request} was refused: {reply}");
        reply
    }

    /// A request that must be refused; answers its code.
    pub(crate) async fn refused(&mut self, request: Value) -> String {
        let reply = self.request(request.clone()).await;
        assert_eq!(reply["success"], false, "{request} was not refused: {reply}");
        reply["code"].as_str().expect("a code").to_owned()
    }

    /// Sends without waiting for the reply.
    pub(crate) async fn send(&mut self, request: &Value) {
        self.inbound.room().await;
        self.inbound.accept(&request.to_string());
    }

    pub(crate) async fn reply(&mut self) -> Value {
        serde_json::from_str(&self.reply_text().await).expect("frames are JSON")
    }

    /// The next reply as it was written.
    pub(crate) async fn reply_text(&mut self) -> String {
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return reply;
            }
            self.receive().await;
        }
    }

    /// The next push of this action; others that come before it are passed over.
    pub(crate) async fn push(&mut self, action: &str) -> Value {
        // On paused time `keep` comes for ever.
        for _ in 0..2_000 {
            while let Some(push) = self.pushes.pop_front() {
                if push["action"] == action {
                    return push;
                }
            }
            self.receive().await;
        }
        panic!("no {action} came");
    }

    /// Waits until a `presence` push shows `user` with `status`.
    pub(crate) async fn presence(&mut self, user: UserId, status: &str) {
        for _ in 0..20 {
            let push = self.push("presence").await;
            let shown = json!({"user_id": user.to_string(), "status": status});
            let users = push["users"].as_array().expect("a list").iter();
            if users
                .into_iter()
                .any(|seen| seen["user_id"] == shown["user_id"] && seen["status"] == shown["status"])
            {
                return;
            }
        }
        panic!("{user} was never shown as {status}");
    }

    /// The next push about a conversation's log, whatever it is.
    pub(crate) async fn entry(&mut self) -> Value {
        loop {
            while let Some(push) = self.pushes.pop_front() {
                if push.get("seq").is_some() {
                    return push;
                }
            }
            self.receive().await;
        }
    }

    /// Every push that has come so far, when nothing is under way: asks once and takes what came with the answer.
    pub(crate) async fn pushes_so_far(&mut self) -> Vec<Value> {
        self.ok(json!({"action": "ping"})).await;
        std::mem::take(&mut self.pushes).into()
    }

    /// Why the connection ended.
    pub(crate) async fn end(&mut self) -> DisconnectReason {
        loop {
            if let Err(reason) = self.try_receive().await {
                return reason;
            }
        }
    }

    async fn receive(&mut self) {
        if let Err(reason) = self.try_receive().await {
            panic!("the connection ended: {reason:?}");
        }
    }

    async fn try_receive(&mut self) -> Result<(), DisconnectReason> {
        let mut batch = Vec::new();
        let frames = self.outbound.frames(&mut batch, 64 * 1024);
        tokio::time::timeout(Duration::from_secs(120), frames).await.expect("a frame comes in time")?;
        for frame in batch {
            let value: Value = serde_json::from_str(frame.text()).expect("frames are JSON");
            self.frames.push(frame.text().to_owned());
            if value.get("success").is_some() {
                self.replies.push_back(frame.text().to_owned());
            } else {
                self.pushes.push_back(value);
            }
        }
        Ok(())
    }
}

/// A new room of `owner`; answers its id.
pub(crate) async fn room(owner: &mut Client, name: &str) -> String {
    let reply = owner.ok(json!({"action": "create_room", "room_name": name})).await;
    reply["room_id"].as_str().expect("an id").to_owned()
}

/// A text to a room.
pub(crate) fn text(room: &str, content: &str) -> Value {
    json!({"action": "send_room_message", "room_id": room, "content": content})
}

/// A text under a key.
pub(crate) fn keyed(room: &str, client_id: &str, content: &str) -> Value {
    json!({"action": "send_room_message", "room_id": room, "content": content, "client_id": client_id})
}

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("it is below a length")
    }
}

/// From when to when a user was a member of a room, first and last entry included.
pub(crate) fn memberships(log: &[Entry], user: UserId) -> Vec<RangeInclusive<u64>> {
    let (mut memberships, mut since) = (Vec::new(), None);
    for entry in log {
        let EntryBody::Event(event) = &entry.body else { continue };
        match event {
            Event::Created if entry.by == user => since = Some(entry.seq.get()),
            Event::Joined { user: who } if *who == user => since = Some(entry.seq.get()),
            Event::Left { user: who } | Event::Removed { user: who } | Event::Banned { user: who }
                if *who == user =>
            {
                // An invitation may end as well.
                memberships.extend(since.take().map(|since| since..=entry.seq.get()));
            }
            _ => {}
        }
    }
    memberships.extend(since.map(|since| since..=u64::MAX));
    memberships
}
