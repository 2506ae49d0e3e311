//! Conversations: rooms and private chats are two kinds of one thing.

use serde::{Deserialize, Serialize};

use super::{RoomName, Seq, Topic};
use crate::id::{ConversationId, UserId};
use crate::time::Timestamp;

/// Who may find and join a room. Never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Listed; anybody may join, members read the whole log.
    #[default]
    Public,
    /// Hidden except to members and invitees; members read from their latest join on.
    Private,
}

/// The two users of a private chat, in the order of their ids, so that one
/// pair is always the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    low: UserId,
    high: UserId,
}

impl Pair {
    /// The pair of two different users; `None` if they are the same.
    #[must_use]
    pub fn new(one: UserId, other: UserId) -> Option<Self> {
        match one.cmp(&other) {
            std::cmp::Ordering::Less => Some(Self { low: one, high: other }),
            std::cmp::Ordering::Greater => Some(Self { low: other, high: one }),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// Both users, the lower id first.
    #[must_use]
    pub fn users(self) -> [UserId; 2] {
        [self.low, self.high]
    }

    /// The other one of the two; `None` for a user who is not of this pair.
    #[must_use]
    pub fn peer_of(self, user: UserId) -> Option<UserId> {
        if user == self.low {
            Some(self.high)
        } else if user == self.high {
            Some(self.low)
        } else {
            None
        }
    }
}

/// What kind of conversation it is, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationKind {
    /// A room with a name, roles and a changing membership.
    Room {
        /// The name to show; not unique.
        name: RoomName,
        /// What the room is about; may be empty.
        topic: Topic,
        /// Who may find and join it.
        visibility: Visibility,
    },
    /// The one private chat of two users.
    Private(Pair),
}

/// How far a log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The number of the last entry; 0 when there is none.
    pub seq: Seq,
    /// How many of the entries up to here are messages.
    pub messages: u64,
}

/// A conversation as its log has made it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The conversation.
    pub id: ConversationId,
    /// Room or private chat.
    pub kind: ConversationKind,
    /// Who created it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// How far its log has come.
    pub head: Head,
    /// How many members are joined now.
    pub member_count: u32,
    /// Who owns it now, in the order of their ids. Empty for private chats and closed rooms.
    pub owners: Vec<UserId>,
}

impl Conversation {
    /// The visibility of a room; private chats are private.
    #[must_use]
    pub fn visibility(&self) -> Visibility {
        match &self.kind {
            ConversationKind::Room { visibility, .. } => *visibility,
            ConversationKind::Private(_) => Visibility::Private,
        }
    }

    /// The two users of a private chat; `None` for rooms.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        match &self.kind {
            ConversationKind::Room { .. } => None,
            ConversationKind::Private(pair) => Some(*pair),
        }
    }

    /// A room that its last member has left: nobody can join or find it any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.kind, ConversationKind::Room { .. }) && self.member_count == 0
    }
}
