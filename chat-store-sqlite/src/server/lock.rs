//! The lock that keeps a second process from serving a database.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::place::{LOCK, beside, private_file};
use crate::error::OpenError;

/// The exclusive lock on a database, as long as this value lives or the process does.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock on the database with this real path.
    pub(crate) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, LOCK);
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
