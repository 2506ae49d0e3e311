//! The log of a conversation: entries numbered 1, 2, 3, … without holes.

use serde::{Deserialize, Serialize};

use super::{ClientId, Content, Role, RoomName, Topic};
use crate::id::{ConversationId, EntryId, UserId};
use crate::time::Timestamp;

/// The number of an entry in its conversation, from 1; below 2^53. 0 is "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);
    /// The largest number that every JSON reader keeps exactly: 2^53 - 1.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The number `value`; `None` from 2^53 on.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of the next entry.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number before; 0 stays 0.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many entries come after `earlier` up to this one; 0 if none.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u64::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| serde::de::Error::custom("must be below 2^53"))
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a message's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Text for people.
    #[default]
    Text,
    /// The address or description of a picture.
    Image,
    /// The address or description of a file.
    File,
}

/// A message that a user sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub content: Content,
    /// What that is.
    pub kind: MessageKind,
    /// The sender's own key for it, if the client gave one.
    pub client_id: Option<ClientId>,
}

/// A change of the conversation itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first entry of every log. The creator of a room is its owner from here on;
    /// both users of a private chat are members from here on.
    Created,
    /// `user` may join.
    Invited {
        /// Who was invited.
        user: UserId,
    },
    /// `user` is a member from this entry on.
    Joined {
        /// Who joined.
        user: UserId,
    },
    /// `user` left; this entry is the last they see.
    Left {
        /// Who left.
        user: UserId,
    },
    /// `user` was removed (or an invitation was withdrawn); this entry is the last they see.
    Removed {
        /// Who was removed.
        user: UserId,
    },
    /// `user` was removed if they were a member, and cannot come back.
    Banned {
        /// Who was banned.
        user: UserId,
    },
    /// `user` may join again.
    Unbanned {
        /// Whose ban was lifted.
        user: UserId,
    },
    /// `user` has `role` from this entry on.
    RoleChanged {
        /// Whose role changed.
        user: UserId,
        /// The new role.
        role: Role,
    },
    /// Name or topic changed; what is absent stayed.
    Updated {
        /// The new name.
        name: Option<RoomName>,
        /// The new topic.
        topic: Option<Topic>,
    },
}

impl Event {
    /// The user whom the event is about; `None` for events about the conversation.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Created | Self::Updated { .. } => None,
            Self::Invited { user }
            | Self::Joined { user }
            | Self::Left { user }
            | Self::Removed { user }
            | Self::Banned { user }
            | Self::Unbanned { user }
            | Self::RoleChanged { user, .. } => Some(*user),
        }
    }

    /// The event's `kind` on the wire and in stores.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Invited { .. } => "invited",
            Self::Joined { .. } => "joined",
            Self::Left { .. } => "left",
            Self::Removed { .. } => "removed",
            Self::Banned { .. } => "banned",
            Self::Unbanned { .. } => "unbanned",
            Self::RoleChanged { .. } => "role_changed",
            Self::Updated { .. } => "updated",
        }
    }
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryBody {
    /// A message.
    Message(Message),
    /// A change of the conversation.
    Event(Event),
}

impl EntryBody {
    /// Whether it is a message.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(self, Self::Message(_))
    }

    /// What the entry counts for in the bytes of a page: the bytes of a message's content, 0 for an event.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.content.as_str().len(),
            Self::Event(_) => 0,
        }
    }
}

/// An entry that has no number yet. Its id is fixed when the request arrives and
/// kept through every retry: storing it twice makes one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The key of the entry.
    pub id: EntryId,
    /// Who makes it.
    pub by: UserId,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// What it holds.
    pub body: EntryBody,
}

impl Draft {
    /// The entry that this draft becomes when it follows `head` in `conversation`.
    #[must_use]
    pub fn at(self, conversation: ConversationId, head: super::Head) -> Entry {
        Entry {
            conversation,
            seq: head.seq.next(),
            id: self.id,
            by: self.by,
            timestamp: self.timestamp,
            messages_so_far: head.messages + u64::from(self.body.is_message()),
            body: self.body,
        }
    }
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose log it is in.
    pub conversation: ConversationId,
    /// Its number there.
    pub seq: Seq,
    /// Its key.
    pub id: EntryId,
    /// Who made it: the sender of a message, the actor of an event.
    pub by: UserId,
    /// When it arrived. Order is `seq`, never time.
    pub timestamp: Timestamp,
    /// How many entries up to and including this one are messages.
    pub messages_so_far: u64,
    /// What it holds.
    pub body: EntryBody,
}

impl Entry {
    /// The head of a log that ends with this entry.
    #[must_use]
    pub fn head(&self) -> super::Head {
        super::Head { seq: self.seq, messages: self.messages_so_far }
    }

    /// Whether `draft` would say the same: then it is this entry, sent again.
    /// Times are not compared.
    #[must_use]
    pub fn is_same_as(&self, draft: &Draft) -> bool {
        self.id == draft.id && self.by == draft.by && self.body == draft.body
    }
}
