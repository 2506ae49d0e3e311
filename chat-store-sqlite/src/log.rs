//! The log: appending entries and reading them. How an entry becomes a row is in `entry`; what
//! an event does to members is in `member`.

use chat_core::domain::{Draft, Entry, EntryBody, Event, Head, Seq};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Append, Appended, EntryPage, EntryRange, MessageAnchor, MessagePage, MessageQuery};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::column::{get, integer};
use crate::entry::{self, select_entries};
use crate::entry_ids::RecentIds;
use crate::error::{Work, WorkError};
use crate::{conversation, member};

/// The key of a conversation's rows in `entries`.
pub(crate) type LogKey = i64;

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
    drafts: &[Draft],
) -> Work<Append> {
    let Some((key, mut head)) = key_and_head(connection, conversation)? else {
        return Err(WorkError::damaged("append to an unknown conversation"));
    };
    if head != expected {
        return Ok(Append::Conflict(head));
    }
    let mut ids = RecentIds::read(connection, key, head.seq)?;
    let mut messages = connection.prepare_cached(entry::INSERT_MESSAGE)?;
    let mut appended = Vec::with_capacity(drafts.len());
    for draft in drafts {
        if let Some(seq) = ids.find(draft.id)? {
            appended.push(Appended::Duplicate(entry_at(connection, key, conversation, seq)?));
            continue;
        }
        let entry = draft.clone().at(conversation, head);
        match &entry.body {
            EntryBody::Message(message) => entry::insert_message(&mut messages, key, &entry, message)?,
            EntryBody::Event(event) => {
                entry::insert_event(connection, key, &entry, event)?;
                project(connection, &entry, event)?;
            }
        }
        ids.push(entry.id);
        head = entry.head();
        appended.push(Appended::New(entry));
    }
    ids.index_full_blocks(connection)?;
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

/// How far these logs have come; unknown ones are left out.
pub(crate) fn heads(
    connection: &Connection,
    conversations: &[ConversationId],
) -> Work<Vec<(ConversationId, Head)>> {
    let mut heads = Vec::with_capacity(conversations.len());
    for id in conversations {
        heads.extend(key_and_head(connection, *id)?.map(|(_, head)| (*id, head)));
    }
    Ok(heads)
}

/// How far a log has come. Every log has an entry.
pub(crate) fn head(connection: &Connection, key: LogKey) -> Work<Head> {
    let sql = "SELECT seq, messages_so_far FROM entries WHERE conversation = ?1 ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    let row = rows.next()?.ok_or_else(|| WorkError::damaged("a conversation has no log"))?;
    Ok(Head { seq: get(row, 0)?, messages: get(row, 1)? })
}

/// The entry with this id.
pub(crate) fn entry_with_id(
    connection: &Connection,
    conversation: ConversationId,
    id: EntryId,
) -> Work<Option<Entry>> {
    let Some((key, head)) = key_and_head(connection, conversation)? else { return Ok(None) };
    let seq = RecentIds::read(connection, key, head.seq)?.find(id)?;
    seq.map(|seq| entry_at(connection, key, conversation, seq)).transpose()
}

/// The entry with this number, which is there.
fn entry_at(connection: &Connection, key: LogKey, conversation: ConversationId, seq: Seq) -> Work<Entry> {
    let mut statement = connection.prepare_cached(select_entries!("seq = ?2"))?;
    let mut rows = statement.query([key, integer(seq.get())])?;
    let row = rows.next()?;
    entry::read(row.ok_or_else(|| WorkError::damaged(format!("a log has no entry {seq}")))?, conversation)
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
            let sql = select_entries!("seq >= ?2 AND seq <= ?3 AND kind < 16 ORDER BY seq LIMIT ?4");
            let first = query.from.max(seq.next());
            let bounds = params![key, integer(first.get()), integer(upto.get()), fetched];
            page.fill(connection, conversation, sql, bounds)?;
            return Ok(MessagePage { entries: page.entries, has_more: page.is_cut });
        }
    };
    if let Some(newest) = newest {
        let sql = select_entries!("seq >= ?2 AND seq <= ?3 AND kind < 16 ORDER BY seq DESC LIMIT ?4");
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
    let newest = message_before(connection, key, head.seq, 0)?.filter(|seq| *seq >= from);
    newest.map(|seq| entry_at(connection, key, conversation, seq)).transpose()
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

/// A page that fills up.
struct Page {
    entries: Vec<Entry>,
    limit: usize,
    bytes: usize,
    max_bytes: usize,
    /// Whether an entry was left over.
    is_cut: bool,
}

impl Page {
    fn new(limit: u32, max_bytes: usize) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { entries: Vec::new(), limit, bytes: 0, max_bytes, is_cut: false }
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
            let entry = entry::read(row, conversation)?;
            self.bytes += entry.body.content_bytes();
            let is_too_much = self.bytes > self.max_bytes && !self.entries.is_empty();
            if self.entries.len() >= self.limit || is_too_much {
                self.is_cut = true;
                break;
            }
            self.entries.push(entry);
        }
        Ok(())
    }
}
