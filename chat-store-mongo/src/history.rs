//! Reading logs: stretches of entries, and pages of messages.
//!
//! What a page costs does not depend on where it is nor on how long the log is. Numbers of entries are looked up by the
//! index; a run of entries that are no messages (a hundred thousand people joining) is jumped over, because
//! `messages_so_far` says in which half of a stretch the next message is.

use chat_core::domain::{Entry, Seq};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId};
use chat_core::port::{EntryPage, EntryRange, MessageAnchor, MessagePage, MessageQuery};
use mongodb::bson::{Document, doc};

use crate::database::Database;
use crate::entry::{MESSAGE_KINDS, read_entry};
use crate::projection::head;
use crate::query::{find_one, find_page};
use crate::row::{Row, object_id, stored_number};
use crate::schema::MESSAGES;

/// Rows in one reply; a reply is at most 16 MiB.
const ROWS: u32 = 500;
/// Entries beside the wanted number of messages that are looked at before jumping.
const SLACK: u64 = 200;

/// As [`RoomStore::entry`](chat_core::port::RoomStore::entry).
pub(crate) async fn entry(
    database: &Database,
    conversation: ConversationId,
    id: EntryId,
) -> Result<Option<Entry>, StoreError> {
    let filter = doc! { "_id": object_id(id.as_bytes()), "conversation": object_id(conversation.as_bytes()) };
    let find = find_one(MESSAGES, filter);
    database.row(find).await?.as_ref().map(read_entry).transpose()
}

/// As [`RoomStore::entries`](chat_core::port::RoomStore::entries).
pub(crate) async fn entries(
    database: &Database,
    conversation: ConversationId,
    range: EntryRange,
) -> Result<EntryPage, StoreError> {
    let mut page = Page::new(range.limit, range.max_bytes);
    let mut after = range.after;
    let mut is_certain = false;
    while after < range.upto {
        // One more than fits, to know whether there are more.
        let rows = page.room().saturating_add(1).min(ROWS);
        let found = stretch(database, conversation, after, range.upto, rows).await?;
        let is_dense = found.iter().zip(1..).all(|(entry, place)| entry.seq.get() == after.get() + place);
        if !is_dense {
            if is_certain {
                return Err(StoreError::corrupt(format!(
                    "the log of {conversation} has a hole after {after}"
                )));
            }
            // A primary that was deposed and does not know it may show an older log.
            database.barrier().await?;
            is_certain = true;
            continue;
        }
        let is_end = found.len() < rows as usize;
        for entry in found {
            after = entry.seq;
            if !page.take(entry) {
                return Ok(EntryPage { entries: page.entries, more: true });
            }
        }
        if is_end {
            break;
        }
    }
    Ok(EntryPage { entries: page.entries, more: false })
}

/// As [`RoomStore::messages`](chat_core::port::RoomStore::messages).
pub(crate) async fn messages(
    database: &Database,
    conversation: ConversationId,
    query: MessageQuery,
) -> Result<MessagePage, StoreError> {
    let log = Log { database, conversation };
    let first = query.from.max(Seq::ZERO.next());
    let page = match query.anchor {
        MessageAnchor::After(seq) => log.oldest_above(seq.max(first.previous()), &query).await?,
        MessageAnchor::Before(seq) => {
            let below = seq.min(query.upto.next());
            log.newest_below(below, first, Page::new(query.limit, query.max_bytes)).await?
        }
        MessageAnchor::Newest { offset } => {
            let Some(below) = log.below_newest(u64::from(offset), query.upto).await? else {
                return Ok(MessagePage::default());
            };
            log.newest_below(below, first, Page::new(query.limit, query.max_bytes)).await?
        }
    };
    Ok(page)
}

/// The newest message from `first` on.
pub(crate) async fn newest_message(
    database: &Database,
    conversation: ConversationId,
    first: Seq,
) -> Result<Option<Entry>, StoreError> {
    let log = Log { database, conversation };
    let page = log.newest_below(Seq::MAX, first.max(Seq::ZERO.next()), Page::new(1, usize::MAX)).await?;
    Ok(page.entries.into_iter().next())
}

/// How many entries up to and including `seq` are messages. `seq` is at or below the head.
pub(crate) async fn messages_upto(
    database: &Database,
    conversation: ConversationId,
    seq: Seq,
) -> Result<u64, StoreError> {
    Log { database, conversation }.count_upto(seq).await
}

/// Entries above `after` up to `upto`, in order.
async fn stretch(
    database: &Database,
    conversation: ConversationId,
    after: Seq,
    upto: Seq,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let range = doc! { "$gt": stored_number(after.get()), "$lte": stored_number(upto.get()) };
    let rows = database.rows(find(conversation, range, Document::new(), 1, limit)).await?;
    rows.iter().map(read_entry).collect()
}

/// A search of a log by number.
fn find(conversation: ConversationId, seq: Document, also: Document, direction: i32, limit: u32) -> Document {
    let mut filter = doc! { "conversation": object_id(conversation.as_bytes()), "seq": seq };
    filter.extend(also);
    find_page(MESSAGES, filter, doc! { "seq": direction }, limit as usize)
}

/// Entries that fit into a page.
struct Page {
    entries: Vec<Entry>,
    bytes: usize,
    limit: u32,
    max_bytes: usize,
}

impl Page {
    fn new(limit: u32, max_bytes: usize) -> Self {
        Self { entries: Vec::new(), bytes: 0, limit, max_bytes }
    }

    /// How many more entries it may have.
    fn room(&self) -> u32 {
        self.limit.saturating_sub(u32::try_from(self.entries.len()).unwrap_or(u32::MAX))
    }

    /// Answers whether the entry still fitted.
    fn take(&mut self, entry: Entry) -> bool {
        self.bytes += entry.body.content_bytes();
        let is_full = self.room() == 0 || (self.bytes > self.max_bytes && !self.entries.is_empty());
        if !is_full {
            self.entries.push(entry);
        }
        !is_full
    }
}

/// One log, for questions about its messages.
#[derive(Clone, Copy)]
struct Log<'a> {
    database: &'a Database,
    conversation: ConversationId,
}

impl Log<'_> {
    /// The newest messages below `below` and from `first` on.
    async fn newest_below(self, below: Seq, first: Seq, mut page: Page) -> Result<MessagePage, StoreError> {
        let has_more = self.fill_backwards(below, first, &mut page).await?;
        page.entries.reverse();
        Ok(MessagePage { entries: page.entries, has_more })
    }

    /// Answers whether a message was left over.
    async fn fill_backwards(self, below: Seq, first: Seq, page: &mut Page) -> Result<bool, StoreError> {
        let (mut below, mut is_in_log) = (below, false);
        while first < below {
            let wanted = page.room().saturating_add(1).min(ROWS);
            let lowest = Seq::new(below.get().saturating_sub(u64::from(wanted) + SLACK)).unwrap_or_default();
            let lowest = lowest.max(first);
            let range = doc! { "$gte": stored_number(lowest.get()), "$lt": stored_number(below.get()) };
            let rows = self.messages_in(range, -1, wanted).await?;
            let is_whole_window = rows.len() < wanted as usize;
            for entry in rows {
                below = entry.seq;
                if !page.take(entry) {
                    return Ok(true);
                }
            }
            if is_whole_window && !is_in_log {
                // Perhaps there was nothing because the log does not come so far.
                let Some(head) = head(self.database, self.conversation).await? else { return Ok(false) };
                is_in_log = true;
                if head.seq < lowest {
                    below = head.seq.next();
                    continue;
                }
            }
            if is_whole_window {
                below = match self.newest_message_below(lowest, first).await? {
                    Some(seq) => seq.next(),
                    None => return Ok(false),
                };
            }
        }
        Ok(false)
    }

    /// The oldest messages above `after`, as far as the query goes.
    async fn oldest_above(self, after: Seq, query: &MessageQuery) -> Result<MessagePage, StoreError> {
        let mut page = Page::new(query.limit, query.max_bytes);
        let Some(head) = head(self.database, self.conversation).await? else {
            return Ok(MessagePage::default());
        };
        let (mut after, upto) = (after, query.upto.min(head.seq));
        while after < upto {
            let wanted = page.room().saturating_add(1).min(ROWS);
            let highest = Seq::new(after.get() + u64::from(wanted) + SLACK).unwrap_or(Seq::MAX).min(upto);
            let range = doc! { "$gt": stored_number(after.get()), "$lte": stored_number(highest.get()) };
            let rows = self.messages_in(range, 1, wanted).await?;
            let is_whole_window = rows.len() < wanted as usize;
            for entry in rows {
                after = entry.seq;
                if !page.take(entry) {
                    return Ok(MessagePage { entries: page.entries, has_more: true });
                }
            }
            if is_whole_window {
                after = match self.oldest_message_above(highest, upto).await? {
                    Some(seq) => seq.previous(),
                    None => break,
                };
            }
        }
        Ok(MessagePage { entries: page.entries, has_more: false })
    }

    async fn messages_in(
        self,
        range: Document,
        direction: i32,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let kinds = doc! { "type": { "$in": MESSAGE_KINDS.to_vec() } };
        let rows = self.database.rows(find(self.conversation, range, kinds, direction, limit)).await?;
        rows.iter().map(read_entry).collect()
    }

    /// The number above the message from which a page goes down that leaves out the newest `offset` messages; `None`
    /// if there are not so many.
    async fn below_newest(self, offset: u64, upto: Seq) -> Result<Option<Seq>, StoreError> {
        if offset == 0 {
            return Ok(Some(upto.next()));
        }
        let Some(head) = head(self.database, self.conversation).await? else { return Ok(None) };
        let upto = upto.min(head.seq);
        let messages = if upto == head.seq { head.messages } else { self.count_upto(upto).await? };
        match messages.checked_sub(offset) {
            None | Some(0) => Ok(None),
            Some(nth) => Ok(Some(self.seq_of_message(nth, Seq::ZERO.next(), upto).await?.next())),
        }
    }

    /// The newest message from `first` on and below `below`.
    async fn newest_message_below(self, below: Seq, first: Seq) -> Result<Option<Seq>, StoreError> {
        if below <= first {
            return Ok(None);
        }
        let newest = self.count_upto(below.previous()).await?;
        if newest == self.count_upto(first.previous()).await? {
            return Ok(None);
        }
        self.seq_of_message(newest, first, below.previous()).await.map(Some)
    }

    /// The oldest message above `after` and up to `upto`.
    async fn oldest_message_above(self, after: Seq, upto: Seq) -> Result<Option<Seq>, StoreError> {
        if after >= upto {
            return Ok(None);
        }
        let oldest = self.count_upto(after).await? + 1;
        if oldest > self.count_upto(upto).await? {
            return Ok(None);
        }
        self.seq_of_message(oldest, after.next(), upto).await.map(Some)
    }

    /// The number of the `nth` message, which is known to be in this stretch: the first entry that counts so many.
    async fn seq_of_message(self, nth: u64, first: Seq, last: Seq) -> Result<Seq, StoreError> {
        // Its number is its place among the messages, and one more for each event before it.
        let events = last.get().saturating_sub(self.count_upto(last).await?);
        let (mut low, mut high) = (first.get().max(nth), last.get().min(nth + events));
        while low < high {
            let middle = low + (high - low) / 2;
            let middle_seq = Seq::new(middle).unwrap_or(Seq::MAX);
            if self.count_upto(middle_seq).await? >= nth {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(Seq::new(low).unwrap_or(Seq::MAX))
    }

    /// How many entries up to and including this one are messages.
    async fn count_upto(self, seq: Seq) -> Result<u64, StoreError> {
        if seq == Seq::ZERO {
            return Ok(0);
        }
        let range = doc! { "$eq": stored_number(seq.get()) };
        let mut find = find(self.conversation, range, Document::new(), 1, 1);
        find.insert("projection", doc! { "messages_so_far": 1 });
        let row = self.database.row(find).await?;
        let row = row
            .ok_or_else(|| StoreError::corrupt(format!("entry {seq} of {} is missing", self.conversation)))?;
        Row::new(MESSAGES, &row).number("messages_so_far")
    }
}
