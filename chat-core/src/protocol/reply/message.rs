//! Results about messages, and what `sync` answers.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::{ClientId, Content, Entry, EntryBody, MessageKind, MessagePage, Seq};
use crate::frame::Frame;
use crate::id::{EntryId, UserId};
use crate::protocol::event::{ConversationKey, EntryContext};
use crate::time::Timestamp;

/// `send_room_message`, `send_private_message`: the message is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SendReply {
    /// Its key.
    pub message_id: EntryId,
    /// Its number in the conversation.
    pub seq: Seq,
    /// When it arrived.
    pub timestamp: Timestamp,
}

impl From<&Entry> for SendReply {
    fn from(entry: &Entry) -> Self {
        Self { message_id: entry.id, seq: entry.seq, timestamp: entry.timestamp }
    }
}

/// `get_room_messages`, `get_private_messages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryReply {
    /// The messages, the oldest first.
    pub messages: Vec<MessageView>,
    /// Whether there are more in the direction that was asked for.
    pub has_more: bool,
}

impl HistoryReply {
    /// A page of the conversation that `context` is about.
    #[must_use]
    pub fn new(page: &MessagePage, context: EntryContext) -> Self {
        let messages = page.entries.iter().filter_map(|entry| MessageView::new(entry, context));
        Self { messages: messages.collect(), has_more: page.has_more }
    }
}

/// A message in a page of history, or the newest one in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// Its key.
    pub message_id: EntryId,
    /// Its number in the conversation.
    pub seq: Seq,
    /// Who sent it.
    pub sender_id: UserId,
    /// The other one of a private chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver_id: Option<UserId>,
    /// What it says.
    pub content: Content,
    /// What that is.
    #[serde(rename = "type")]
    pub kind: MessageKind,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// The sender's key for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
}

impl MessageView {
    /// The message that `entry` is; `None` if it is an event.
    #[must_use]
    pub fn new(entry: &Entry, context: EntryContext) -> Option<Self> {
        let EntryBody::Message(message) = &entry.body else { return None };
        Some(Self {
            message_id: entry.id,
            seq: entry.seq,
            sender_id: entry.by,
            receiver_id: context.receiver_of(entry),
            content: message.content.clone(),
            kind: message.kind,
            timestamp: entry.timestamp,
            client_id: message.client_id.clone(),
        })
    }
}

/// `mark_read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MarkReadReply {
    /// The read position that holds now.
    pub read_seq: Seq,
}

/// `sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncReply {
    /// The history that the server holds.
    pub epoch: String,
    /// What became of each conversation that was asked for, by its id (or what stood in its place).
    #[serde(serialize_with = "map")]
    pub conversations: Vec<(String, SyncConversation)>,
    /// The caller's conversations that were not asked for.
    pub others: Vec<OtherConversation>,
    /// Whether `others` is cut short: then the lists have the rest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_others: bool,
}

/// What a client misses of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncConversation {
    /// What the client should do.
    pub state: SyncState,
    /// The number of the last entry; absent when gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_seq: Option<Seq>,
    /// With which number entries go on; absent if that is the one behind the cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_seq: Option<Seq>,
    /// Entries above the cursor in their order, as [`entry_push`](crate::protocol::entry_push) makes them.
    #[serde(serialize_with = "frames")]
    pub entries: Vec<Frame>,
    /// Whether to ask again from the last of them.
    pub more: bool,
}

/// What a client should do with a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// Take the entries.
    Ok,
    /// Too many are missed: read the history.
    Page,
    /// Not a member (any more).
    Gone,
    /// The cursor is of another history: drop what is cached.
    Reset,
}

/// A conversation of the caller that `sync` was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OtherConversation {
    /// Which.
    #[serde(flatten)]
    pub conversation: ConversationKey,
    /// The number of its last entry.
    pub head_seq: Seq,
}

impl SyncConversation {
    /// The user is no member.
    #[must_use]
    pub fn gone() -> Self {
        let state = SyncState::Gone;
        Self { state, head_seq: None, since_seq: None, entries: Vec::new(), more: false }
    }
}

fn map<S: Serializer>(
    conversations: &[(String, SyncConversation)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(conversations.len()))?;
    for (id, conversation) in conversations {
        map.serialize_entry(id, conversation)?;
    }
    map.end()
}

/// Frames are JSON already: they are copied, not encoded again.
fn frames<S: Serializer>(frames: &[Frame], serializer: S) -> Result<S::Ok, S::Error> {
    let entries = frames.iter().map(|frame| serde_json::from_str::<&RawValue>(frame.text()));
    let entries: Vec<&RawValue> = entries.collect::<Result<_, _>>().map_err(serde::ser::Error::custom)?;
    entries.serialize(serializer)
}
