//! The lock file: it keeps a second process from serving a database, and notes which run had it last.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::place::{LOCK, beside, private_file};
use crate::error::OpenError;

/// Characters of a run's name.
const RUN: usize = 32;

/// The exclusive lock on a database, as long as this value lives or the process does.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
    /// The run that was noted when the lock was taken.
    last_run: Option<String>,
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
        let last_run = run_in(&text(&mut file).unwrap_or_default());
        let mut lock = Self { file, last_run: last_run.clone() };
        lock.note_run(last_run.as_deref()).map_err(unusable)?;
        Ok(lock)
    }

    /// The run that had the database before, if it is known.
    pub(crate) fn last_run(&self) -> Option<&str> {
        self.last_run.as_deref()
    }

    /// Notes which run has the database, or that this is not certain; on the disk when it returns.
    pub(crate) fn note_run(&mut self, run: Option<&str>) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        // Who holds the lock is only told to people.
        write!(self.file, "{}\n{}", std::process::id(), run.unwrap_or_default())?;
        self.file.sync_data()
    }
}

/// The run that the lock file of a database names, whoever holds it.
pub(crate) fn noted_run(database: &Path) -> Option<String> {
    run_in(&std::fs::read_to_string(beside(database, LOCK)).ok()?)
}

/// What is no whole name is none: a power failure may leave anything.
fn run_in(text: &str) -> Option<String> {
    let run = text.lines().nth(1)?;
    let is_whole = run.len() == RUN && run.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_whole.then(|| run.to_owned())
}

fn text(file: &mut File) -> std::io::Result<String> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn holder(file: &mut File) -> Option<u32> {
    text(file).ok()?.lines().next()?.trim().parse().ok()
}
