//! Members as rows.
//!
//! A row's `_id` is its conversation's id and its user's id, 24 bytes. Beside what a [`Member`] has, a row keeps
//! which entry made it and whether the user was joined before that, so that applying that entry a second time changes
//! nothing; and `joining`, while a join may be on its way (see `log/projection.rs`).

use chat_core::domain::{Member, MemberState, Seq};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, UserId};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use crate::table::entries::{read_role, read_seq, role_name};
use crate::table::row::{Row, object_id, stored_number};
use crate::table::schema::MEMBERS;

/// The state of a row without a member: somebody is about to join who never was here.
pub(crate) const INTENT: &str = "intent";
/// The state of members.
pub(crate) const JOINED: &str = "joined";

/// The `_id` of a row.
pub(crate) fn member_id(conversation: ConversationId, user: UserId) -> Bson {
    let bytes = [&conversation.as_bytes()[..], &user.as_bytes()[..]].concat();
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
}

/// Finds a row to write it. Where members are sharded, by conversation, writes to one row have to say on which shard
/// it is; the `_id` alone does not.
pub(crate) fn member_key(conversation: ConversationId, user: UserId) -> Document {
    doc! { "_id": member_id(conversation, user), "conversation": object_id(conversation.as_bytes()) }
}

/// A row as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberRow {
    pub(crate) conversation: ConversationId,
    pub(crate) user: UserId,
    /// `None` while the user is only about to join for the first time.
    pub(crate) member: Option<Member>,
    /// The entry that made the row what it is; 0 if none has.
    pub(crate) at_seq: Seq,
    /// Whether the user was joined before that entry.
    pub(crate) was_joined: bool,
    /// Whether a join may be on its way.
    pub(crate) is_joining: bool,
}

impl MemberRow {
    pub(crate) fn read(fields: &Document) -> Result<Self, StoreError> {
        let row = Row::new(MEMBERS, fields);
        let user = UserId::from_bytes(row.id("user_id")?);
        let member = match row.text("state")? {
            INTENT => None,
            name => Some(Member {
                user_id: user,
                state: state_of(name).ok_or_else(|| row.damaged("state"))?,
                role: row.required("role", read_role)?,
                since_seq: read_seq(row, "since_seq")?,
                read_seq: read_seq(row, "read_seq")?,
                invited_by: row.optional_id("invited_by")?.map(UserId::from_bytes),
            }),
        };
        Ok(Self {
            conversation: ConversationId::from_bytes(row.id("conversation")?),
            user,
            member,
            at_seq: read_seq(row, "at_seq")?,
            was_joined: row.flag("was_joined")?,
            is_joining: row.flag("joining")?,
        })
    }

    /// Whether the user is joined by this row.
    pub(crate) fn is_joined(&self) -> bool {
        self.member.as_ref().is_some_and(Member::is_joined)
    }
}

/// What an update sets to make the row that of `member`, by the entry `at_seq`.
pub(crate) fn member_fields(
    conversation: ConversationId,
    is_room: bool,
    member: &Member,
    at_seq: Seq,
    was_joined: bool,
) -> Document {
    let listed = matches!(member.state, MemberState::Joined | MemberState::Invited);
    doc! {
        "conversation": object_id(conversation.as_bytes()),
        "user_id": object_id(member.user_id.as_bytes()),
        "is_room": is_room,
        "state": state_name(member.state),
        "role": role_name(member.role),
        "since_seq": stored_number(member.since_seq.get()),
        "read_seq": stored_number(member.read_seq.get()),
        "invited_by": member.invited_by.map(|user| object_id(user.as_bytes())),
        "at_seq": stored_number(at_seq.get()),
        "was_joined": was_joined,
        "joining": false,
        "listed": listed,
    }
}

/// States as they are stored.
pub(crate) fn state_name(state: MemberState) -> &'static str {
    match state {
        MemberState::Joined => JOINED,
        MemberState::Invited => "invited",
        MemberState::Left => "left",
        MemberState::Removed => "removed",
        MemberState::Banned => "banned",
    }
}

fn state_of(name: &str) -> Option<MemberState> {
    use MemberState::{Banned, Invited, Joined, Left, Removed};
    [Joined, Invited, Left, Removed, Banned].into_iter().find(|state| state_name(*state) == name)
}
