//! The table `meta`: what holds for the whole database.

use rusqlite::Connection;

use crate::error::Work;

/// The name of the history that the database holds.
pub(crate) fn epoch(connection: &Connection) -> Work<String> {
    let sql = "SELECT value FROM meta WHERE name = 'epoch'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Gives the history another name, and answers it.
pub(crate) fn renew_epoch(connection: &Connection) -> Work<String> {
    let sql = "UPDATE meta SET value = lower(hex(randomblob(16))) WHERE name = 'epoch' RETURNING value";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// A database that comes from a backup holds an older history, and says so by a new epoch.
pub(crate) fn renew_epoch_of_a_backup(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE meta SET value = lower(hex(randomblob(16)))
          WHERE name = 'epoch' AND EXISTS (SELECT 1 FROM meta WHERE name = 'backup');
         DELETE FROM meta WHERE name = 'backup';
         COMMIT;",
    )
}

/// Marks a copy of a database as a backup.
pub(crate) fn mark_as_backup(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('backup', 'yes')", []).map(drop)
}
