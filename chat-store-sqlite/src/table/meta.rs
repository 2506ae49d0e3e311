//! The table `meta`: what holds for the whole database.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

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

/// A database that comes from a backup, or is known to be `replaced` by another copy, holds an older history, and
/// says so by a new epoch.
pub(crate) fn renew_epoch_of_a_backup(
    connection: &Connection,
    replaced: bool,
) -> Result<(), rusqlite::Error> {
    let moment = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let sql = "UPDATE meta SET value = lower(hex(randomblob(16)))
               WHERE name = 'epoch' AND (?1 OR EXISTS (SELECT 1 FROM meta WHERE name = 'backup'))";
    moment.execute(sql, [replaced])?;
    moment.execute("DELETE FROM meta WHERE name = 'backup'", [])?;
    moment.commit()
}

/// Marks a copy of a database as a backup.
pub(crate) fn mark_as_backup(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('backup', 'yes')", []).map(drop)
}

/// Whether this is a backup that nobody has opened as a database yet.
pub(crate) fn is_backup(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.prepare("SELECT 1 FROM meta WHERE name = 'backup'")?.exists([])
}

/// The name of the run that had the database open for writing last.
pub(crate) fn run(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE name = 'run'", [], |row| row.get(0)).optional()
}

/// Begins a run and answers its name.
pub(crate) fn begin_run(connection: &Connection) -> Result<String, rusqlite::Error> {
    let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES ('run', lower(hex(randomblob(16)))) RETURNING value";
    connection.query_row(sql, [], |row| row.get(0))
}
