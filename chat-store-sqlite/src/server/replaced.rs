//! Notices that the file of a database was replaced, above all by a restored backup.
//!
//! SQLite applies a write-ahead log to whatever file lies beside it: left there by a killed server, the log undoes a
//! restore, or mixes two histories. So each opening for writing begins a run with a random name, which goes into the
//! file itself before the log has anything else, and then into the lock file. A file that names another run than the
//! lock file is not the one that was open here last. A backup says by its mark that it is none.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::lock::FileLock;
use super::place::beside;
use crate::error::OpenError;
use crate::table::meta;

/// Bytes of a write-ahead log without any change.
const EMPTY_LOG: u64 = 32;

/// Whether the file is another than the one that `last_run` had open.
///
/// # Errors
/// It is, and the write-ahead log of the other one is still there.
pub(crate) fn check(database: &Path, last_run: Option<&str>) -> Result<bool, OpenError> {
    // An unreadable file may be one whose changes a power failure cut off: its log has them whole.
    let Ok(file) = without_log(database) else { return Ok(false) };
    let is_replaced = file.is_backup || last_run.is_some_and(|last| file.run.as_deref() != Some(last));
    let has_log = std::fs::metadata(beside(database, "-wal")).is_ok_and(|log| log.len() > EMPTY_LOG);
    if is_replaced && has_log {
        return Err(OpenError::Replaced { path: database.into() });
    }
    Ok(is_replaced)
}

/// Begins a run. Without it the store works, but a replaced file is not noticed.
pub(crate) fn begin_run(connection: &Connection, lock: &mut FileLock) {
    let begun = meta::begin_run(connection).map_err(|error| error.to_string());
    let noted = begun.and_then(|run| match is_log_copied(connection) {
        Ok(true) => lock.note_run(Some(&run)).map_err(|error| error.to_string()),
        Ok(false) => Err("another program reads an older state".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    if let Err(error) = noted {
        tracing::warn!(%error, "a database that is put in the place of this one will not be noticed");
    }
}

/// Copies the write-ahead log into the file, and answers whether all of it is there.
fn is_log_copied(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, pages, copied) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
        Ok(busy == 0 && pages == copied)
    })
}

/// What the file itself says.
#[derive(Debug, Default)]
struct WithoutLog {
    is_backup: bool,
    run: Option<String>,
}

/// Reads the file as if it had no write-ahead log. Through SQLite, because closing a file that it has open
/// elsewhere in this process would end its locks.
fn without_log(database: &Path) -> Result<WithoutLog, rusqlite::Error> {
    if !std::fs::metadata(database).is_ok_and(|file| file.len() > 0) {
        return Ok(WithoutLog::default());
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(address(database), flags)?;
    let has_meta = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta'";
    if file.query_row(has_meta, [], |_| Ok(())).optional()?.is_none() {
        return Ok(WithoutLog::default());
    }
    Ok(WithoutLog { is_backup: meta::is_backup(&file)?, run: meta::run(&file)? })
}

/// The address of a file that SQLite shall take for one that never changes, and that has no log.
fn address(path: &Path) -> String {
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/.-_".contains(byte) {
            address.push(char::from(*byte));
        } else {
            address.push_str(&format!("%{byte:02x}"));
        }
    }
    address + "?immutable=1"
}
