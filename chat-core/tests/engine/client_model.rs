//! The client of docs/protocol.md as a program: it takes frames and says when to `sync`, by the document alone.
//!
//! It knows nothing of the engine. Random histories in `histories` are run through it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// What a device keeps of one conversation.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) cursor: u64,
    /// What was handed to the user, by number, in the order in which it was.
    pub(crate) applied: Vec<(u64, Value)>,
    /// Entries that are further ahead than the next one.
    pub(crate) waiting: BTreeMap<u64, Value>,
}

/// A client. What it keeps survives its connections.
#[derive(Debug, Default)]
pub(crate) struct ClientModel {
    pub(crate) kept: BTreeMap<String, Kept>,
    /// What the server did against the document.
    pub(crate) faults: Vec<String>,
    /// How often a conversation went on beyond a gap after it was known.
    pub(crate) gaps: usize,
    /// Conversations to ask about, as soon as nothing is being asked.
    to_ask: BTreeSet<String>,
    /// Whether the connection is new: then it asks even if it knows no conversation.
    is_new: bool,
    /// The cursors that were sent and not answered yet.
    asked: Option<BTreeMap<String, u64>>,
    epoch: Option<String>,
    /// The last entry that this connection pushed of each conversation.
    pushed: BTreeMap<String, u64>,
}

impl ClientModel {
    /// A new connection has authenticated.
    pub(crate) fn connected(&mut self) {
        self.to_ask = self.kept.keys().cloned().collect();
        (self.is_new, self.asked) = (true, None);
        self.pushed.clear();
    }

    /// The `sync` to send now, if there is a reason for one and none is being answered.
    pub(crate) fn ask(&mut self) -> Option<Value> {
        if self.asked.is_some() || (self.to_ask.is_empty() && !self.is_new) {
            return None;
        }
        self.is_new = false;
        let cursors: BTreeMap<_, _> = std::mem::take(&mut self.to_ask)
            .into_iter()
            .map(|id| (id.clone(), self.kept[&id].cursor))
            .collect();
        let mut request = json!({"action": "sync", "cursors": cursors, "request_id": "sync"});
        if let Some(epoch) = &self.epoch {
            request["epoch"] = json!(epoch);
        }
        self.asked = Some(cursors);
        Some(request)
    }

    /// Takes a frame that the connection brought after it has authenticated.
    pub(crate) fn frame(&mut self, frame: Value) {
        if frame["request_id"] == "sync" {
            let asked = self.asked.take().expect("one was asked");
            if frame["success"] != true {
                self.faults.push(format!("sync was refused: {frame}"));
            }
            self.synced(&asked, &frame);
        } else if let (Some(id), Some(seq)) = (conversation(&frame), frame["seq"].as_u64()) {
            if self.pushed.insert(id.clone(), seq).is_some_and(|last| last >= seq) {
                self.faults.push(format!("{id}: {seq} was pushed out of order"));
            }
            if self.take(&id, seq, frame) {
                self.to_ask.insert(id);
            }
        }
    }

    fn synced(&mut self, asked: &BTreeMap<String, u64>, reply: &Value) {
        self.epoch = reply["epoch"].as_str().map(str::to_owned);
        for id in reply["others"].as_array().into_iter().flatten().filter_map(conversation) {
            // It is new to this device, unless it began while the question was on its way.
            if !self.kept.contains_key(&id) {
                self.kept.insert(id.clone(), Kept::default());
                self.to_ask.insert(id);
            }
        }
        for (id, cursor) in asked {
            self.conversation_synced(id, *cursor, &reply["conversations"][id]);
        }
    }

    fn conversation_synced(&mut self, id: &str, cursor: u64, synced: &Value) {
        let head = synced["head_seq"].as_u64();
        match (synced["state"].as_str(), head) {
            (Some("ok"), Some(_)) => {
                let mut next = cursor + 1;
                if let Some(since) = synced["since_seq"].as_u64() {
                    next = next.max(since);
                    self.begin_at(id, since);
                }
                for entry in synced["entries"].as_array().into_iter().flatten() {
                    let seq = entry["seq"].as_u64().unwrap_or(0);
                    if seq != next {
                        self.faults.push(format!("{id}: sync from {cursor} has {seq} in place of {next}"));
                    }
                    next = seq + 1;
                    self.take(id, seq, entry.clone());
                }
                if synced["more"] == true {
                    self.to_ask.insert(id.to_owned());
                }
            }
            (Some("page"), Some(head)) => self.begin_at(id, head + 1),
            (Some("reset"), Some(head)) => {
                self.kept.insert(id.to_owned(), Kept { cursor: head, ..Kept::default() });
            }
            (Some("gone"), None) => {}
            (_, _) => self.faults.push(format!("{id}: sync answered {synced}")),
        }
    }

    /// Entries go on with `next`, unless the cursor is there already.
    fn begin_at(&mut self, id: &str, next: u64) {
        let kept = self.kept.entry(id.to_owned()).or_default();
        if kept.cursor + 1 < next {
            self.gaps += usize::from(kept.cursor > 0);
            kept.cursor = next - 1;
            kept.waiting.retain(|seq, _| *seq >= next);
            kept.apply_waiting();
        }
    }

    /// Takes an entry. Answers whether something waits for a gap to be filled.
    fn take(&mut self, id: &str, seq: u64, entry: Value) -> bool {
        let kept = self.kept.entry(id.to_owned()).or_default();
        if seq > kept.cursor {
            kept.waiting.insert(seq, entry);
            kept.apply_waiting();
        }
        !kept.waiting.is_empty()
    }
}

impl Kept {
    fn apply_waiting(&mut self) {
        while let Some(entry) = self.waiting.remove(&(self.cursor + 1)) {
            self.cursor += 1;
            self.applied.push((self.cursor, entry));
        }
    }
}

/// The conversation that a frame is about.
fn conversation(frame: &Value) -> Option<String> {
    frame["room_id"].as_str().or_else(|| frame["chat_id"].as_str()).map(str::to_owned)
}
