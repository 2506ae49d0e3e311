//! From an entry's id to its number.
//!
//! Ids are in no order: an index over them changes a page of its own for almost every entry, which costs
//! more than the entry. So the ids of a log enter the index by the block, sorted, when the block's last
//! entry is appended; the ids of the entries above are looked up in the log itself. What is in the index
//! follows from the head alone.

use chat_core::domain::Seq;
use chat_core::id::EntryId;
use rusqlite::{CachedStatement, Connection};

use crate::error::{Work, WorkError};
use crate::table::column::LogKey;
use crate::table::{entries, entry_ids};

/// Entries of a block. More of them make the index cheaper and the look into the log dearer.
const BLOCK: u64 = 64;

/// The ids of a log that are not in the index.
pub(crate) struct RecentIds<'connection> {
    key: LogKey,
    /// Finds an id in the index.
    lookup: CachedStatement<'connection>,
    /// The last entry whose id is in the index.
    indexed: Seq,
    /// Those of the entries above, in their order.
    ids: Vec<EntryId>,
}

impl<'connection> RecentIds<'connection> {
    /// Reads those of a log with this head.
    pub(crate) fn read(connection: &'connection Connection, key: LogKey, head: Seq) -> Work<Self> {
        let indexed = Seq::new(head.get() / BLOCK * BLOCK).unwrap_or_default();
        let mut ids = Vec::with_capacity(BLOCK as usize * 2);
        entries::ids_above(connection, key, indexed, &mut ids)?;
        if ids.len() as u64 == head.since(indexed) {
            Ok(Self { key, lookup: entry_ids::lookup(connection)?, indexed, ids })
        } else {
            Err(WorkError::damaged("a log has a hole near its head"))
        }
    }

    /// The number of the entry with this id, here or in the index.
    pub(crate) fn find(&mut self, id: EntryId) -> Work<Option<Seq>> {
        if let Some(position) = self.ids.iter().position(|recent| *recent == id) {
            return Ok(Seq::new(self.indexed.get() + 1 + position as u64));
        }
        entry_ids::find(&mut self.lookup, self.key, id)
    }

    /// Adds the id of the entry that was appended next.
    pub(crate) fn push(&mut self, id: EntryId) {
        self.ids.push(id);
    }

    /// Puts the ids of blocks that are full now into the index.
    pub(crate) fn index_full_blocks(self, connection: &Connection) -> Work<()> {
        let first = self.indexed.get() + 1;
        let full = (self.indexed.get() + self.ids.len() as u64) / BLOCK * BLOCK;
        let mut complete: Vec<(EntryId, u64)> =
            self.ids.into_iter().zip(first..).take_while(|(_, seq)| *seq <= full).collect();
        if complete.is_empty() {
            return Ok(());
        }
        complete.sort_unstable();
        entry_ids::insert(connection, self.key, &complete)
    }
}
