//! Opening a database file: the lock, the checks, the settings of connections, the migrations.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations};

use crate::config::{Durability, SqliteConfig};
use crate::error::OpenError;
use crate::table::meta;

/// "CHAT", in the header of every database of this program.
const APPLICATION_ID: i64 = 0x4348_4154;
/// Prepared statements that a connection keeps; above the number of statements in this crate.
const STATEMENTS: usize = 96;

/// The numbered steps from an empty file to the format of this version. A step that was released never changes.
const STEPS: &[M<'static>] = &[M::up(include_str!("../../migrations/0001_initial.sql"))];

pub(crate) fn migrations() -> Migrations<'static> {
    Migrations::from_slice(STEPS)
}

/// The exclusive lock on a database, as long as this value lives or the process does.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    pub(crate) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let unusable = |source| OpenError::Io { path: path.clone(), source };
        let mut file = private_file(&path, OpenOptions::new().create(true)).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: database.into(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        // Who holds the lock is only told to people.
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// `path` with `suffix` behind its file name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a file for reading and writing; if that creates it, only this user may read it.
pub(crate) fn private_file(path: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.read(true).write(true).open(path)
}

/// Opens the database for writing, creates it or brings it to this version's format.
pub(crate) fn writer_connection(config: &SqliteConfig) -> Result<Connection, OpenError> {
    let path = &config.path;
    match private_file(path, OpenOptions::new().create_new(true)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(source) => return Err(OpenError::Io { path: path.clone(), source }),
    }
    let failed = |source| sqlite_error(path, source);
    let mut connection = connect(config).map_err(failed)?;
    check_origin(&connection, path)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(OpenError::NoWriteAheadLog { path: path.clone() });
    }
    migrations().to_latest(&mut connection).map_err(|error| migration_error(path, error))?;
    let synchronous = match config.durability {
        Durability::SurvivesPowerLoss => "FULL",
        Durability::LosesWritesOnPowerLoss => "NORMAL",
    };
    connection
        .pragma_update(None, "synchronous", synchronous)
        .and_then(|()| set_cache_size(&connection, config.writer_cache_kib))
        .map_err(failed)?;
    meta::renew_epoch_of_a_backup(&connection).map_err(failed)?;
    Ok(connection)
}

/// Opens a database that another process may have open, as it is.
pub(crate) fn connection_beside(config: &SqliteConfig) -> Result<Connection, OpenError> {
    let path = &config.path;
    if !path.exists() {
        return Err(OpenError::Missing { path: path.clone() });
    }
    let failed = |source| sqlite_error(path, source);
    let connection = connect(config).map_err(failed)?;
    check_origin(&connection, path)?;
    let format = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    if format.map_err(failed)? != i64::try_from(STEPS.len()).unwrap_or(i64::MAX) {
        return Err(OpenError::Older { path: path.clone() });
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    Ok(connection)
}

/// Opens another connection to a database that the writer has opened before. It cannot write.
pub(crate) fn reader_connection(config: &SqliteConfig) -> Result<Connection, rusqlite::Error> {
    let connection = connect(config)?;
    set_cache_size(&connection, config.reader_cache_kib)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(config: &SqliteConfig) -> Result<Connection, rusqlite::Error> {
    // Each connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&config.path, flags)?;
    connection.busy_timeout(config.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn set_cache_size(connection: &Connection, kib: u32) -> Result<(), rusqlite::Error> {
    // A negative size is in KiB, a positive one in pages.
    connection.pragma_update(None, "cache_size", -i64::from(kib))
}

/// Refuses files that this version must not touch, before anything is changed.
fn check_origin(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let pragma = |name| {
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        value.map_err(|source| sqlite_error(path, source))
    };
    let is_empty = pragma("schema_version")? == 0;
    if is_empty {
        return Ok(());
    }
    if pragma("application_id")? != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.into() });
    }
    let (found, known) = (pragma("user_version")?, i64::try_from(STEPS.len()).unwrap_or(i64::MAX));
    if found > known {
        return Err(OpenError::Newer { path: path.into(), found, known });
    }
    Ok(())
}

fn sqlite_error(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, source },
        _ => OpenError::Sqlite { path, source },
    }
}

fn migration_error(path: &Path, error: rusqlite_migration::Error) -> OpenError {
    match error {
        rusqlite_migration::Error::RusqliteError { err, query } => match sqlite_error(path, err) {
            OpenError::Sqlite { path, source } => {
                OpenError::Migration { path, source: rusqlite_migration::Error::with_sql(source, &query) }
            }
            clearer => clearer,
        },
        source => OpenError::Migration { path: path.into(), source },
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn migrations_are_valid() {
        super::migrations().validate().unwrap();
    }
}
