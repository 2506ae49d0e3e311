//! The table `conversations`: what is stored of one beside its log and its members.

use chat_core::domain::{ConversationKind, Pair, RoomName, Topic, Visibility, search_folded};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::NewConversation;
use chat_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{LogKey, get};
use crate::error::{Work, WorkError};

macro_rules! select_conversations {
    ($rest:literal) => {
        concat!(
            "SELECT key, id, kind, name, topic, low, high, created_by, created_at, member_count \
             FROM conversations WHERE ",
            $rest
        )
    };
}

/// Finds public rooms. The index holds all of these columns.
const DISCOVER: &str = "SELECT id FROM conversations INDEXED BY conversations_public
               WHERE kind = 0 AND member_count > 0 AND id > ?1 AND instr(name_folded, ?2) > 0
               ORDER BY id LIMIT ?3";

/// A row.
pub(crate) struct ConversationRow {
    /// The key of its log.
    pub(crate) key: LogKey,
    pub(crate) id: ConversationId,
    pub(crate) kind: ConversationKind,
    pub(crate) created_by: UserId,
    pub(crate) created_at: Timestamp,
    /// Members who are joined now.
    pub(crate) member_count: u32,
}

/// Adds a conversation that has no members yet.
pub(crate) fn insert(connection: &Connection, new: &NewConversation) -> Work<LogKey> {
    let (kind, name, topic, pair) = match &new.kind {
        ConversationKind::Room { name, topic, visibility: Visibility::Public } => {
            (0, Some(name), Some(topic), None)
        }
        ConversationKind::Room { name, topic, visibility: Visibility::Private } => {
            (1, Some(name), Some(topic), None)
        }
        ConversationKind::Private(pair) => (2, None, None, Some(pair.users())),
    };
    let sql = "INSERT INTO conversations
                 (id, kind, name, name_folded, topic, low, high, created_by, created_at, member_count)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)";
    connection.prepare_cached(sql)?.execute(params![
        new.id.as_bytes(),
        kind,
        name.map(RoomName::as_str),
        name.map(RoomName::folded),
        topic.map(Topic::as_str),
        pair.as_ref().map(|[low, _]| low.as_bytes()),
        pair.as_ref().map(|[_, high]| high.as_bytes()),
        new.created_by.as_bytes(),
        new.created_at.unix_ms(),
    ])?;
    Ok(connection.last_insert_rowid())
}

/// Changes the name or the topic of a room.
pub(crate) fn update(
    connection: &Connection,
    conversation: ConversationId,
    name: Option<&RoomName>,
    topic: Option<&Topic>,
) -> Work<()> {
    let sql = "UPDATE conversations SET name = coalesce(?2, name), name_folded = coalesce(?3, name_folded),
                 topic = coalesce(?4, topic) WHERE id = ?1 AND kind <> 2";
    connection.prepare_cached(sql)?.execute(params![
        conversation.as_bytes(),
        name.map(RoomName::as_str),
        name.map(RoomName::folded),
        topic.map(Topic::as_str),
    ])?;
    Ok(())
}

/// Counts members who joined, or (below 0) who are joined no more.
pub(crate) fn add_members(connection: &Connection, conversation: ConversationId, more: i64) -> Work<()> {
    if more != 0 {
        let sql = "UPDATE conversations SET member_count = member_count + ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![conversation.as_bytes(), more])?;
    }
    Ok(())
}

/// The key of a conversation's log.
pub(crate) fn key_of(connection: &Connection, conversation: ConversationId) -> Work<Option<LogKey>> {
    let mut statement = connection.prepare_cached("SELECT key FROM conversations WHERE id = ?1")?;
    Ok(statement.query_row([conversation.as_bytes()], |row| row.get(0)).optional()?)
}

/// A conversation.
pub(crate) fn find(connection: &Connection, id: ConversationId) -> Work<Option<ConversationRow>> {
    let mut statement = connection.prepare_cached(select_conversations!("id = ?1"))?;
    let mut rows = statement.query([id.as_bytes()])?;
    rows.next()?.map(read_row).transpose()
}

/// The private chat of two users.
pub(crate) fn of_pair(connection: &Connection, pair: &Pair) -> Work<Option<ConversationRow>> {
    let [low, high] = pair.users();
    // `kind = 2` names the index.
    let sql = select_conversations!("low = ?1 AND high = ?2 AND kind = 2");
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([low.as_bytes(), high.as_bytes()])?;
    rows.next()?.map(read_row).transpose()
}

/// A page of all, by id.
pub(crate) fn page(
    connection: &Connection,
    after: Option<ConversationId>,
    limit: u32,
) -> Work<Vec<ConversationRow>> {
    let sql = select_conversations!("id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(sql)?;
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut rows = statement.query(params![after, limit])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        page.push(read_row(row)?);
    }
    Ok(page)
}

/// A page of the public rooms that somebody is in and that have `text` in their name, by id.
pub(crate) fn public_with(
    connection: &Connection,
    text: &str,
    after: Option<ConversationId>,
    limit: u32,
) -> Work<Vec<ConversationId>> {
    let mut statement = connection.prepare_cached(DISCOVER)?;
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut rows = statement.query(params![after, search_folded(text), limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(get(row, 0)?);
    }
    Ok(found)
}

/// Reads a row of [`select_conversations`].
fn read_row(row: &Row<'_>) -> Work<ConversationRow> {
    Ok(ConversationRow {
        key: get(row, 0)?,
        id: get(row, 1)?,
        kind: read_kind(row)?,
        created_by: get(row, 7)?,
        created_at: get(row, 8)?,
        member_count: get(row, 9)?,
    })
}

fn read_kind(row: &Row<'_>) -> Work<ConversationKind> {
    let visibility = match get::<i64>(row, 2)? {
        0 => Visibility::Public,
        1 => Visibility::Private,
        2 => {
            let pair = Pair::new(get(row, 5)?, get(row, 6)?);
            let pair = pair.ok_or_else(|| WorkError::damaged("a private chat of one user"))?;
            return Ok(ConversationKind::Private(pair));
        }
        other => return Err(WorkError::damaged(format!("{other} is no kind of conversation"))),
    };
    let name = RoomName::from_stored(get::<String>(row, 3)?)?;
    let topic = Topic::new(get::<String>(row, 4)?)?;
    Ok(ConversationKind::Room { name, topic, visibility })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    #[test]
    fn sec_56_a_search_reads_nothing_but_its_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::server::open::migrations().to_latest(&mut connection).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {}", super::DISCOVER);
        let plan: String = connection.query_row(&sql, [0, 0, 0], |row| row.get("detail")).unwrap();
        assert!(plan.starts_with("SEARCH conversations USING COVERING INDEX"), "{plan}");
    }
}
