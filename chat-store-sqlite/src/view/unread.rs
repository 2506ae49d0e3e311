//! Read positions, and how much is unread above them.

use chat_core::domain::{Head, Member, Seq};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::hard;
use chat_core::port::Unread;
use rusqlite::Connection;

use crate::error::Work;
use crate::table::column::LogKey;
use crate::table::entries::{self, Stretch};
use crate::table::{conversations, members};

/// Messages by others above the read position. The difference of the log's counts has the user's own among them,
/// so they are looked at one by one: until the answer need not be exact, or so many were their own that it cannot be.
pub(crate) fn unread(connection: &Connection, key: LogKey, head: Head, member: &Member) -> Work<Unread> {
    let after = member.read_seq.max(member.since_seq);
    let above = head.messages.saturating_sub(entries::messages_upto(connection, key, after)?);
    if above == 0 {
        return Ok(Unread::Exactly(0));
    }
    let limit = above.min(2 * hard::UNREAD_EXACT);
    let stretch = Stretch { after, limit, bound: hard::UNREAD_EXACT + 1 };
    let others = entries::messages_by_others(connection, key, member.user_id, stretch)?;
    if others <= hard::UNREAD_EXACT && limit == above {
        Ok(Unread::Exactly(others))
    } else {
        Ok(Unread::AtLeast(others.min(hard::UNREAD_EXACT)))
    }
}

/// Moves a read position; see the port for the contract.
pub(crate) fn mark_read(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
    seq: Seq,
) -> Work<Option<Seq>> {
    let Some(key) = conversations::key_of(connection, conversation)? else { return Ok(None) };
    let Some(member) = members::find(connection, conversation, user)?.filter(Member::is_joined) else {
        return Ok(None);
    };
    let read_seq = member.read_seq.max(seq.min(entries::head(connection, key)?.seq));
    if read_seq > member.read_seq {
        members::set_read_seq(connection, conversation, user, read_seq)?;
    }
    Ok(Some(read_seq))
}
