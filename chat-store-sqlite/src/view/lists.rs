//! A user's conversations: the lists, and where the user stands in each.

use chat_core::domain::{Member, Seq, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::{MembershipPage, MyConversation, Standing, Unread};
use rusqlite::Connection;

use super::unread::unread;
use crate::error::{Work, WorkError};
use crate::log::conversation::{self, Stored};
use crate::log::read;
use crate::table::members;

/// A page of what a list of the user's conversations shows.
pub(crate) fn my_conversations(
    connection: &Connection,
    user: UserId,
    page: MembershipPage,
) -> Work<Vec<MyConversation>> {
    let mut mine = Vec::new();
    for id in members::listed(connection, user, page)? {
        let (stored, member) = load_with_member(connection, id, user)?;
        mine.push(as_mine(connection, stored, member)?);
    }
    Ok(mine)
}

/// A page of where the user stands.
pub(crate) fn standings(
    connection: &Connection,
    user: UserId,
    after: Option<ConversationId>,
    limit: u32,
) -> Work<Vec<Standing>> {
    let mut standings = Vec::new();
    for id in members::joined(connection, user, after, limit)? {
        let (stored, member) = load_with_member(connection, id, user)?;
        standings.push(Standing { conversation: stored.conversation, member });
    }
    Ok(standings)
}

fn as_mine(connection: &Connection, stored: Stored, member: Member) -> Work<MyConversation> {
    let Stored { key, conversation } = stored;
    if !member.is_joined() {
        return Ok(MyConversation { conversation, member, last_message: None, unread: Unread::Exactly(0) });
    }
    let from = match conversation.visibility() {
        Visibility::Public => Seq::ZERO,
        Visibility::Private => member.since_seq,
    };
    let last_message = read::newest_message(connection, key, conversation.id, (from, conversation.head))?;
    let unread = unread(connection, key, conversation.head, &member)?;
    Ok(MyConversation { conversation, member, last_message, unread })
}

fn load_with_member(connection: &Connection, id: ConversationId, user: UserId) -> Work<(Stored, Member)> {
    let stored = conversation::load(connection, id)?;
    let member = members::find(connection, id, user)?;
    stored.zip(member).ok_or_else(|| WorkError::damaged("a membership has no conversation"))
}
