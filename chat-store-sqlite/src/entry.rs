//! Entries as rows: how they are written and read. Which ones, says `log`.

use chat_core::domain::{ClientId, Content, Entry, EntryBody, Event, Message, MessageKind, RoomName, Topic};
use chat_core::id::{ConversationId, UserId};
use rusqlite::{CachedStatement, Connection, Row, params};

use crate::column::{get, integer, role_code};
use crate::error::{Work, WorkError};
use crate::log::LogKey;

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

pub(crate) use select_entries;

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
            name: get::<Option<String>>(row, 9)?.map(RoomName::new).transpose()?,
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
