//! The table `members`: the projection of the log's events, and read positions.

use chat_core::domain::{Member, Seq};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::MembershipPage;
use rusqlite::{Connection, Row, params};

use super::column::{get, integer, role_code, state_code};
use crate::error::Work;

macro_rules! select_members {
    ($rest:literal) => {
        concat!("SELECT user_id, state, role, since_seq, read_seq, invited_by FROM members WHERE ", $rest)
    };
}

/// Writes a row.
pub(crate) fn store(connection: &Connection, conversation: ConversationId, member: &Member) -> Work<()> {
    let sql = "INSERT INTO members
                 (conversation, user_id, is_room, state, role, since_seq, read_seq, invited_by)
               SELECT id, ?2, kind <> 2, ?3, ?4, ?5, ?6, ?7 FROM conversations WHERE id = ?1
               ON CONFLICT (conversation, user_id) DO UPDATE SET state = excluded.state, role = excluded.role,
                 since_seq = excluded.since_seq, read_seq = excluded.read_seq, invited_by = excluded.invited_by";
    connection.prepare_cached(sql)?.execute(params![
        conversation.as_bytes(),
        member.user_id.as_bytes(),
        state_code(member.state),
        role_code(member.role),
        integer(member.since_seq.get()),
        integer(member.read_seq.get()),
        member.invited_by.as_ref().map(UserId::as_bytes),
    ])?;
    Ok(())
}

/// A user's row.
pub(crate) fn find(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
) -> Work<Option<Member>> {
    let mut statement = connection.prepare_cached(select_members!("conversation = ?1 AND user_id = ?2"))?;
    let mut rows = statement.query([conversation.as_bytes(), user.as_bytes()])?;
    rows.next()?.map(read_member).transpose()
}

/// Joined members in the order of their ids.
pub(crate) fn members(
    connection: &Connection,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: u32,
) -> Work<Vec<Member>> {
    let sql = select_members!("conversation = ?1 AND user_id > ?2 AND state = 0 ORDER BY user_id LIMIT ?3");
    let mut statement = connection.prepare_cached(sql)?;
    let above = after.as_ref().map_or(&[][..], |user| user.as_bytes());
    let mut rows = statement.query(params![conversation.as_bytes(), above, limit])?;
    let mut members = Vec::new();
    while let Some(row) = rows.next()? {
        members.push(read_member(row)?);
    }
    Ok(members)
}

/// The owners in the order of their ids.
pub(crate) fn owners(connection: &Connection, conversation: ConversationId) -> Work<Vec<UserId>> {
    // The index keeps this from looking at every member.
    let sql = "SELECT user_id FROM members INDEXED BY members_owners
               WHERE conversation = ?1 AND role = 2 AND state = 0 ORDER BY user_id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([conversation.as_bytes()])?;
    let mut owners = Vec::new();
    while let Some(row) = rows.next()? {
        owners.push(get(row, 0)?);
    }
    Ok(owners)
}

/// Moves a read position.
pub(crate) fn set_read_seq(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
    read_seq: Seq,
) -> Work<()> {
    let sql = "UPDATE members SET read_seq = ?3 WHERE conversation = ?1 AND user_id = ?2";
    let row = params![conversation.as_bytes(), user.as_bytes(), integer(read_seq.get())];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// A page of the conversations that a list of the user's has: joined or invited, and not closed.
pub(crate) fn listed(
    connection: &Connection,
    user: UserId,
    page: MembershipPage,
) -> Work<Vec<ConversationId>> {
    let sql = "SELECT m.conversation FROM members m JOIN conversations c ON c.id = m.conversation
               WHERE m.user_id = ?1 AND m.conversation > ?2 AND m.state IN (0, 1) AND m.is_room = ?3
                 AND (c.kind = 2 OR c.member_count > 0)
               ORDER BY m.conversation LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let after = page.after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut rows = statement.query(params![user.as_bytes(), after, page.rooms, page.limit])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        listed.push(get(row, 0)?);
    }
    Ok(listed)
}

/// A page of the conversations that the user is joined in.
pub(crate) fn joined(
    connection: &Connection,
    user: UserId,
    after: Option<ConversationId>,
    limit: u32,
) -> Work<Vec<ConversationId>> {
    let sql = "SELECT conversation FROM members WHERE user_id = ?1 AND conversation > ?2 AND state = 0
               ORDER BY conversation LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut rows = statement.query(params![user.as_bytes(), after, limit])?;
    let mut joined = Vec::new();
    while let Some(row) = rows.next()? {
        joined.push(get(row, 0)?);
    }
    Ok(joined)
}

/// How many rooms a user is joined in.
pub(crate) fn room_count(connection: &Connection, user: UserId) -> Work<u32> {
    let sql = "SELECT count(*) FROM members WHERE user_id = ?1 AND state = 0 AND is_room";
    Ok(connection.prepare_cached(sql)?.query_row([user.as_bytes()], |row| row.get(0))?)
}

/// Whether `is_wanted` says so of any conversation that the user is joined in; stops at the first.
pub(crate) fn any_joined(
    connection: &Connection,
    user: UserId,
    mut is_wanted: impl FnMut(ConversationId) -> bool,
) -> Work<bool> {
    let sql = "SELECT conversation FROM members WHERE user_id = ?1 AND state = 0";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([user.as_bytes()])?;
    while let Some(row) = rows.next()? {
        if is_wanted(get(row, 0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a row of [`select_members`].
fn read_member(row: &Row<'_>) -> Work<Member> {
    Ok(Member {
        user_id: get(row, 0)?,
        state: get(row, 1)?,
        role: get(row, 2)?,
        since_seq: get(row, 3)?,
        read_seq: get(row, 4)?,
        invited_by: get(row, 5)?,
    })
}
