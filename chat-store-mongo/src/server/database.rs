//! Sending commands: concerns, deadlines, repetition and what replies tell about time.
//!
//! Every command goes through [`Database`]. The driver must not be interrupted in the middle of a call, so each
//! call is a task of its own that outlives whoever waited for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chat_core::error::StoreError;
use mongodb::Client;
use mongodb::bson::{Bson, Document, RawDocumentBuf, Timestamp, cstr, doc};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::config::{MAJORITY_WAIT, READ_DEADLINE, WRITE_DEADLINE};
use crate::server::breaker::{Advice, Breaker};
use crate::server::error::CallError;
use crate::server::reply::{WriteReply, concern_error};
use crate::table::schema::META;

/// How often the database was found to be away.
pub(crate) const ABSENCES: &str = "chat_store_absences_total";
/// Waits between attempts: the first, doubled up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(320));
/// How long to wait at least before silence says that the database is not there.
const FAIR_WAIT: Duration = Duration::from_secs(1);
/// The part of a read's time in which the server has to be done with it, as a fraction: then it says so itself. Who
/// says nothing for longer is not there, however much it was asked for.
const SERVER_SHARE: (u32, u32) = (7, 8);
/// How long a probe may take.
const PROBE_DEADLINE: Duration = Duration::from_millis(900);

/// What the servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deployment {
    /// One server: durable on one disk.
    Standalone,
    /// Several that elect a primary.
    Replicated,
    /// Such behind a router, which says of an ordered write either that a row failed or that the others are not
    /// durable, and never both.
    Routed,
}

/// What a command does, which says how long it may take and who has to be there for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

/// The database, shared by everything that sends commands.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    database: mongodb::Database,
    deployment: Deployment,
    /// The latest operation that was acknowledged by a majority: seconds in the upper half, a counter in the lower.
    acknowledged: AtomicU64,
    reads: Breaker,
    writes: Breaker,
    barrier: Barrier,
    /// Commands that were sent and have no reply yet.
    calls: TaskTracker,
    tasks: TaskTracker,
}

/// Gathers callers, so that one write serves all who waited before it was sent.
#[derive(Debug, Default)]
struct Barrier {
    asked: AtomicU64,
    served: tokio::sync::Mutex<u64>,
}

impl Database {
    pub(crate) fn new(client: Client, database: &str, deployment: Deployment) -> Self {
        let database = client.database(database);
        let inner = Inner {
            client,
            database,
            deployment,
            acknowledged: AtomicU64::new(0),
            reads: Breaker::default(),
            writes: Breaker::default(),
            barrier: Barrier::default(),
            calls: TaskTracker::new(),
            tasks: TaskTracker::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What the servers are.
    pub(crate) fn deployment(&self) -> Deployment {
        self.inner.deployment
    }

    /// The tasks of this store.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    /// Waits until every command that was sent has its reply, and closes.
    pub(crate) async fn drain(&self) {
        self.inner.calls.close();
        self.inner.calls.wait().await;
        self.close().await;
    }

    /// Ends the tasks of the driver. Those that a runtime takes along when it ends can panic over each other.
    pub(crate) async fn close(&self) {
        self.inner.client.clone().shutdown().immediate(true).await;
    }

    /// Whether calls are refused for the time being, because the database did not answer. Whoever asks while that is
    /// so lets it be found out whether the database is back, as a refused call does.
    pub(crate) fn is_absent(&self) -> bool {
        [&self.inner.reads, &self.inner.writes].into_iter().any(|breaker| self.admit(breaker).is_err())
    }

    /// Sends one command as it is, without a concern and without repeating it.
    pub(crate) async fn command(
        &self,
        command: RawDocumentBuf,
        within: Duration,
    ) -> Result<Document, CallError> {
        self.call(self.inner.database.clone(), command, within).await
    }

    /// As [`command`](Self::command), to the database that holds what concerns all of them.
    pub(crate) async fn admin_command(
        &self,
        command: RawDocumentBuf,
        within: Duration,
    ) -> Result<Document, CallError> {
        self.call(self.inner.client.database("admin"), command, within).await
    }

    /// Sends one command and waits for its reply, but not longer than `within`.
    async fn call(
        &self,
        database: mongodb::Database,
        command: RawDocumentBuf,
        within: Duration,
    ) -> Result<Document, CallError> {
        let call = self.inner.calls.spawn(async move { database.run_raw_command(command).await });
        match timeout(within, call).await {
            Ok(Ok(reply)) => reply.map_err(CallError::from),
            Ok(Err(ended)) => Err(CallError::Unknown(mongodb::error::Error::custom(ended.to_string()))),
            Err(_late) => Err(CallError::Late),
        }
    }

    /// Reads what was acknowledged. Repeated while that helps, until the deadline.
    pub(crate) async fn read(&self, mut command: Document) -> Result<Document, StoreError> {
        command.insert("readConcern", self.read_concern());
        self.repeat(Kind::Read, &command).await.map_err(CallError::of_read)
    }

    /// The rows that a `find` or `aggregate` command answers. They have to fit into one reply of 16 MiB.
    pub(crate) async fn rows(&self, command: Document) -> Result<Vec<Document>, StoreError> {
        let mut reply = self.read(command).await?;
        let rows = match reply.get_document_mut("cursor").ok().and_then(|cursor| cursor.remove("firstBatch"))
        {
            Some(Bson::Array(rows)) => rows,
            _ => return Err(StoreError::corrupt("a reply without rows")),
        };
        let rows = rows.into_iter().map(|row| match row {
            Bson::Document(row) => Ok(row),
            other => Err(StoreError::corrupt(format!("a row that is a {:?}", other.element_type()))),
        });
        rows.collect()
    }

    /// The first row, if there is one.
    pub(crate) async fn row(&self, command: Document) -> Result<Option<Document>, StoreError> {
        Ok(self.rows(command).await?.into_iter().next())
    }

    /// Makes a write that may be made twice, and waits until it is durable. Repeated until the deadline.
    /// A row that could not be written is part of the answer.
    pub(crate) async fn write(&self, command: Document) -> Result<WriteReply, StoreError> {
        let reply = self.write_raw(command).await?;
        Ok(WriteReply::read(&reply))
    }

    /// As [`write`](Self::write); answers the whole reply.
    pub(crate) async fn write_raw(&self, mut command: Document) -> Result<Document, StoreError> {
        command.insert("writeConcern", self.write_concern(MAJORITY_WAIT));
        self.repeat(Kind::Write, &command).await.map_err(CallError::of_write)
    }

    /// Makes a write once, without repeating it, and waits at most `within`. For whoever knows what to do about
    /// each way in which it fails.
    pub(crate) async fn write_once(
        &self,
        command: RawDocumentBuf,
        within: Duration,
    ) -> Result<WriteReply, CallError> {
        self.admit(&self.inner.writes)?;
        let outcome = self.command(command, within).await;
        match &outcome {
            Ok(reply) => match concern_error(reply) {
                None => self.note(reply),
                Some(error) => self.absent(&self.inner.writes, &CallError::NotAcknowledged(error)),
            },
            Err(error) => self.absent(&self.inner.writes, error),
        }
        outcome.map(|reply| WriteReply::read(&reply))
    }

    /// Proves that the primary is one, by a write that a majority has. Reads that begin afterwards see everything
    /// that anybody was told is durable before this was called. A standalone server is never an old primary.
    pub(crate) async fn barrier(&self) -> Result<(), StoreError> {
        match self.inner.deployment {
            Deployment::Standalone => Ok(()),
            Deployment::Replicated | Deployment::Routed => self.write_barrier().await,
        }
    }

    /// Makes durable what was read before this was called: a standalone server answers from its memory, and its
    /// journal is written in order. What a replica set answers is durable.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        match self.inner.deployment {
            Deployment::Standalone => self.write_barrier().await,
            Deployment::Replicated | Deployment::Routed => Ok(()),
        }
    }

    async fn write_barrier(&self) -> Result<(), StoreError> {
        let barrier = &self.inner.barrier;
        let mine = barrier.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut served = barrier.served.lock().await;
        if *served >= mine {
            return Ok(());
        }
        let upto = barrier.asked.load(Ordering::Relaxed);
        let reply = self.write(barrier_command()).await.map_err(|error| match error {
            StoreError::Timeout(source) => StoreError::Unavailable(source),
            other => other,
        })?;
        if let Some(error) = reply.row_error {
            return Err(StoreError::unavailable(error.message));
        }
        *served = upto;
        Ok(())
    }

    /// What makes a write durable here: on the disks of a majority, or on the one disk.
    pub(crate) fn write_concern(&self, wait: Duration) -> Document {
        match self.inner.deployment {
            Deployment::Standalone => doc! { "w": 1, "j": true },
            Deployment::Replicated | Deployment::Routed => {
                let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
                doc! { "w": "majority", "j": true, "wtimeout": wait_ms }
            }
        }
    }

    fn read_concern(&self) -> Document {
        match self.inner.deployment {
            Deployment::Standalone => doc! { "level": "local" },
            Deployment::Replicated | Deployment::Routed => {
                match self.inner.acknowledged.load(Ordering::Acquire) {
                    0 => doc! { "level": "majority" },
                    packed => {
                        let after = Timestamp { time: (packed >> 32) as u32, increment: packed as u32 };
                        doc! { "level": "majority", "afterClusterTime": after }
                    }
                }
            }
        }
    }

    async fn repeat(&self, kind: Kind, command: &Document) -> Result<Document, CallError> {
        let (breaker, deadline) = match kind {
            Kind::Read => (&self.inner.reads, READ_DEADLINE),
            Kind::Write => (&self.inner.writes, WRITE_DEADLINE),
        };
        let begin = Instant::now();
        let (mut pause, longest) = PAUSES;
        let mut was_sent = false;
        loop {
            match self.admit(breaker) {
                // An earlier attempt may have been executed: that this one was not sent says nothing about it.
                Err(_) if was_sent => return Err(CallError::Late),
                admitted => admitted?,
            }
            let left = deadline.saturating_sub(begin.elapsed());
            let mut raw = RawDocumentBuf::try_from(command)
                .map_err(|error| CallError::Refused(mongodb::error::Error::custom(error.to_string())))?;
            if kind == Kind::Read {
                raw.append(cstr!("maxTimeMS"), server_share_ms(left));
            }
            let error = match self.command(raw, left).await {
                Ok(reply) => match concern_error(&reply) {
                    None => {
                        self.note(&reply);
                        return Ok(reply);
                    }
                    Some(error) => CallError::NotAcknowledged(error),
                },
                Err(error) => error,
            };
            // A last attempt that had no time left says nothing about the database.
            if left >= FAIR_WAIT {
                self.absent(breaker, &error);
            }
            // What was once sent may have been executed, whatever the last attempt says.
            was_sent |= !matches!(error, CallError::NotExecuted(_));
            if !error.is_passing() || begin.elapsed() + pause >= deadline {
                return Err(if was_sent && !matches!(error, CallError::Refused(_)) {
                    CallError::Late
                } else {
                    error
                });
            }
            tracing::debug!(error = %error, "a command is repeated");
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    fn admit(&self, breaker: &Breaker) -> Result<(), CallError> {
        match breaker.advice() {
            Advice::Go => Ok(()),
            Advice::Refuse => Err(CallError::NotSent),
            Advice::Probe => {
                let database = self.clone();
                self.inner.tasks.spawn(async move { database.probe().await });
                Err(CallError::NotSent)
            }
        }
    }

    /// Notes that the database is not there, if the error says so. Without a server there is one for nothing,
    /// whoever notices it.
    fn absent(&self, breaker: &Breaker, error: &CallError) {
        if !error.is_absence() {
            return;
        }
        let mut is_news = breaker.open();
        if error.is_no_server() {
            for breaker in [&self.inner.reads, &self.inner.writes] {
                is_news |= breaker.open();
            }
        }
        if is_news {
            metrics::counter!(ABSENCES).increment(1);
            tracing::warn!(error = %error, "MongoDB does not answer; calls are refused until it does");
        }
    }

    /// Finds out whether the database is back: a durable write proves it for reads as well.
    async fn probe(&self) {
        let mut command = barrier_command();
        command.insert("writeConcern", self.write_concern(PROBE_DEADLINE));
        let Ok(command) = RawDocumentBuf::try_from(&command) else { return };
        // The driver may take longer to find a server than a probe may take; then the next probe finds it.
        match self.command(command, PROBE_DEADLINE).await {
            Ok(reply) if concern_error(&reply).is_none() => {
                self.note(&reply);
                self.inner.reads.close();
                self.inner.writes.close();
                tracing::info!("MongoDB answers again");
            }
            Ok(_) => self.inner.reads.close(),
            // Whoever refuses is there. Calls find out by themselves what they may do.
            Err(CallError::Refused(_)) => {
                self.inner.reads.close();
                self.inner.writes.close();
            }
            Err(error) => tracing::debug!(error = %error, "MongoDB still does not answer"),
        }
    }

    /// Remembers the time of an operation that was acknowledged, so that reads from here on see it.
    fn note(&self, reply: &Document) {
        if let Ok(time) = reply.get_timestamp("operationTime") {
            let packed = (u64::from(time.time) << 32) | u64::from(time.increment);
            self.inner.acknowledged.fetch_max(packed, Ordering::AcqRel);
        }
    }
}

/// How long the server may take for a read for which there is so much time left. Never 0, which means for ever.
fn server_share_ms(left: Duration) -> i32 {
    let (part, whole) = SERVER_SHARE;
    i32::try_from((left * part / whole).as_millis()).unwrap_or(i32::MAX).max(1)
}

/// A write that changes nothing anybody reads.
pub(crate) fn barrier_command() -> Document {
    let update = doc! { "q": { "_id": "barrier" }, "u": { "$inc": { "writes": 1_i64 } }, "upsert": true };
    doc! { "update": META, "updates": [update] }
}
