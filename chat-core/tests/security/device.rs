//! Connections that are read all the time, and the log that they are compared with.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_core::Inbound;
use chat_core::domain::{Entry, Seq};
use chat_core::hub::DisconnectReason;
use chat_core::id::{ConversationId, UserId};
use chat_core::port::{EntryRange, RoomStore};
use chat_core::protocol::{EntryContext, entry_push};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::support::World;
pub(crate) use crate::support::memberships;

/// A signed-in connection with a task that reads it.
pub(crate) struct Device {
    inbound: Inbound,
    frames: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
    ended: watch::Receiver<Option<DisconnectReason>>,
    requests: u64,
}

impl Device {
    pub(crate) async fn sign_in(world: &World, user: UserId) -> Self {
        let (inbound, mut outbound) = world.chat.connect(chat_core::Peer::default());
        let frames: Arc<Mutex<Vec<String>>> = Arc::default();
        let (counter, count) = watch::channel(0);
        let (ending, ended) = watch::channel(None);
        let seen = frames.clone();
        TaskTracker::new().spawn(async move {
            let mut batch = Vec::new();
            loop {
                if let Err(reason) = outbound.frames(&mut batch, 16 * 1_024).await {
                    ending.send_replace(Some(reason));
                    return;
                }
                seen.lock().unwrap().extend(batch.drain(..).map(|frame| frame.text().to_owned()));
                counter.send_replace(seen.lock().unwrap().len());
            }
        });
        let mut device = Self { inbound, frames, count, ended, requests: 0 };
        let token = world.auth.sign_in(user);
        let reply = device.request(json!({"action": "authenticate", "token": token})).await;
        assert_eq!(reply["success"], true, "{reply}");
        device
    }

    /// Sends, and answers the id under which the reply will come.
    pub(crate) async fn send(&mut self, mut request: Value) -> u64 {
        self.requests += 1;
        request["request_id"] = json!(self.requests);
        self.inbound.room().await;
        self.inbound.accept(&request.to_string());
        self.requests
    }

    pub(crate) async fn request(&mut self, request: Value) -> Value {
        let id = self.send(request).await;
        self.reply(id).await
    }

    pub(crate) async fn reply(&mut self, id: u64) -> Value {
        let start = format!("\"request_id\":{id},");
        let alone = format!("\"request_id\":{id}}}");
        let is_it = |frame: &String| {
            frame.starts_with("{\"success\"") && (frame.contains(&start) || frame.contains(&alone))
        };
        let frame = self.wait_for(|frames| frames.iter().rev().find(|frame| is_it(frame)).cloned()).await;
        serde_json::from_str(&frame).unwrap()
    }

    /// Waits until what came holds what is looked for.
    pub(crate) async fn wait_for<T>(&mut self, mut look: impl FnMut(&[String]) -> Option<T>) -> T {
        let frames = self.frames.clone();
        let found = async {
            loop {
                self.count.borrow_and_update();
                if let Some(found) = look(&frames.lock().unwrap()) {
                    return found;
                }
                let changed = self.count.changed().await;
                assert!(changed.is_ok(), "the connection ended: {:?}", *self.ended.borrow());
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.expect("it comes in time")
    }

    /// Waits until this entry of a conversation was pushed.
    pub(crate) async fn wait_for_entry(&mut self, conversation: ConversationId, seq: u64) {
        let (room, chat) =
            (format!("\"room_id\":\"{conversation}\""), format!("\"chat_id\":\"{conversation}\""));
        let number = format!("\"seq\":{seq},");
        let is_it = |frame: &String| {
            frame.starts_with("{\"action\"")
                && (frame.contains(&room) || frame.contains(&chat))
                && frame.contains(&number)
        };
        self.wait_for(|frames| frames.iter().any(is_it).then_some(())).await;
    }

    pub(crate) fn frames(&self) -> Vec<String> {
        self.frames.lock().unwrap().clone()
    }

    /// The pushes of a conversation's entries, in the order in which they came.
    pub(crate) fn pushes(&self, conversation: ConversationId) -> Vec<(u64, String)> {
        let id = conversation.to_string();
        let mut pushes = Vec::new();
        for text in self.frames() {
            if text.starts_with("{\"action\"") && text.contains(&id) {
                let push: Value = serde_json::from_str(&text).unwrap();
                if let Some(seq) = push["seq"].as_u64() {
                    pushes.push((seq, text));
                }
            }
        }
        pushes
    }
}

/// The whole log of a conversation, checked to have no holes.
pub(crate) async fn log(store: &dyn RoomStore, conversation: ConversationId) -> Vec<Entry> {
    let mut log: Vec<Entry> = Vec::new();
    loop {
        let after = log.last().map_or(Seq::ZERO, |entry| entry.seq);
        let range = EntryRange { after, upto: Seq::MAX, limit: 1_000, max_bytes: usize::MAX };
        let page = store.entries(conversation, range).await.unwrap();
        log.extend(page.entries);
        if !page.more {
            assert!(log.iter().zip(1..).all(|(entry, seq)| entry.seq.get() == seq), "the log has no holes");
            return log;
        }
    }
}

pub(crate) fn is_within(memberships: &[RangeInclusive<u64>], seq: u64) -> bool {
    memberships.iter().any(|membership| membership.contains(&seq))
}

/// What a device that was connected all the time must have got: the entries of the memberships, in order, once.
pub(crate) fn expected(log: &[Entry], user: UserId) -> Vec<(u64, String)> {
    let memberships = memberships(log, user);
    let entries = log.iter().filter(|entry| is_within(&memberships, entry.seq.get()));
    entries.map(|entry| (entry.seq.get(), entry_push(entry, EntryContext::Room).text().to_owned())).collect()
}

/// Says where what a device got differs from what it must have got.
pub(crate) fn compare(user: UserId, got: &[(u64, String)], expected: &[(u64, String)]) {
    let first = got.iter().zip(expected).find(|(got, expected)| got != expected);
    assert!(first.is_none(), "{user} got something else: {first:?}");
    assert_eq!(got.len(), expected.len(), "{user} got something more, or less");
}

/// Every `canary-…` in a text.
pub(crate) fn canaries(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c == '-' || c.is_ascii_alphanumeric();
    let words = text.match_indices("canary-").map(|(start, _)| &text[start..]);
    words.map(|word| word.chars().take_while(|c| is_part(*c)).collect()).collect()
}
