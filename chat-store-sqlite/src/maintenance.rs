//! What operators do with an open database: back it up, check it.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chat_core::error::StoreError;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio::task::spawn_blocking;

use crate::SqliteStore;
use crate::config::SqliteConfig;
use crate::error::{MaintenanceError, is_damage};
use crate::server::{open, place};
use crate::table::meta;

impl SqliteStore {
    /// Copies the database to `target` while it is used: everything that was acknowledged before the
    /// call, as it was at one moment. The copy appears under its name when it is complete, was found sound
    /// and is on the disk.
    ///
    /// To restore, put the copy in the place of the database while no process has it open, and
    /// remove the `-wal` and `-shm` files beside it (a log that belongs to another file is refused). The restored store names a new epoch, so that clients drop
    /// what they know of the history that is gone.
    ///
    /// # Errors
    /// When the target exists (it is never overwritten), cannot be written, or the database is damaged or
    /// cannot be read.
    pub async fn backup(&self, target: impl Into<PathBuf>) -> Result<(), MaintenanceError> {
        let (store, target) = (self.clone(), target.into());
        spawn_blocking(move || copy(&store.inner.config, &target))
            .await
            .map_err(|_| MaintenanceError::BrokenOff)?
    }

    /// Begins a new epoch and answers its name: whoever opens the database from now on tells clients that it holds
    /// another history than the one they know. For a database that was put back from a copy of which the store
    /// cannot know: one that [`backup`](Self::backup) has not made, with its lock file or in another directory.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub async fn begin_epoch(&self) -> Result<String, StoreError> {
        self.write(meta::renew_epoch).await
    }

    /// Reads the whole database and answers what is wrong with it, at most 100 findings; none if it is
    /// sound. The store works meanwhile.
    ///
    /// # Errors
    /// When the database cannot be read at all.
    pub async fn check_integrity(&self) -> Result<Vec<String>, MaintenanceError> {
        let store = self.clone();
        spawn_blocking(move || Ok(findings(&open::reader_connection(&store.inner.config)?)?))
            .await
            .map_err(|_| MaintenanceError::BrokenOff)?
    }
}

fn copy(config: &SqliteConfig, target: &Path) -> Result<(), MaintenanceError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| MaintenanceError::Io { path, source }
    };
    if fs::symlink_metadata(target).is_ok() {
        return Err(MaintenanceError::Exists(target.into()));
    }
    let target = &place::resolved(target).map_err(failed(target))?;
    let partial = place::beside(target, ".partial");
    if [target, &partial].into_iter().any(|path| place::belongs_to(&config.path, path)) {
        return Err(MaintenanceError::OfTheDatabase(target.clone()));
    }
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&partial)(error)),
        Ok(()) | Err(_) => {}
    }
    let file =
        place::private_file(&partial, OpenOptions::new().create_new(true)).map_err(failed(&partial))?;
    let finished = copy_pages(config, &partial)
        .and_then(|()| file.sync_all().map_err(failed(&partial)))
        .and_then(|()| fs::rename(&partial, target).map_err(failed(target)));
    if finished.is_err() {
        drop(fs::remove_file(&partial)); // what failed first is what matters; the name says that it is no backup
    }
    finished?;
    sync_directory(target).map_err(failed(target))
}

/// Makes the copy and reads it back: copying takes damaged pages as they are.
fn copy_pages(config: &SqliteConfig, partial: &Path) -> Result<(), MaintenanceError> {
    let damaged = |finding: String| MaintenanceError::Damaged { path: config.path.clone(), finding };
    match copy_and_check(config, partial) {
        Ok(None) => Ok(()),
        Ok(Some(finding)) => Err(damaged(finding)),
        Err(error) if is_damage(&error) => Err(damaged(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Answers the first thing that is wrong with the copy.
fn copy_and_check(config: &SqliteConfig, partial: &Path) -> Result<Option<String>, rusqlite::Error> {
    let source = open::reader_connection(config)?;
    let mut copy = Connection::open(partial)?;
    {
        // All pages in one step: they are of one moment, and commits meanwhile do not make it start again.
        let backup = Backup::new(&source, &mut copy)?;
        while backup.step(-1)? != StepResult::Done {
            std::thread::sleep(config.busy_timeout.min(std::time::Duration::from_millis(50)));
        }
    }
    // A backup is one file, without a write-ahead log beside it.
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    meta::mark_as_backup(&copy)?;
    let finding: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    copy.close().map_err(|(_, error)| error)?;
    // A finding names the database in a line of its own, and then what is wrong.
    Ok((finding != "ok").then(|| finding.lines().last().unwrap_or_default().to_owned()))
}

fn sync_directory(target: &Path) -> std::io::Result<()> {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    if cfg!(unix) { File::open(parent.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

/// What is wrong with a database: its pages, its references, and the promises of its logs.
fn findings(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut findings = Vec::new();
    let mut collect = |sql: &str| -> Result<(), rusqlite::Error> {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        for row in rows {
            findings.push(row?);
        }
        Ok(())
    };
    collect("PRAGMA integrity_check(100)")?;
    collect(
        "SELECT 'a row of ' || \"table\" || ' refers to a missing one of ' || parent \
         FROM pragma_foreign_key_check LIMIT 100",
    )?;
    collect(
        "SELECT 'conversation ' || lower(hex(c.id)) || ' has a hole in its log' \
         FROM (SELECT conversation, count(*) AS entries, max(seq) AS head FROM entries GROUP BY conversation) e \
         JOIN conversations c ON c.key = e.conversation WHERE e.entries <> e.head LIMIT 100",
    )?;
    collect(
        "SELECT 'conversation ' || lower(hex(c.id)) || ' does not find its entries by their ids' \
         FROM (SELECT conversation, max(seq) / 64 * 64 AS indexed FROM entries GROUP BY conversation) e \
         JOIN conversations c ON c.key = e.conversation \
         WHERE indexed <> (SELECT count(*) FROM entry_ids i JOIN entries f ON f.conversation = i.conversation \
           AND f.seq = i.seq AND f.id = i.id WHERE i.conversation = e.conversation) LIMIT 100",
    )?;
    collect(
        "SELECT 'conversation ' || lower(hex(id)) || ' counts its members wrongly' FROM conversations c \
         WHERE member_count <> (SELECT count(*) FROM members m WHERE m.conversation = c.id AND m.state = 0) LIMIT 100",
    )?;
    findings.retain(|finding| finding != "ok");
    findings.truncate(100);
    Ok(findings)
}
