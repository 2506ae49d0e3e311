//! What a careful client keeps of its conversations: cursors, messages, and the rules
//! by which pushes and `sync` move them. It panics where the server breaks a promise.

use std::collections::BTreeMap;

use chat_testkit::client::TestClient;
use serde_json::{Value, json};

/// A client's copy of some rooms.
#[derive(Debug, Default)]
pub struct Replica {
    rooms: BTreeMap<String, Copy>,
    /// The last entry of each room that was pushed on the present connection.
    pushed: BTreeMap<String, u64>,
}

/// A client's copy of one room.
#[derive(Debug, Default)]
pub struct Copy {
    /// The last entry that was applied.
    pub cursor: u64,
    /// The messages as history shows them.
    pub messages: Vec<Value>,
    /// How often `sync` said that too much is missing.
    pub paged: u32,
    /// Entries that came before those that precede them.
    early: BTreeMap<u64, Value>,
}

impl Replica {
    /// An empty copy of these rooms.
    pub fn of<'a>(rooms: impl IntoIterator<Item = &'a String>) -> Self {
        let rooms = rooms.into_iter().map(|room| (room.clone(), Copy::default())).collect();
        Self { rooms, pushed: BTreeMap::new() }
    }

    /// The copy of one room.
    pub fn room(&self, room: &str) -> &Copy {
        &self.rooms[room]
    }

    /// How many messages there are in all rooms.
    pub fn message_count(&self) -> usize {
        self.rooms.values().map(|copy| copy.messages.len()).sum()
    }

    /// The connection is another one from now on.
    pub fn reconnected(&mut self) {
        self.pushed.clear();
    }

    /// Takes a push. On one connection the entries of a room must come without holes and once.
    pub fn take(&mut self, push: &Value) {
        let (Some(room), Some(seq)) = (push["room_id"].as_str(), push["seq"].as_u64()) else { return };
        let Some(copy) = self.rooms.get_mut(room) else { return };
        if let Some(last) = self.pushed.insert(room.to_owned(), seq) {
            assert_eq!(seq, last + 1, "pushes of {room} are not contiguous: {push}");
        }
        copy.take(push);
    }

    /// Reads frames until `enough`.
    pub async fn follow(&mut self, socket: &mut TestClient, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let push = socket.next_push().await;
            self.take(&push);
        }
    }

    /// Asks for what was missed until nothing is, as a client does that has come back.
    pub async fn catch_up(&mut self, socket: &mut TestClient) {
        loop {
            let cursors: BTreeMap<_, _> = self.rooms.iter().map(|(id, copy)| (id, copy.cursor)).collect();
            let reply = socket.ok(json!({"action": "sync", "cursors": cursors})).await;
            let mut more = false;
            for (id, copy) in &mut self.rooms {
                let answer = &reply["conversations"][id];
                match answer["state"].as_str() {
                    Some("ok") => {
                        answer["entries"].as_array().unwrap().iter().for_each(|entry| copy.take(entry));
                        more |= answer["more"] == true;
                    }
                    Some("page") => copy.page(socket, id, answer["head_seq"].as_u64().unwrap()).await,
                    _ => panic!("{id}: {answer}"),
                }
            }
            for push in socket.take_pushes() {
                self.take(&push);
            }
            if !more {
                break;
            }
        }
        for (id, copy) in &self.rooms {
            assert!(copy.early.is_empty(), "{id}: sync left a hole after {}", copy.cursor);
        }
    }
}

impl Copy {
    fn take(&mut self, entry: &Value) {
        let seq = entry["seq"].as_u64().unwrap();
        if seq > self.cursor {
            self.early.insert(seq, entry.clone());
        }
        self.apply_early();
    }

    fn apply_early(&mut self) {
        while let Some(next) = self.early.remove(&(self.cursor + 1)) {
            self.cursor += 1;
            if next["action"] == "new_room_message" {
                self.messages.push(as_in_history(next));
            }
        }
    }

    /// Reads history up to `head` in place of entries.
    async fn page(&mut self, socket: &mut TestClient, room: &str, head: u64) {
        self.paged += 1;
        while self.cursor < head {
            let request = json!({"action": "get_room_messages", "room_id": room, "after_seq": self.cursor, "limit": 100});
            let page = socket.ok(request).await;
            for message in page["messages"].as_array().unwrap() {
                self.cursor = message["seq"].as_u64().unwrap();
                self.messages.push(message.clone());
            }
            if page["has_more"] == false {
                // What follows the last message, if anything, is none.
                self.cursor = self.cursor.max(head);
            }
        }
        self.early.retain(|seq, _| *seq > self.cursor);
        self.apply_early();
    }
}

/// A message's push without what history does not repeat.
fn as_in_history(mut push: Value) -> Value {
    let fields = push.as_object_mut().unwrap();
    fields.remove("action");
    fields.remove("room_id");
    push
}
