//! Requests about rooms, their members and private chats.

use serde::Deserialize;

use super::value::{self, ConversationSelector, PageLimit, WireId};
use crate::domain::{Role, RoomName, Seq, Topic, Visibility};
use crate::error::ActionError;
use crate::id::{ConversationId, UserId};
use crate::protocol::{Envelope, field};

/// Creates a room; the caller is its owner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRoom {
    /// Its name.
    pub room_name: RoomName,
    /// Who may find and join it.
    #[serde(default, deserialize_with = "value::name")]
    pub visibility: Visibility,
    /// What it is about; absent: empty.
    pub topic: Option<Topic>,
}

/// A room.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// The room.
    pub room_id: WireId<ConversationId>,
}

/// A room and a page of its members.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetRoom {
    /// The room.
    pub room_id: WireId<ConversationId>,
    /// Only members whose id is above this one.
    pub after: Option<WireId<UserId>>,
    /// At most so many members.
    #[serde(default)]
    pub limit: PageLimit,
}

/// Which rooms to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomScope {
    /// Those that the caller has joined or is invited to.
    #[default]
    Mine,
    /// Those that everybody may find.
    Public,
}

/// A page of rooms.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRooms {
    /// Which rooms.
    #[serde(default, deserialize_with = "value::name")]
    pub scope: RoomScope,
    /// Part of the name; only with [`RoomScope::Public`].
    #[serde(default, deserialize_with = "value::query")]
    pub query: Option<String>,
    /// Only rooms whose id is above this one.
    pub after: Option<WireId<ConversationId>>,
    /// At most so many rooms.
    #[serde(default)]
    pub limit: PageLimit,
}

impl ListRooms {
    pub(in crate::protocol) fn decode(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        let request: Self = field::read(envelope)?;
        if request.query.is_some() && request.scope == RoomScope::Mine {
            return Err(ActionError::invalid("query", "is only for scope public"));
        }
        Ok(request)
    }
}

/// A page of the caller's private chats.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPrivateChats {
    /// Only chats whose id is above this one.
    pub after: Option<WireId<ConversationId>>,
    /// At most so many chats.
    #[serde(default)]
    pub limit: PageLimit,
}

/// A user in a room: invite, remove, ban or unban them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomUser {
    /// The room.
    pub room_id: WireId<ConversationId>,
    /// The user.
    pub user_id: WireId<UserId>,
}

/// Gives a member a role.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRole {
    /// The room.
    pub room_id: WireId<ConversationId>,
    /// The member.
    pub user_id: WireId<UserId>,
    /// The role.
    #[serde(deserialize_with = "value::name")]
    pub role: Role,
}

/// Changes name or topic; at least one of the two is given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateRoom {
    /// The room.
    pub room_id: WireId<ConversationId>,
    /// The new name; absent: it stays.
    pub room_name: Option<RoomName>,
    /// The new topic, which may be empty; absent: it stays.
    pub topic: Option<Topic>,
}

impl UpdateRoom {
    pub(in crate::protocol) fn decode(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        let request: Self = field::read(envelope)?;
        if request.room_name.is_none() && request.topic.is_none() {
            return Err(ActionError::invalid("room_name", "is required, or topic"));
        }
        Ok(request)
    }
}

/// Finds or creates the private chat with a user.
#[derive(Debug, Clone)]
pub enum OpenPrivateChat {
    /// By id.
    UserId(WireId<UserId>),
    /// By name, as typed.
    Username(String),
}

impl OpenPrivateChat {
    pub(in crate::protocol) fn decode(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            user_id: Option<WireId<UserId>>,
            #[serde(default, deserialize_with = "value::some_username")]
            username: Option<String>,
        }
        let fields: Fields = field::read(envelope)?;
        match (fields.user_id, fields.username) {
            (Some(id), None) => Ok(Self::UserId(id)),
            (None, Some(name)) => Ok(Self::Username(name)),
            (None, None) => Err(ActionError::invalid("user_id", "is required, or username")),
            (Some(_), Some(_)) => Err(ActionError::invalid("username", "must not stand beside user_id")),
        }
    }
}

/// Everything up to an entry is read.
#[derive(Debug, Clone)]
pub struct MarkRead {
    /// Which conversation.
    pub conversation: ConversationSelector,
    /// The entry.
    pub seq: Seq,
}

impl MarkRead {
    pub(in crate::protocol) fn decode(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            room_id: Option<WireId<ConversationId>>,
            chat_id: Option<WireId<ConversationId>>,
            seq: Seq,
        }
        let Fields { room_id, chat_id, seq } = field::read(envelope)?;
        Ok(Self { conversation: ConversationSelector::new(room_id, chat_id)?, seq })
    }
}

/// The caller is typing.
#[derive(Debug, Clone)]
pub struct Typing {
    /// Which conversation.
    pub conversation: ConversationSelector,
}

impl Typing {
    pub(in crate::protocol) fn decode(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            room_id: Option<WireId<ConversationId>>,
            chat_id: Option<WireId<ConversationId>>,
        }
        let Fields { room_id, chat_id } = field::read(envelope)?;
        Ok(Self { conversation: ConversationSelector::new(room_id, chat_id)? })
    }
}
