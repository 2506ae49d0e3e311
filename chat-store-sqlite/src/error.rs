//! What can go wrong, and what it means to the caller of a store.

use std::io;
use std::path::PathBuf;

use chat_core::domain::InvalidText;
use chat_core::error::StoreError;
use rusqlite::ErrorCode;

/// Why a database could not be opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or another store of this one) has the database open.
    #[error(
        "{path} is in use{}; stop that process first, or give this one a database of its own",
        holder.map(|id| format!(" by process {id}")).unwrap_or_default()
    )]
    InUse {
        /// The database.
        path: PathBuf,
        /// The process that has it open, where that is known.
        holder: Option<u32>,
    },
    /// The file has a second name (a hard link), and SQLite would keep a write-ahead log for each.
    #[error(
        "{path} has more than one name (hard links), and whoever opens another one damages it; remove the other \
         names, and make copies with `backup`"
    )]
    SeveralNames {
        /// The file, by the name that was given.
        path: PathBuf,
    },
    /// Another file is in the place of the database that was open here last, and the write-ahead log of that one is
    /// still there.
    #[error(
        "{path} was replaced, but the write-ahead log of the database before is still beside it; to use {path} as it \
         is now, move {path}-wal and {path}-shm away; to go on with the database before, put it back in its place"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The file is no SQLite database, or its first page is destroyed.
    #[error("{path} is not a database; choose another path, or restore a backup if it was one")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{path} is a database of another program; choose another path")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program has written the file.
    #[error(
        "{path} was written by a newer version of this program (its format is {found}, this version reads up \
         to {known}); run the newer version, or restore a backup from before the upgrade"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: i64,
        /// The newest format that this version reads.
        known: i64,
    },
    /// There is no file to open beside somebody.
    #[error("there is no database {path}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// An older version of this program has written the file, and only opening it alone brings it up to date.
    #[error(
        "{path} was written by an older version of this program; start this version's server on it first"
    )]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{path} is damaged; restore a backup, or rescue what can be read with `sqlite3 FILE .recover`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        source: rusqlite::Error,
    },
    /// The file system does not offer what a write-ahead log needs.
    #[error("{path} cannot have a write-ahead log; put it on a local disk")]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
    },
    /// The file or its lock cannot be opened.
    #[error("{path} cannot be opened; its directory must exist, and this user must be allowed to write both")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// SQLite refuses for another reason.
    #[error("{path} cannot be opened")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The database could not be brought to this version's format. It is as it was before.
    #[error("{path} cannot be brought to the format of this version; run the version that wrote it")]
    Migration {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: rusqlite_migration::Error,
    },
}

/// Why a backup or a check could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintenanceError {
    /// The target of a backup exists; it is never overwritten.
    #[error("{0} exists already; choose another name")]
    Exists(PathBuf),
    /// A file of the database itself has the name that a backup, or the file in which it grows, would have.
    #[error("{0} cannot be the name of a backup: the database would be in its way; choose another name")]
    OfTheDatabase(PathBuf),
    /// The operating system refuses.
    #[error("{path} cannot be written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The database is damaged, and so would be a backup: none was made.
    #[error(
        "{path} is damaged ({finding}), so no backup was made; restore an earlier one, or rescue what can be \
         read with `sqlite3 FILE .recover`"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The first thing that SQLite found.
        finding: String,
    },
    /// SQLite refuses.
    #[error("the database cannot be read or copied")]
    Sqlite(#[from] rusqlite::Error),
    /// The work was broken off, because the runtime ends.
    #[error("broken off")]
    BrokenOff,
}

/// The store has stopped for good: a commit failed, and nobody knows what is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database has stopped after a failed commit: {reason}; check the disk, then start again")]
pub struct Stopped {
    /// What failed.
    pub reason: String,
}

/// What a piece of work on a connection fails with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Damaged(String),
}

/// The result of a piece of work on a connection.
pub(crate) type Work<T> = Result<T, WorkError>;

impl WorkError {
    /// What is stored contradicts itself.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

impl From<InvalidText> for WorkError {
    fn from(error: InvalidText) -> Self {
        Self::Damaged(format!("a stored text {error}"))
    }
}

impl From<WorkError> for StoreError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Sqlite(error) if is_passing(&error) => Self::unavailable(error),
            WorkError::Sqlite(error) => Self::corrupt(error),
            WorkError::Damaged(what) => Self::corrupt(what),
        }
    }
}

/// Whether the data are in the way.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether the same work may succeed later: the disk, the memory or a lock is in the way, not the data.
fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::OperationAborted
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::error::Retry;

    fn retry_of(code: i32) -> Retry {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        StoreError::from(WorkError::from(error)).retry()
    }

    #[test]
    fn a_full_or_failing_disk_may_pass_and_damage_does_not() {
        for code in [rusqlite::ffi::SQLITE_FULL, rusqlite::ffi::SQLITE_IOERR, rusqlite::ffi::SQLITE_BUSY] {
            assert_eq!(retry_of(code), Retry::Safe);
        }
        for code in [rusqlite::ffi::SQLITE_CORRUPT, rusqlite::ffi::SQLITE_NOTADB] {
            assert_eq!(retry_of(code), Retry::Never);
        }
    }
}
