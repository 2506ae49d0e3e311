//! The table `entry_ids`: the index from an entry's id to its number. Which ids are in it, says `log::entry_ids`.

use chat_core::domain::Seq;
use chat_core::id::EntryId;
use rusqlite::{CachedStatement, Connection, params};

use super::column::{LogKey, get, integer};
use crate::error::Work;

/// Prepares [`find`].
pub(crate) fn lookup(connection: &Connection) -> Work<CachedStatement<'_>> {
    let sql = "SELECT seq FROM entry_ids WHERE conversation = ?1 AND id = ?2";
    Ok(connection.prepare_cached(sql)?)
}

/// The number of the entry with this id, if it is in the index.
pub(crate) fn find(lookup: &mut CachedStatement<'_>, key: LogKey, id: EntryId) -> Work<Option<Seq>> {
    let mut rows = lookup.query(params![key, id.as_bytes()])?;
    rows.next()?.map(|row| get(row, 0)).transpose()
}

/// Adds ids; cheapest in their order.
pub(crate) fn insert(connection: &Connection, key: LogKey, ids: &[(EntryId, u64)]) -> Work<()> {
    let sql = "INSERT INTO entry_ids (conversation, id, seq) VALUES (?1, ?2, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    for (id, seq) in ids {
        statement.execute(params![key, id.as_bytes(), integer(*seq)])?;
    }
    Ok(())
}
