//! Opening a database file: the checks, the settings of connections, the migrations.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations};

use crate::config::{Durability, SqliteConfig};
use crate::error::OpenError;
use crate::server::lock::{self, FileLock};
use crate::server::place::{self, private_file};
use crate::server::replaced;
use crate::table::meta;

/// "CHAT", in the header of every database of this program.
const APPLICATION_ID: i64 = 0x4348_4154;
/// Prepared statements that a connection keeps; above the number of statements in this crate.
const STATEMENTS: usize = 96;

/// The numbered steps from an empty file to the format of this version. A step that was released never changes.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("../../migrations/0001_initial.sql")),
    M::up(include_str!("../../migrations/0002_names_fold_fully.sql")),
];

pub(crate) fn migrations() -> Migrations<'static> {
    Migrations::from_slice(STEPS)
}

/// The same settings with the database's real path.
pub(crate) fn resolved(config: SqliteConfig) -> Result<SqliteConfig, OpenError> {
    Ok(SqliteConfig { path: place::real_path(&config.path)?, ..config })
}

/// Opens the database for writing, creates it or brings it to this version's format.
pub(crate) fn writer_connection(config: &SqliteConfig, lock: &mut FileLock) -> Result<Connection, OpenError> {
    let path = &config.path;
    let is_replaced = replaced::check(path, lock.last_run())?;
    match private_file(path, OpenOptions::new().create_new(true)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(source) => return Err(OpenError::Io { path: path.clone(), source }),
    }
    let failed = |source| sqlite_error(path, source);
    let mut connection = connect(config).map_err(failed)?;
    let is_new = check_origin(&connection, path)? == Origin::Empty;
    // From here until the file names the new run nobody can tell by its name.
    lock.note_run(None).map_err(|source| OpenError::Io { path: path.clone(), source })?;
    if !is_new {
        // Before there is a write-ahead log: a backup with a log beside it is refused.
        meta::renew_epoch_of_a_backup(&connection, is_replaced).map_err(failed)?;
    }
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
    replaced::begin_run(&connection, lock);
    Ok(connection)
}

/// Opens a database that another process may have open, as it is.
pub(crate) fn connection_beside(config: &SqliteConfig) -> Result<Connection, OpenError> {
    let path = &config.path;
    let noted = lock::noted_run(path);
    if let Err(replaced) = replaced::check(path, noted.as_deref())
        && lock::noted_run(path) == noted
    {
        return Err(replaced); // and no server began a run meanwhile
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

/// Where a file comes from.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    /// Nowhere: nothing is in it.
    Empty,
    /// This program.
    Ours,
}

/// Refuses files that this version must not touch, before anything is changed.
fn check_origin(connection: &Connection, path: &Path) -> Result<Origin, OpenError> {
    let pragma = |name| {
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        value.map_err(|source| sqlite_error(path, source))
    };
    let is_empty = pragma("schema_version")? == 0;
    if is_empty {
        return Ok(Origin::Empty);
    }
    if pragma("application_id")? != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.into() });
    }
    let (found, known) = (pragma("user_version")?, i64::try_from(STEPS.len()).unwrap_or(i64::MAX));
    if found > known {
        return Err(OpenError::Newer { path: path.into(), found, known });
    }
    Ok(Origin::Ours)
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
