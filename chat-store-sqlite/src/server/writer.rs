//! The one thread that writes.
//!
//! While it commits, commands gather in its queue; the next commit takes them all,
//! whatever conversations they concern: one transaction, one wait for the disk. Nothing
//! waits for a batch to fill, so an idle store commits a single command at once. A
//! command that fails does not disturb the others: then they are all done again, each
//! with a savepoint. What the commands do is elsewhere.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use chat_core::error::StoreError;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::error::Work;
use crate::server::failure::Failure;

/// Commands that wait; then callers wait. Also the most that one commit takes.
const COMMANDS: usize = 1_024;
/// Bytes of commands after which a commit takes no more.
const COMMIT_BYTES: usize = 1_024 * 1_024;
/// Pages of the write-ahead log after which it is copied into the database: 32 MiB.
const CHECKPOINT_PAGES: i32 = 8_192;

#[cfg(test)]
mod tests;

thread_local! {
    /// Pages in the write-ahead log after the last commit of this thread.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// How much a command asks of a commit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    /// Entries that it appends.
    pub(crate) entries: usize,
    /// About how many bytes it stores.
    pub(crate) bytes: usize,
}

/// The queue in front of the writing thread. Dropping it finishes what is queued.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Command>>>,
    thread: Option<JoinHandle<()>>,
    failure: Failure,
}

impl Writer {
    pub(crate) fn start(connection: Connection, failure: Failure) -> std::io::Result<Self> {
        let (queue, commands) = mpsc::channel(COMMANDS);
        let lane = Lane { connection, failure: failure.clone(), next_checkpoint: CHECKPOINT_PAGES };
        let thread = thread::Builder::new().name("chat-sqlite".into()).spawn(move || lane.run(commands))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), failure })
    }

    /// Does `work` in the next commit and answers when it is durable. It may be rolled back and done again.
    ///
    /// A caller that stops waiting before its command is queued has stored nothing; later the command is
    /// done all the same.
    pub(crate) async fn write<T, F>(&self, size: Size, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Work<T> + Send + 'static,
    {
        self.failure.check().map_err(StoreError::unavailable)?;
        let (reply, answer) = oneshot::channel();
        let command = Write { size, work, result: None, reply };
        let queued = match &self.queue {
            Some(queue) => queue.send(Box::new(command)).await.is_ok(),
            None => false,
        };
        if !queued {
            return Err(StoreError::unavailable("the writing thread has ended"));
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::timeout("the writing thread has ended")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writing thread of the database has panicked");
        }
    }
}

/// What became of a transaction.
#[derive(Debug)]
enum Outcome {
    /// It is durable.
    Committed,
    /// It is rolled back.
    NothingStored(String),
    /// Nobody knows.
    Unknown(String),
}

/// One command of a transaction.
trait Command: Send {
    fn size(&self) -> Size;
    /// Does its work. The error is for the other commands, should it concern them.
    fn run(&mut self, connection: &Connection) -> Result<(), String>;
    fn answer(self: Box<Self>, outcome: &Outcome);
}

struct Write<T, F> {
    size: Size,
    work: F,
    /// Of the last time that the work was done.
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Command for Write<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Work<T> + Send,
{
    fn size(&self) -> Size {
        self.size
    }

    fn run(&mut self, connection: &Connection) -> Result<(), String> {
        // What the work leaves behind in the database is rolled back, and in memory it keeps nothing.
        let result = match catch_unwind(AssertUnwindSafe(|| (self.work)(connection))) {
            Ok(result) => result.map_err(StoreError::from),
            Err(_) => Err(StoreError::corrupt("a write has panicked")),
        };
        let outcome = result.as_ref().map(|_| ()).map_err(ToString::to_string);
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, outcome: &Outcome) {
        let result = match (self.result, outcome) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(answer)), Outcome::Committed) => Ok(answer),
            (_, Outcome::Unknown(reason)) => Err(StoreError::timeout(reason.clone())),
            (_, Outcome::NothingStored(reason)) => Err(StoreError::unavailable(reason.clone())),
            (None, Outcome::Committed) => Err(StoreError::unavailable("the command was not done")),
        };
        // A caller that has gone does not want its answer.
        let _ = self.reply.send(result);
    }
}

/// The writing thread.
struct Lane {
    connection: Connection,
    failure: Failure,
    /// Pages of the write-ahead log at which it is copied next.
    next_checkpoint: i32,
}

impl Lane {
    fn run(mut self, mut commands: mpsc::Receiver<Box<dyn Command>>) {
        self.connection.wal_hook(Some(note_wal_pages));
        let mut batch = Vec::new();
        while let Some(first) = commands.blocking_recv() {
            let mut size = first.size();
            batch.push(first);
            while batch.len() < COMMANDS && size.bytes < COMMIT_BYTES {
                let Ok(command) = commands.try_recv() else { break };
                size.entries += command.size().entries;
                size.bytes += command.size().bytes;
                batch.push(command);
            }
            let outcome = self.transaction(&mut batch, size);
            for command in batch.drain(..) {
                command.answer(&outcome);
            }
            self.checkpoint_if_due();
        }
        self.close();
    }

    fn transaction(&mut self, batch: &mut [Box<dyn Command>], size: Size) -> Outcome {
        if let Err(stopped) = self.failure.check() {
            return Outcome::NothingStored(stopped.to_string());
        }
        let started = Instant::now();
        if let Err(reason) = self.begin_and_run(batch) {
            self.roll_back();
            return Outcome::NothingStored(reason);
        }
        if let Err(error) = self.execute("COMMIT") {
            self.roll_back();
            // Of a full disk we know that the commit's last page was not written.
            if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
                return Outcome::NothingStored(error.to_string());
            }
            self.failure.set(error.to_string());
            return Outcome::Unknown(error.to_string());
        }
        metrics::histogram!("chat_store_commit_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("chat_store_commit_commands").record(batch.len() as f64);
        metrics::histogram!("chat_store_commit_entries").record(size.entries as f64);
        Outcome::Committed
    }

    /// Does the commands of a transaction. An error concerns them all.
    fn begin_and_run(&self, batch: &mut [Box<dyn Command>]) -> Result<(), String> {
        self.begin()?;
        // Savepoints cost a tenth of everything, and commands hardly ever fail.
        if batch.iter_mut().all(|command| command.run(&self.connection).is_ok()) {
            return Ok(());
        }
        self.roll_back();
        self.begin()?;
        batch.iter_mut().try_for_each(|command| self.run_in_savepoint(command.as_mut()))
    }

    fn run_in_savepoint(&self, command: &mut dyn Command) -> Result<(), String> {
        let execute = |sql| self.execute(sql).map_err(|error| error.to_string());
        execute("SAVEPOINT command")?;
        if let Err(reason) = command.run(&self.connection) {
            // A full or failing disk has ended the whole transaction, not only the command.
            if self.connection.is_autocommit() {
                return Err(reason);
            }
            execute("ROLLBACK TO command")?;
        }
        execute("RELEASE command")
    }

    fn begin(&self) -> Result<(), String> {
        self.execute("BEGIN IMMEDIATE").map_err(|error| error.to_string())
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            self.failure.set(format!("a transaction cannot be rolled back: {error}"));
        }
    }

    fn execute(&self, sql: &'static str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Copies the write-ahead log into the database when it has grown long. Runs after
    /// the answers, so that nobody waits for it who need not.
    fn checkpoint_if_due(&mut self) {
        let pages = WAL_PAGES.get();
        if pages < self.next_checkpoint {
            if pages < CHECKPOINT_PAGES {
                self.next_checkpoint = CHECKPOINT_PAGES;
            }
            return;
        }
        // While a reader holds an old state the log cannot start again: then not every commit shall try.
        self.next_checkpoint = pages.saturating_add(CHECKPOINT_PAGES);
        match self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)") {
            Ok(()) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                self.failure.set(format!("the write-ahead log cannot be copied: {error}"));
            }
            Err(error) => tracing::warn!(%error, "the write-ahead log is not copied yet"),
        }
    }

    fn checkpoint(&self, sql: &'static str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(sql)?.query_row([], |_| Ok(()))
    }

    /// Nothing here waits for other processes. If this is the last connection of all, SQLite itself copies the
    /// write-ahead log and removes it; otherwise that is for who closes last.
    fn close(self) {
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database is not closed cleanly; the next start repairs it");
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the type of a hook")]
fn note_wal_pages(_: &Wal, pages: i32) -> Result<(), rusqlite::Error> {
    WAL_PAGES.set(pages);
    Ok(())
}
