//! Senders who never give up: they keep what was not acknowledged and send it again.

use std::collections::{BTreeMap, BTreeSet};

use chat_testkit::client::TestClient;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::people::keyed;

/// Requests that a sender does not wait for.
const PIPELINE: usize = 16;

/// Somebody with numbered messages for some rooms, in turn.
#[derive(Debug)]
pub struct Sender {
    name: &'static str,
    rooms: Vec<String>,
    unacknowledged: BTreeSet<usize>,
    /// The result of each message that was acknowledged.
    pub acknowledged: BTreeMap<usize, Receipt>,
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub message_id: Value,
    pub seq: Value,
    pub timestamp: Value,
}

impl Sender {
    /// A sender of `count` messages.
    pub fn new(name: &'static str, rooms: &[String], count: usize) -> Self {
        let (rooms, unacknowledged) = (rooms.to_vec(), (0..count).collect());
        Self { name, rooms, unacknowledged, acknowledged: BTreeMap::new() }
    }

    /// The room of a message.
    pub fn room(&self, number: usize) -> &str {
        &self.rooms[number % self.rooms.len()]
    }

    /// The key of a message.
    pub fn client_id(&self, number: usize) -> String {
        format!("{}-{number:05}", self.name)
    }

    /// The request that sends a message.
    pub fn request(&self, number: usize) -> Value {
        let mut request =
            keyed(self.room(number), &self.client_id(number), &format!("{} {number}", self.name));
        request["request_id"] = json!(number);
        request
    }

    /// Sends what was not acknowledged, oldest first, until everything is or the connection ends; then with what
    /// code. Counts every acknowledgement in `progress`.
    pub async fn send(&mut self, socket: &mut TestClient, progress: &watch::Sender<usize>) -> Option<u16> {
        let mut waiting: Vec<usize> = self.unacknowledged.iter().rev().copied().collect();
        let mut in_flight = 0;
        while !self.unacknowledged.is_empty() {
            while in_flight < PIPELINE
                && let Some(number) = waiting.pop()
            {
                socket.submit(self.request(number)).await;
                in_flight += 1;
            }
            match socket.next_frame().await {
                Ok(frame) if frame.get("success").is_some() => {
                    in_flight -= 1;
                    self.acknowledge(&frame);
                    progress.send_modify(|count| *count += 1);
                }
                Ok(_push) => {}
                Err((code, _)) => return Some(code),
            }
        }
        None
    }

    fn acknowledge(&mut self, reply: &Value) {
        assert_eq!(reply["success"], true, "{} got {reply}", self.name);
        let number = usize::try_from(reply["request_id"].as_u64().unwrap()).unwrap();
        assert!(self.unacknowledged.remove(&number), "{} got two replies to {number}", self.name);
        self.acknowledged.insert(number, Receipt::of(reply));
    }
}

impl Receipt {
    /// What a reply to a message, or a message in history, says of it.
    pub fn of(stored: &Value) -> Self {
        let [message_id, seq, timestamp] =
            ["message_id", "seq", "timestamp"].map(|field| stored[field].clone());
        Self { message_id, seq, timestamp }
    }
}

/// Holds the log of a room against what its senders know: no hole, nothing twice, the order of each sender,
/// and nothing acknowledged that is missing or another. Answers the keys that the log has.
pub fn check_log(room: &str, log: &[Value], senders: &[Sender]) -> BTreeSet<String> {
    let first = log.first().map_or(0, |message| message["seq"].as_u64().unwrap());
    for (message, seq) in log.iter().zip(first..) {
        assert_eq!(message["seq"], seq, "{room} has a hole or a repetition");
    }
    let mut by_key = BTreeMap::new();
    for message in log {
        let key = message["client_id"].as_str().unwrap().to_owned();
        assert!(by_key.insert(key, message).is_none(), "{room} has twice {message}");
    }
    for sender in senders {
        for (number, receipt) in &sender.acknowledged {
            if sender.room(*number) == room {
                let key = sender.client_id(*number);
                let message = by_key.get(&key).unwrap_or_else(|| panic!("{room} has lost {key}"));
                assert_eq!(Receipt::of(message), *receipt, "{key} is not what was acknowledged");
            }
        }
        let prefix = format!("{}-", sender.name);
        let own = log.iter().filter_map(|message| message["client_id"].as_str());
        let own: Vec<&str> = own.filter(|key| key.starts_with(&prefix)).collect();
        assert!(own.is_sorted(), "{room} does not have the messages of {} in their order", sender.name);
    }
    by_key.into_keys().collect()
}
