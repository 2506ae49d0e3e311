//! Membership: what the log has made of a user in a conversation.

use serde::{Deserialize, Serialize};

use super::{Event, Seq};
use crate::id::UserId;

/// What a member may do; the later, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads and writes.
    #[default]
    Member,
    /// Also invites, removes, bans and renames.
    Admin,
    /// Also gives and takes roles. A room with members always has one.
    Owner,
}

/// Where a user stands in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// May join.
    Invited,
    /// Is a member.
    Joined,
    /// Was a member, or was invited and is not any more.
    Left,
    /// Was removed.
    Removed,
    /// Cannot come back until unbanned.
    Banned,
}

/// A user's row in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user_id: UserId,
    /// Where they stand.
    pub state: MemberState,
    /// Their role; `Role::Member` unless joined.
    pub role: Role,
    /// The entry that made the state: for members their latest join.
    pub since_seq: Seq,
    /// Everything up to here is read. At least the latest join.
    pub read_seq: Seq,
    /// Who invited them, while they are invited.
    pub invited_by: Option<UserId>,
}

impl Member {
    /// Whether the user is a member now.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.state == MemberState::Joined
    }

    /// A member by the first entry, [`Event::Created`]: the creator of a room (its
    /// owner), or one of the two users of a private chat (plain members).
    #[must_use]
    pub fn by_creation(user: UserId, role: Role, seq: Seq) -> Self {
        Self {
            user_id: user,
            state: MemberState::Joined,
            role,
            since_seq: seq,
            read_seq: seq,
            invited_by: None,
        }
    }

    /// What `event` (made by `by`, at `seq`) makes of the row of `user`. `before` is the
    /// row so far, `None` for a user without one. Returns `None` when the event leaves
    /// this row alone. Every store projects its log with this function.
    #[must_use]
    pub fn after(before: Option<Self>, user: UserId, by: UserId, event: &Event, seq: Seq) -> Option<Self> {
        let row = |state, read_seq| Self {
            user_id: user,
            state,
            role: Role::Member,
            since_seq: seq,
            read_seq,
            invited_by: None,
        };
        let read_seq = before.as_ref().map_or(Seq::ZERO, |member| member.read_seq);
        match event {
            Event::Invited { user: of } if *of == user => {
                Some(Self { invited_by: Some(by), ..row(MemberState::Invited, read_seq) })
            }
            Event::Joined { user: of } if *of == user => Some(row(MemberState::Joined, seq.max(read_seq))),
            Event::Left { user: of } if *of == user => Some(row(MemberState::Left, read_seq)),
            Event::Removed { user: of } if *of == user => Some(row(MemberState::Removed, read_seq)),
            Event::Banned { user: of } if *of == user => Some(row(MemberState::Banned, read_seq)),
            Event::Unbanned { user: of } if *of == user => Some(row(MemberState::Left, read_seq)),
            Event::RoleChanged { user: of, role } if *of == user => {
                before.map(|member| Self { role: *role, ..member })
            }
            Event::Created
            | Event::Invited { .. }
            | Event::Joined { .. }
            | Event::Left { .. }
            | Event::Removed { .. }
            | Event::Banned { .. }
            | Event::Unbanned { .. }
            | Event::RoleChanged { .. }
            | Event::Updated { .. } => None,
        }
    }
}
