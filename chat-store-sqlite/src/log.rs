//! The log: appending entries and reading them. What an event does to members is in `member`.

use chat_core::domain::{
    ClientId, Content, Draft, Entry, EntryBody, Event, Head, Message, MessageKind, RoomName, Seq, Topic,
};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Append, Appended, EntryPage, EntryRange, MessageAnchor, MessagePage, MessageQuery};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use crate::column::{get, integer, role_code};
use crate::error::{Work, WorkError};
use crate::{conversation, member};

/// The key of a conversation's rows in `entries`.
pub(crate) type LogKey = i64;

/// Kinds below this are messages.
macro_rules! first_event {
    () => {
        "16"
    };
}

macro_rules! select_entries {
    ($rest:expr) => {
        concat!(
            "SELECT seq, id, author, sent_at, messages_so_far, kind, client_id, subject, role, name, topic, content \
             FROM entries WHERE conversation = ?1 AND ",
            $rest
        )
    };
}

/// Which messages to count, and how far.
pub(crate) struct Stretch {
    /// Those above this entry,
    pub(crate) after: Seq,
    /// the oldest so many of them,
    pub(crate) limit: u64,
    /// until the count is this.
    pub(crate) bound: u64,
}

/// Appends `drafts` behind `expected`; see the port for the contract.
pub(crate) fn append(
    connection: &Connection,
    conversation: ConversationId,
    expected: Head,
    drafts: Vec<Draft>,
) -> Work<Append> {
    let Some((key, mut head)) = key_and_head(connection, conversation)? else {
        return Err(WorkError::damaged("append to an unknown conversation"));
    };
    if head != expected {
        return Ok(Append::Conflict(head));
    }
    let mut appended = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let entry = draft.at(conversation, head);
        if !insert(connection, key, &entry)? {
            let stored = entry_by_id(connection, key, conversation, entry.id)?
                .ok_or_else(|| WorkError::damaged("an entry is in the index and not in the log"))?;
            appended.push(Appended::Duplicate(stored));
            continue;
        }
        if let EntryBody::Event(event) = &entry.body {
            project(connection, &entry, event)?;
        }
        head = entry.head();
        appended.push(Appended::New(entry));
    }
    Ok(Append::Done(appended))
}

fn project(connection: &Connection, entry: &Entry, event: &Event) -> Work<()> {
    if let Event::Updated { name, topic } = event {
        conversation::update(connection, entry.conversation, name.as_ref(), topic.as_ref())?;
    }
    match event.user() {
        Some(user) => member::project(connection, entry, event, user),
        None => Ok(()),
    }
}

/// Where a conversation's log is and how far it has come; `None` for an unknown conversation.
fn key_and_head(connection: &Connection, conversation: ConversationId) -> Work<Option<(LogKey, Head)>> {
    let Some(key) = conversation::key_of(connection, conversation)? else { return Ok(None) };
    Ok(Some((key, head(connection, key)?)))
}

/// How far a log has come. Every log has an entry.
pub(crate) fn head(connection: &Connection, key: LogKey) -> Work<Head> {
    let sql = "SELECT seq, messages_so_far FROM entries WHERE conversation = ?1 ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    let row = rows.next()?.ok_or_else(|| WorkError::damaged("a conversation has no log"))?;
    Ok(Head { seq: get(row, 0)?, messages: get(row, 1)? })
}

/// Inserts an entry. `false` if the log has one with its id; then nothing happens.
pub(crate) fn insert(connection: &Connection, key: LogKey, entry: &Entry) -> Work<bool> {
    let inserted = match &entry.body {
        EntryBody::Message(message) => insert_message(connection, key, entry, message)?,
        EntryBody::Event(event) => insert_event(connection, key, entry, event)?,
    };
    Ok(inserted == 1)
}

fn insert_message(
    connection: &Connection,
    key: LogKey,
    entry: &Entry,
    message: &Message,
) -> Result<usize, rusqlite::Error> {
    let sql = "INSERT INTO entries (conversation, seq, id, author, sent_at, messages_so_far, kind, client_id, content)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (conversation, id) DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![
        key,
        integer(entry.seq.get()),
        entry.id.as_bytes(),
        entry.by.as_bytes(),
        entry.timestamp.unix_ms(),
        integer(entry.messages_so_far),
        message_code(message.kind),
        message.client_id.as_ref().map(ClientId::as_str),
        message.content.as_str(),
    ])
}

fn insert_event(
    connection: &Connection,
    key: LogKey,
    entry: &Entry,
    event: &Event,
) -> Result<usize, rusqlite::Error> {
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
               name, topic) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
               ON CONFLICT (conversation, id) DO NOTHING";
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
    ])
}

/// The entry with this id.
pub(crate) fn entry_by_id(
    connection: &Connection,
    key: LogKey,
    conversation: ConversationId,
    id: EntryId,
) -> Work<Option<Entry>> {
    let mut statement = connection.prepare_cached(select_entries!("id = ?2"))?;
    let mut rows = statement.query(params![key, id.as_bytes()])?;
    rows.next()?.map(|row| read_entry(row, conversation)).transpose()
}

/// A stretch of the log.
pub(crate) fn entries(
    connection: &Connection,
    conversation: ConversationId,
    range: EntryRange,
) -> Work<EntryPage> {
    let Some(key) = conversation::key_of(connection, conversation)? else { return Ok(EntryPage::default()) };
    let mut page = Page::new(range.limit, range.max_bytes);
    let sql = select_entries!("seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4");
    let bounds =
        params![key, integer(range.after.get()), integer(range.upto.get()), i64::from(range.limit) + 1];
    page.fill(connection, conversation, sql, bounds)?;
    let mut expected = range.after;
    for entry in &page.entries {
        expected = expected.next();
        if entry.seq != expected {
            return Err(WorkError::damaged(format!("conversation {conversation} has no entry {expected}")));
        }
    }
    Ok(EntryPage { entries: page.entries, more: page.is_cut })
}

/// A page of messages.
pub(crate) fn messages(
    connection: &Connection,
    conversation: ConversationId,
    query: MessageQuery,
) -> Work<MessagePage> {
    let Some((key, head)) = key_and_head(connection, conversation)? else {
        return Ok(MessagePage::default());
    };
    let upto = query.upto.min(head.seq);
    let mut page = Page::new(query.limit, query.max_bytes);
    let fetched = i64::from(query.limit) + 1;
    let newest = match query.anchor {
        MessageAnchor::Newest { offset } => message_before(connection, key, upto, offset)?,
        MessageAnchor::Before(seq) => message_before(connection, key, upto.min(seq.previous()), 0)?,
        MessageAnchor::After(seq) => {
            let sql = select_entries!(concat!(
                "seq >= ?2 AND seq <= ?3 AND kind < ",
                first_event!(),
                " ORDER BY seq LIMIT ?4"
            ));
            let first = query.from.max(seq.next());
            let bounds = params![key, integer(first.get()), integer(upto.get()), fetched];
            page.fill(connection, conversation, sql, bounds)?;
            return Ok(MessagePage { entries: page.entries, has_more: page.is_cut });
        }
    };
    if let Some(newest) = newest {
        let sql = select_entries!(concat!(
            "seq >= ?2 AND seq <= ?3 AND kind < ",
            first_event!(),
            " ORDER BY seq DESC LIMIT ?4"
        ));
        let bounds = params![key, integer(query.from.get()), integer(newest.get()), fetched];
        page.fill(connection, conversation, sql, bounds)?;
        page.entries.reverse();
    }
    Ok(MessagePage { entries: page.entries, has_more: page.is_cut })
}

/// The newest message from `from` up to the head.
pub(crate) fn newest_message(
    connection: &Connection,
    key: LogKey,
    conversation: ConversationId,
    (from, head): (Seq, Head),
) -> Work<Option<Entry>> {
    let Some(seq) = message_before(connection, key, head.seq, 0)? else { return Ok(None) };
    if seq < from {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(select_entries!("seq = ?2"))?;
    let mut rows = statement.query([key, integer(seq.get())])?;
    rows.next()?.map(|row| read_entry(row, conversation)).transpose()
}

/// The number of the newest message up to `top` when the newest `offset` of them are skipped.
///
/// The count of messages never falls along the log, so it is found in few steps
/// however many events lie between: first in growing strides, then by halving.
fn message_before(connection: &Connection, key: LogKey, top: Seq, offset: u32) -> Work<Option<Seq>> {
    let wanted = messages_upto(connection, key, top)?.saturating_sub(u64::from(offset));
    if wanted == 0 {
        return Ok(None);
    }
    // Up to `high` there are as many messages as wanted, up to `low` there are not.
    let (mut low, mut high, mut stride) = (Seq::ZERO, top, 1);
    while high > low.next() {
        let probe = high.get().checked_sub(stride).and_then(Seq::new).unwrap_or_default();
        if messages_upto(connection, key, probe)? >= wanted {
            high = probe;
            stride *= 2;
        } else {
            low = probe;
            break;
        }
    }
    while high.since(low) > 1 {
        let middle = Seq::new(low.get() + high.since(low) / 2).unwrap_or(high);
        if messages_upto(connection, key, middle)? >= wanted {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(Some(high))
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
    let sql = concat!(
        "SELECT author FROM entries WHERE conversation = ?1 AND seq > ?2 AND kind < ",
        first_event!(),
        " ORDER BY seq LIMIT ?3"
    );
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

/// A page that fills up.
struct Page {
    entries: Vec<Entry>,
    limit: usize,
    bytes_left: usize,
    /// Whether an entry was left over.
    is_cut: bool,
}

impl Page {
    fn new(limit: u32, max_bytes: usize) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { entries: Vec::new(), limit, bytes_left: max_bytes, is_cut: false }
    }

    /// Takes what fits of the rows of `sql`.
    fn fill(
        &mut self,
        connection: &Connection,
        conversation: ConversationId,
        sql: &'static str,
        bounds: &[&dyn ToSql],
    ) -> Work<()> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(bounds)?;
        while let Some(row) = rows.next()? {
            let entry = read_entry(row, conversation)?;
            let bytes = entry.body.content_bytes();
            let is_too_much = bytes > self.bytes_left && !self.entries.is_empty();
            if self.entries.len() >= self.limit || is_too_much {
                self.is_cut = true;
                break;
            }
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            self.entries.push(entry);
        }
        Ok(())
    }
}

/// Reads a row of [`select_entries`].
fn read_entry(row: &Row<'_>, conversation: ConversationId) -> Work<Entry> {
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
