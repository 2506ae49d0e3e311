//! Reading logs: single entries, stretches of them, and what is known of a log at one of its entries. Pages of
//! messages are in `messages.rs`.
//!
//! A log is read by the numbers of its entries, which the index `log` finds; so what a page costs depends neither on
//! where it is nor on how long the log is. Logs have no holes. If an entry is missing nevertheless, a server that
//! is no primary any more may have answered: the log is read once more behind a barrier.

use std::collections::HashSet;

use chat_core::domain::{Entry, Head, Seq};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId};
use chat_core::port::{EntryPage, EntryRange};
use mongodb::bson::{Bson, Document, doc};

use crate::server::database::Database;
use crate::server::query::{find_one, find_page};
use crate::table::entries::{read_entry, read_seq};
use crate::table::row::{Row, object_id, stored_number};
use crate::table::schema::MESSAGES;

/// Rows in one reply. A reply is at most 16 MiB, so these fit whatever they hold.
pub(crate) const ROWS: u32 = 500;
/// Rows in the first reply for a page, which may end after few large contents.
const FIRST_ROWS: u32 = 128;

/// As [`RoomStore::entry`](chat_core::port::RoomStore::entry).
pub(crate) async fn entry(
    database: &Database,
    conversation: ConversationId,
    id: EntryId,
) -> Result<Option<Entry>, StoreError> {
    let filter = doc! { "_id": object_id(id.as_bytes()), "conversation": object_id(conversation.as_bytes()) };
    let mut find = find_one(MESSAGES, filter);
    // Not the conversation's whole log.
    find.insert("hint", doc! { "_id": 1 });
    let Some(row) = database.row(find).await? else { return Ok(None) };
    // Whoever asks for an entry by its id tells a sender that it is stored.
    database.flush().await?;
    read_entry(&row).map(Some)
}

/// As [`RoomStore::entries`](chat_core::port::RoomStore::entries).
pub(crate) async fn entries(
    database: &Database,
    conversation: ConversationId,
    range: EntryRange,
) -> Result<EntryPage, StoreError> {
    let log = Log::new(database, conversation);
    let mut page = Page::new(range.limit, range.max_bytes);
    let (mut after, mut rows) = (range.after, FIRST_ROWS);
    while after < range.upto {
        let limit = page.room().saturating_add(1).min(rows);
        let found = log.stretch(after, range.upto, limit).await?;
        let is_end = found.len() < limit as usize;
        for entry in found {
            after = entry.seq;
            if !page.take(entry) {
                return Ok(EntryPage { entries: page.entries, more: true });
            }
        }
        if is_end {
            break;
        }
        rows = ROWS;
    }
    Ok(EntryPage { entries: page.entries, more: false })
}

/// Entries that fit into a page.
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    bytes: usize,
    limit: u32,
    max_bytes: usize,
}

impl Page {
    pub(crate) fn new(limit: u32, max_bytes: usize) -> Self {
        Self { entries: Vec::new(), bytes: 0, limit, max_bytes }
    }

    /// How many more entries it may have.
    pub(crate) fn room(&self) -> u32 {
        self.limit.saturating_sub(u32::try_from(self.entries.len()).unwrap_or(u32::MAX))
    }

    /// Answers whether the entry still fitted.
    pub(crate) fn take(&mut self, entry: Entry) -> bool {
        self.bytes += entry.body.content_bytes();
        let is_full = self.room() == 0 || (self.bytes > self.max_bytes && !self.entries.is_empty());
        if !is_full {
            self.entries.push(entry);
        }
        !is_full
    }
}

/// One log, to be read.
#[derive(Clone, Copy)]
pub(crate) struct Log<'a> {
    pub(crate) database: &'a Database,
    pub(crate) conversation: ConversationId,
}

impl<'a> Log<'a> {
    pub(crate) fn new(database: &'a Database, conversation: ConversationId) -> Self {
        Self { database, conversation }
    }

    /// A search for entries by their numbers.
    pub(crate) fn find(self, seq: impl Into<Bson>, direction: i32, limit: usize) -> Document {
        let filter = doc! { "conversation": object_id(self.conversation.as_bytes()), "seq": seq };
        find_page(MESSAGES, filter, doc! { "seq": direction }, limit)
    }

    /// The oldest entries above `after` up to `upto`, without a hole.
    async fn stretch(self, after: Seq, upto: Seq, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let range = doc! { "$gt": stored_number(after.get()), "$lte": stored_number(upto.get()) };
        let find = self.find(range, 1, limit as usize);
        self.read_whole(find, read_entry, |entries| {
            let expected = std::iter::successors(Some(after.next()), |seq| Some(seq.next()));
            entries.iter().zip(expected).find(|(entry, expected)| entry.seq != *expected).map(|pair| pair.1)
        })
        .await
    }

    /// The entries with these numbers, in the order of `direction`.
    pub(crate) async fn entries_at(self, seqs: &[Seq], direction: i32) -> Result<Vec<Entry>, StoreError> {
        let find = self.find(is_one_of(seqs), direction, seqs.len());
        self.read_whole(find, read_entry, |entries| {
            let found: HashSet<Seq> = entries.iter().map(|entry| entry.seq).collect();
            seqs.iter().find(|seq| !found.contains(seq)).copied()
        })
        .await
    }

    /// What a log that ended with each of these entries would have for a head. None of them is above the head.
    pub(crate) async fn heads_at(self, seqs: &[Seq]) -> Result<Vec<Head>, StoreError> {
        let mut find = self.find(is_one_of(seqs), 1, seqs.len());
        find.insert("projection", doc! { "seq": 1, "messages_so_far": 1 });
        self.read_whole(find, read_head, |heads| {
            let found: HashSet<Seq> = heads.iter().map(|head| head.seq).collect();
            seqs.iter().find(|seq| !found.contains(seq)).copied()
        })
        .await
    }

    /// Reads rows of which none may be missing.
    async fn read_whole<T>(
        self,
        find: Document,
        read: impl Fn(&Document) -> Result<T, StoreError>,
        first_missing: impl Fn(&[T]) -> Option<Seq>,
    ) -> Result<Vec<T>, StoreError> {
        let mut is_certain = false;
        loop {
            let rows = self.database.rows(find.clone()).await?;
            let found = rows.iter().map(&read).collect::<Result<Vec<T>, _>>()?;
            match first_missing(&found) {
                None => return Ok(found),
                Some(seq) if is_certain => return Err(self.missing(seq)),
                Some(_) => self.database.barrier().await?,
            }
            is_certain = true;
        }
    }

    /// As [`heads_at`](Self::heads_at), of one entry; of 0 it is the head of an empty log.
    pub(crate) async fn head_at(self, seq: Seq) -> Result<Head, StoreError> {
        if seq == Seq::ZERO {
            return Ok(Head::default());
        }
        let heads = self.heads_at(&[seq]).await?;
        heads.first().copied().ok_or_else(|| self.missing(seq))
    }

    /// The head of the log as it was at `upto`; `None` if it had no entry.
    pub(crate) async fn head_upto(self, upto: Seq) -> Result<Option<Head>, StoreError> {
        let mut find = self.find(doc! { "$gte": 0_i64, "$lte": stored_number(upto.get()) }, -1, 1);
        find.insert("projection", doc! { "seq": 1, "messages_so_far": 1 });
        self.database.row(find).await?.as_ref().map(read_head).transpose()
    }

    /// The error that an entry is not there.
    pub(crate) fn missing(self, seq: Seq) -> StoreError {
        StoreError::corrupt(format!("entry {seq} of {} is missing", self.conversation))
    }
}

fn is_one_of(seqs: &[Seq]) -> Document {
    doc! { "$in": seqs.iter().map(|seq| stored_number(seq.get())).collect::<Vec<_>>() }
}

fn read_head(fields: &Document) -> Result<Head, StoreError> {
    let row = Row::new(MESSAGES, fields);
    Ok(Head { seq: read_seq(row, "seq")?, messages: row.number("messages_so_far")? })
}
