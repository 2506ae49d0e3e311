//! The table `entries`: entries as rows, and how they are found by their number.

use chat_core::domain::{
    ClientId, Content, Entry, EntryBody, Event, Head, Message, MessageKind, RoomName, Seq, Topic,
};
use chat_core::id::{ConversationId, EntryId, UserId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::column::{LogKey, get, integer, role_code};
use crate::error::{Work, WorkError};

/// Selects entries of a conversation. Kinds below 16 are messages.
macro_rules! select_entries {
    ($rest:literal) => {
        concat!(
            "SELECT seq, id, author, sent_at, messages_so_far, kind, client_id, subject, role, name, topic, content \
             FROM entries WHERE conversation = ?1 AND ",
            $rest
        )
    };
}

/// Entries above ?2 up to ?3, upwards, at most ?4.
pub(crate) const STRETCH: &str = select_entries!("seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4");
/// Messages from ?2 up to ?3, upwards, at most ?4.
pub(crate) const MESSAGES_UPWARDS: &str =
    select_entries!("seq >= ?2 AND seq <= ?3 AND kind < 16 ORDER BY seq LIMIT ?4");
/// Messages from ?2 up to ?3, downwards, at most ?4.
pub(crate) const MESSAGES_DOWNWARDS: &str =
    select_entries!("seq >= ?2 AND seq <= ?3 AND kind < 16 ORDER BY seq DESC LIMIT ?4");

/// Which messages to count, and how far.
pub(crate) struct Stretch {
    /// Those above this entry,
    pub(crate) after: Seq,
    /// the oldest so many of them,
    pub(crate) limit: u64,
    /// until the count is this.
    pub(crate) bound: u64,
}

/// Inserts an entry that is a message; for [`insert_message`].
pub(crate) const INSERT_MESSAGE: &str = "INSERT INTO entries
    (conversation, seq, id, author, sent_at, messages_so_far, kind, client_id, content)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Inserts an entry that is a message.
pub(crate) fn insert_message(
    statement: &mut CachedStatement<'_>,
    key: LogKey,
    entry: &Entry,
    message: &Message,
) -> Work<()> {
    statement.execute(params![
        key,
        integer(entry.seq.get()),
        entry.id.as_bytes(),
        entry.by.as_bytes(),
        entry.timestamp.unix_ms(),
        integer(entry.messages_so_far),
        message_code(message.kind),
        message.client_id.as_ref().map(ClientId::as_str),
        message.content.as_str(),
    ])?;
    Ok(())
}

/// Inserts an entry that is an event.
pub(crate) fn insert_event(connection: &Connection, key: LogKey, entry: &Entry, event: &Event) -> Work<()> {
    let (role, name, topic) = match event {
        Event::RoleChanged { role, .. } => (Some(role_code(*role)), None, None),
        Event::Updated { name, topic } => (None, name.as_ref(), topic.as_ref()),
        Event::Created
        | Event::Invited { .. }
        | Event::Joined { .. }
        | Event::Left { .. }
        | Event::Removed { .. }
        | Event::Banned { .. }
        | Event::Unbanned { .. } => (None, None, None),
    };
    let sql = "INSERT INTO entries (conversation, seq, id, author, sent_at, messages_so_far, kind, subject, role, \
               name, topic) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    connection.prepare_cached(sql)?.execute(params![
        key,
        integer(entry.seq.get()),
        entry.id.as_bytes(),
        entry.by.as_bytes(),
        entry.timestamp.unix_ms(),
        integer(entry.messages_so_far),
        event_code(event),
        event.user().as_ref().map(UserId::as_bytes),
        role,
        name.map(RoomName::as_str),
        topic.map(Topic::as_str),
    ])?;
    Ok(())
}

/// How far a log has come. Every log has an entry.
pub(crate) fn head(connection: &Connection, key: LogKey) -> Work<Head> {
    let sql = "SELECT seq, messages_so_far FROM entries WHERE conversation = ?1 ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    let row = rows.next()?.ok_or_else(|| WorkError::damaged("a conversation has no log"))?;
    Ok(Head { seq: get(row, 0)?, messages: get(row, 1)? })
}

/// The entry with this number, which is there.
pub(crate) fn at(
    connection: &Connection,
    key: LogKey,
    conversation: ConversationId,
    seq: Seq,
) -> Work<Entry> {
    let mut statement = connection.prepare_cached(select_entries!("seq = ?2"))?;
    let mut rows = statement.query([key, integer(seq.get())])?;
    let row = rows.next()?;
    read(row.ok_or_else(|| WorkError::damaged(format!("a log has no entry {seq}")))?, conversation)
}

/// The ids of the entries above `after`, in their order, added to `ids`.
pub(crate) fn ids_above(
    connection: &Connection,
    key: LogKey,
    after: Seq,
    ids: &mut Vec<EntryId>,
) -> Work<()> {
    let sql = "SELECT id FROM entries WHERE conversation = ?1 AND seq > ?2 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key, integer(after.get())])?;
    while let Some(row) = rows.next()? {
        ids.push(get(row, 0)?);
    }
    Ok(())
}

/// How many of the entries up to `seq` are messages. There must be such an entry.
pub(crate) fn messages_upto(connection: &Connection, key: LogKey, seq: Seq) -> Work<u64> {
    if seq == Seq::ZERO {
        return Ok(0);
    }
    let sql = "SELECT messages_so_far FROM entries WHERE conversation = ?1 AND seq = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let count = statement.query_row([key, integer(seq.get())], |row| row.get::<_, i64>(0)).optional()?;
    let count = count.and_then(|count| u64::try_from(count).ok());
    count.ok_or_else(|| WorkError::damaged(format!("a log has no entry {seq}")))
}

/// How many of the oldest `limit` messages above `after` are not by `user`; counts up to `bound`.
pub(crate) fn messages_by_others(
    connection: &Connection,
    key: LogKey,
    user: UserId,
    Stretch { after, limit, bound }: Stretch,
) -> Work<u64> {
    let sql =
        "SELECT author FROM entries WHERE conversation = ?1 AND seq > ?2 AND kind < 16 ORDER BY seq LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key, integer(after.get()), integer(limit)])?;
    let mut others = 0;
    while others < bound
        && let Some(row) = rows.next()?
    {
        others += u64::from(get::<UserId>(row, 0)? != user);
    }
    Ok(others)
}

/// Reads a row of [`select_entries`].
pub(crate) fn read(row: &Row<'_>, conversation: ConversationId) -> Work<Entry> {
    Ok(Entry {
        conversation,
        seq: get(row, 0)?,
        id: get(row, 1)?,
        by: get(row, 2)?,
        timestamp: get(row, 3)?,
        messages_so_far: get(row, 4)?,
        body: read_body(row)?,
    })
}

fn read_body(row: &Row<'_>) -> Work<EntryBody> {
    let message = |kind| -> Work<EntryBody> {
        let client_id = get::<Option<String>>(row, 6)?.map(ClientId::new).transpose()?;
        Ok(EntryBody::Message(Message { content: Content::new(get::<String>(row, 11)?)?, kind, client_id }))
    };
    let user = || get::<UserId>(row, 7);
    let event = match get::<i64>(row, 5)? {
        0 => return message(MessageKind::Text),
        1 => return message(MessageKind::Image),
        2 => return message(MessageKind::File),
        16 => Event::Created,
        17 => Event::Invited { user: user()? },
        18 => Event::Joined { user: user()? },
        19 => Event::Left { user: user()? },
        20 => Event::Removed { user: user()? },
        21 => Event::Banned { user: user()? },
        22 => Event::Unbanned { user: user()? },
        23 => Event::RoleChanged { user: user()?, role: get(row, 8)? },
        24 => Event::Updated {
            name: get::<Option<String>>(row, 9)?.map(RoomName::from_stored).transpose()?,
            topic: get::<Option<String>>(row, 10)?.map(Topic::new).transpose()?,
        },
        other => return Err(WorkError::damaged(format!("{other} is no kind of entry"))),
    };
    Ok(EntryBody::Event(event))
}

fn message_code(kind: MessageKind) -> i64 {
    match kind {
        MessageKind::Text => 0,
        MessageKind::Image => 1,
        MessageKind::File => 2,
    }
}

fn event_code(event: &Event) -> i64 {
    match event {
        Event::Created => 16,
        Event::Invited { .. } => 17,
        Event::Joined { .. } => 18,
        Event::Left { .. } => 19,
        Event::Removed { .. } => 20,
        Event::Banned { .. } => 21,
        Event::Unbanned { .. } => 22,
        Event::RoleChanged { .. } => 23,
        Event::Updated { .. } => 24,
    }
}
