//! Reading a log: stretches of entries, pages of messages, single ones. How an entry is a row is in `table::entries`.

use chat_core::domain::{Entry, Head, Seq};
use chat_core::id::{ConversationId, EntryId};
use chat_core::port::{EntryPage, EntryRange, MessageAnchor, MessagePage, MessageQuery};
use rusqlite::{Connection, ToSql, params};

use super::entry_ids::RecentIds;
use crate::error::{Work, WorkError};
use crate::table::column::{LogKey, integer};
use crate::table::{conversations, entries};

/// Where a conversation's log is and how far it has come; `None` for an unknown conversation.
pub(super) fn key_and_head(
    connection: &Connection,
    conversation: ConversationId,
) -> Work<Option<(LogKey, Head)>> {
    let Some(key) = conversations::key_of(connection, conversation)? else { return Ok(None) };
    Ok(Some((key, entries::head(connection, key)?)))
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

/// The entry with this id.
pub(crate) fn entry_with_id(
    connection: &Connection,
    conversation: ConversationId,
    id: EntryId,
) -> Work<Option<Entry>> {
    let Some((key, head)) = key_and_head(connection, conversation)? else { return Ok(None) };
    let seq = RecentIds::read(connection, key, head.seq)?.find(id)?;
    seq.map(|seq| entries::at(connection, key, conversation, seq)).transpose()
}

/// A stretch of the log.
pub(crate) fn entries(
    connection: &Connection,
    conversation: ConversationId,
    range: EntryRange,
) -> Work<EntryPage> {
    let Some(key) = conversations::key_of(connection, conversation)? else { return Ok(EntryPage::default()) };
    let mut page = Page::new(range.limit, range.max_bytes);
    let sql = entries::STRETCH;
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
            let sql = entries::MESSAGES_UPWARDS;
            let first = query.from.max(seq.next());
            let bounds = params![key, integer(first.get()), integer(upto.get()), fetched];
            page.fill(connection, conversation, sql, bounds)?;
            return Ok(MessagePage { entries: page.entries, has_more: page.is_cut });
        }
    };
    if let Some(newest) = newest {
        let sql = entries::MESSAGES_DOWNWARDS;
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
    newest.map(|seq| entries::at(connection, key, conversation, seq)).transpose()
}

/// The number of the newest message up to `top` when the newest `offset` of them are skipped.
///
/// The count of messages never falls along the log, so it is found in few steps
/// however many events lie between: first in growing strides, then by halving.
fn message_before(connection: &Connection, key: LogKey, top: Seq, offset: u32) -> Work<Option<Seq>> {
    let wanted = entries::messages_upto(connection, key, top)?.saturating_sub(u64::from(offset));
    if wanted == 0 {
        return Ok(None);
    }
    // Up to `high` there are as many messages as wanted, up to `low` there are not.
    let (mut low, mut high, mut stride) = (Seq::ZERO, top, 1);
    while high > low.next() {
        let probe = high.get().checked_sub(stride).and_then(Seq::new).unwrap_or_default();
        if entries::messages_upto(connection, key, probe)? >= wanted {
            high = probe;
            stride *= 2;
        } else {
            low = probe;
            break;
        }
    }
    while high.since(low) > 1 {
        let middle = Seq::new(low.get() + high.since(low) / 2).unwrap_or(high);
        if entries::messages_upto(connection, key, middle)? >= wanted {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(Some(high))
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
            let entry = entries::read(row, conversation)?;
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
