//! What the server says unasked: frames with `action`.
//!
//! Pushes about a conversation's log are made from entries and carry `seq`; the others may be lost.

use std::time::Duration;

use serde::Serialize;

use super::VERSION;
use super::reply::{PresenceView, seconds};
use crate::domain::{
    ClientId, Content, Conversation, Entry, EntryBody, MessageKind, Pair, Role, RoomName, Seq, Topic,
    Visibility,
};
use crate::frame::Frame;
use crate::id::{ConversationId, EntryId, UserId};
use crate::limits::{Limits, Rate, hard};
use crate::time::Timestamp;

/// What the push of an entry depends on beside the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryContext {
    /// The conversation is a room.
    Room,
    /// The conversation is the private chat of these two.
    Private(Pair),
}

impl EntryContext {
    /// The context of all entries of `conversation`.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Self {
        conversation.pair().map_or(Self::Room, Self::Private)
    }

    /// How clients name the conversation `id`.
    #[must_use]
    pub fn key(self, id: ConversationId) -> ConversationKey {
        match self {
            Self::Room => ConversationKey::Room(id),
            Self::Private(_) => ConversationKey::Chat(id),
        }
    }

    /// To whom an entry of a private chat goes.
    pub(super) fn receiver_of(self, entry: &Entry) -> Option<UserId> {
        match self {
            Self::Room => None,
            Self::Private(pair) => pair.peer_of(entry.by),
        }
    }
}

/// A conversation as clients see it: a `room_id` or a `chat_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ConversationKey {
    /// A room.
    #[serde(rename = "room_id")]
    Room(ConversationId),
    /// A private chat.
    #[serde(rename = "chat_id")]
    Chat(ConversationId),
}

/// Encodes the push of an entry: `new_room_message`, `new_private_message` or `conversation_event`.
/// `sync` gives entries in the same shape.
#[must_use]
pub fn entry_push(entry: &Entry, context: EntryContext) -> Frame {
    match &entry.body {
        EntryBody::Message(message) => {
            let action = match context {
                EntryContext::Room => "new_room_message",
                EntryContext::Private(_) => "new_private_message",
            };
            let push = MessagePush {
                action,
                conversation: context.key(entry.conversation),
                seq: entry.seq,
                message_id: entry.id,
                sender_id: entry.by,
                receiver_id: context.receiver_of(entry),
                content: &message.content,
                kind: message.kind,
                timestamp: entry.timestamp,
                client_id: message.client_id.as_ref(),
            };
            encode(&push)
        }
        EntryBody::Event(event) => {
            let mut push = EventPush {
                action: "conversation_event",
                conversation: context.key(entry.conversation),
                seq: entry.seq,
                entry_id: entry.id,
                kind: event.name(),
                user_id: event.user(),
                by: entry.by,
                timestamp: entry.timestamp,
                role: None,
                room_name: None,
                topic: None,
            };
            match event {
                crate::domain::Event::RoleChanged { role, .. } => push.role = Some(*role),
                crate::domain::Event::Updated { name, topic } => {
                    push.room_name = name.as_ref();
                    push.topic = topic.as_ref();
                }
                crate::domain::Event::Created
                | crate::domain::Event::Invited { .. }
                | crate::domain::Event::Joined { .. }
                | crate::domain::Event::Left { .. }
                | crate::domain::Event::Removed { .. }
                | crate::domain::Event::Banned { .. }
                | crate::domain::Event::Unbanned { .. } => {}
            }
            encode(&push)
        }
    }
}

#[derive(Serialize)]
struct MessagePush<'a> {
    action: &'static str,
    #[serde(flatten)]
    conversation: ConversationKey,
    seq: Seq,
    message_id: EntryId,
    sender_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_id: Option<UserId>,
    content: &'a Content,
    #[serde(rename = "type")]
    kind: MessageKind,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a ClientId>,
}

#[derive(Serialize)]
struct EventPush<'a> {
    action: &'static str,
    #[serde(flatten)]
    conversation: ConversationKey,
    seq: Seq,
    entry_id: EntryId,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    by: UserId,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_name: Option<&'a RoomName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a Topic>,
}

/// A push that is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Push {
    /// The first frame of every connection.
    Connected(Box<Connected>),
    /// A member is typing.
    Typing(Typing),
    /// Some users are now as described.
    Presence {
        /// The users whose presence changed.
        users: Vec<PresenceView>,
    },
    /// A user has read up to an entry.
    ReadMarker(ReadMarker),
    /// The receiver may join a room now.
    Invitation(Invitation),
    /// The access token ends soon: refresh it and `authenticate`.
    TokenExpiring {
        /// When, in seconds from now.
        #[serde(serialize_with = "seconds")]
        expires_in: Duration,
    },
    /// Nothing; for clients that do not see WebSocket pings.
    Keep,
}

impl Push {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Frame {
        encode(self)
    }
}

fn encode(push: &impl Serialize) -> Frame {
    Frame::new(serde_json::to_string(push).expect("keys are strings and no value's Serialize fails"))
}

/// A member is typing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Typing {
    /// Where.
    #[serde(flatten)]
    pub conversation: ConversationKey,
    /// Who.
    pub user_id: UserId,
}

/// A user has read up to an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadMarker {
    /// Where.
    #[serde(flatten)]
    pub conversation: ConversationKey,
    /// Who.
    pub user_id: UserId,
    /// Up to which entry. Named so that it is not taken for the number of an entry of the log.
    pub read_seq: Seq,
}

/// An invitation to a room, for the devices of the one invited; the lists of rooms show it until it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invitation {
    /// The room.
    pub room_id: ConversationId,
    /// Its name.
    pub room_name: RoomName,
    /// Its topic; may be empty.
    pub topic: Topic,
    /// Who may find and join it.
    pub visibility: Visibility,
    /// Who invites.
    pub invited_by: UserId,
}

/// The greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connected {
    /// The version of the protocol.
    pub protocol: u32,
    /// The history that the server holds; another than a client remembers: it drops its cache.
    pub epoch: String,
    /// The server's clock.
    pub server_time: Timestamp,
    /// How often a `keep` push comes.
    #[serde(rename = "heartbeat_seconds", serialize_with = "seconds")]
    pub heartbeat: Duration,
    /// Everything that a client could exceed.
    pub limits: LimitsView,
}

impl Connected {
    /// The greeting of a server with these `limits`.
    #[must_use]
    pub fn new(epoch: String, now: Timestamp, limits: &Limits) -> Self {
        Self {
            protocol: VERSION,
            epoch,
            server_time: now,
            heartbeat: limits.heartbeat,
            limits: LimitsView::new(limits),
        }
    }
}

/// The limits of protocol and server, with their units in their names; 0 is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of `Limits` and `hard`, described there")]
pub struct LimitsView {
    pub frame_bytes: usize,
    pub json_depth: usize,
    pub json_fields: usize,
    pub request_id_bytes: usize,
    pub token_bytes: usize,
    pub username_characters_min: usize,
    pub username_characters: usize,
    pub password_characters: usize,
    pub content_bytes: usize,
    pub client_id_characters: usize,
    pub room_name_characters: usize,
    pub topic_characters: usize,
    pub display_name_characters: usize,
    pub device_name_characters: usize,
    pub query_characters: usize,
    pub page_items: u32,
    pub page_bytes: usize,
    pub history_offset: u32,
    pub user_ids: usize,
    pub sync_cursors: usize,
    pub sync_entries: u64,
    pub unread_exact: u64,
    pub behind_entries: u64,
    pub room_members: u32,
    pub presence_room_members: u32,
    pub user_rooms: u32,
    pub user_connections: u32,
    pub connection_requests: usize,
    pub send_rate: RateView,
    pub request_rate: RateView,
    pub flood_refusals: u32,
    pub unreadable_frames: u32,
}

impl LimitsView {
    fn new(limits: &Limits) -> Self {
        Self {
            frame_bytes: hard::FRAME_BYTES,
            json_depth: hard::JSON_DEPTH,
            json_fields: hard::JSON_FIELDS,
            request_id_bytes: hard::REQUEST_ID_BYTES,
            token_bytes: hard::TOKEN_BYTES,
            username_characters_min: hard::USERNAME_CHARACTERS_MIN,
            username_characters: hard::USERNAME_CHARACTERS,
            password_characters: hard::PASSWORD_CHARACTERS,
            content_bytes: limits.content_bytes,
            client_id_characters: hard::CLIENT_ID_CHARACTERS,
            room_name_characters: hard::ROOM_NAME_CHARACTERS,
            topic_characters: hard::TOPIC_CHARACTERS,
            display_name_characters: hard::DISPLAY_NAME_CHARACTERS,
            device_name_characters: hard::DEVICE_NAME_CHARACTERS,
            query_characters: hard::QUERY_CHARACTERS,
            page_items: hard::PAGE_ITEMS,
            page_bytes: hard::PAGE_BYTES,
            history_offset: hard::HISTORY_OFFSET,
            user_ids: hard::USER_IDS,
            sync_cursors: hard::SYNC_CURSORS,
            sync_entries: hard::SYNC_ENTRIES,
            unread_exact: hard::UNREAD_EXACT,
            behind_entries: hard::BEHIND_ENTRIES,
            room_members: limits.room_members,
            presence_room_members: hard::PRESENCE_ROOM_MEMBERS,
            user_rooms: limits.user_rooms,
            user_connections: limits.user_connections,
            connection_requests: limits.connection_requests,
            send_rate: limits.send_rate.into(),
            request_rate: limits.request_rate.into(),
            flood_refusals: limits.flood_refusals,
            unreadable_frames: limits.unreadable_frames,
        }
    }
}

/// A rate; 0 is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RateView {
    /// Sustained.
    pub per_second: u32,
    /// At once after a pause.
    pub burst: u32,
}

impl From<Rate> for RateView {
    fn from(rate: Rate) -> Self {
        Self { per_second: rate.per_second, burst: rate.burst }
    }
}
