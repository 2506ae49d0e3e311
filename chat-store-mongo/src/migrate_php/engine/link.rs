//! The commands of a migration: reading a collection page by page, and writing in large batches.
//!
//! Every write can be made twice, so all of them are repeated until the servers have acknowledged them durably.
//! Several are on their way at a time: while servers flush, the next page is read.

use std::collections::VecDeque;
use std::time::Duration;

use mongodb::bson::raw::{RawArrayBuf, RawBsonRef};
use mongodb::bson::{Bson, Document, RawDocumentBuf, cstr, doc, rawdoc};
use mongodb::error::ErrorKind;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::migrate_php::report::{MigrationError, shown_id};
use crate::server::database::Database;
use crate::server::error::{CallError, OpenError};
use crate::server::reply::{RowError, WriteReply, concern_error};

/// How long one command may take. Builds of indexes have their own limit.
const COMMAND: Duration = Duration::from_secs(120);
/// How long a command is repeated.
const PATIENCE: Duration = Duration::from_secs(120);
/// Waits between attempts: the first, doubled up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a server waits for the majority before it says that it does not know.
const MAJORITY_WAIT: Duration = Duration::from_secs(60);
/// Statements in one command.
const STATEMENTS: usize = 1_000;
/// Bytes of statements in one command, unless one statement has more.
const STATEMENT_BYTES: usize = 4 * 1_024 * 1_024;
/// Commands that are on their way at a time.
const UNDER_WAY: usize = 3;

/// Commands to one database. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    database: Database,
}

impl Link {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Sends a command that may be sent twice, until it is answered.
    pub(crate) async fn ask(&self, command: Document) -> Result<Document, MigrationError> {
        self.repeat(raw(&command)?).await
    }

    /// The rows of a reply.
    pub(crate) async fn rows(&self, command: Document) -> Result<Vec<Document>, MigrationError> {
        let mut reply = self.ask(command).await?;
        let rows = reply.get_document_mut("cursor").ok().and_then(|cursor| cursor.remove("firstBatch"));
        let Some(Bson::Array(rows)) = rows else { return Ok(Vec::new()) };
        Ok(rows
            .into_iter()
            .filter_map(|row| if let Bson::Document(row) = row { Some(row) } else { None })
            .collect())
    }

    /// Roughly how many rows a collection has.
    pub(crate) async fn roughly(&self, collection: &str) -> Result<u64, MigrationError> {
        let reply = self.ask(doc! { "count": collection }).await?;
        Ok(u64::try_from(crate::server::reply::number(&reply, "n")).unwrap_or_default())
    }

    /// Makes one write, durably.
    pub(crate) async fn write(&self, mut command: Document) -> Result<WriteReply, MigrationError> {
        command.insert("writeConcern", self.database.write_concern(MAJORITY_WAIT));
        Ok(WriteReply::read(&self.ask(command).await?))
    }

    async fn repeat(&self, command: RawDocumentBuf) -> Result<Document, MigrationError> {
        let begin = Instant::now();
        let (mut pause, longest) = PAUSES;
        loop {
            let error = match self.database.command(command.clone(), COMMAND).await {
                Ok(reply) => match concern_error(&reply) {
                    None => return Ok(reply),
                    Some(error) => CallError::NotAcknowledged(error),
                },
                Err(error) => error,
            };
            if error.driver_error().is_some_and(is_unreadable) {
                return Err(MigrationError::Unreadable("a row".to_owned()));
            }
            if !error.is_passing() || begin.elapsed() + pause >= PATIENCE {
                return Err(OpenError::from(error).into());
            }
            tracing::debug!(error = %error, "a command is repeated");
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }
}

/// Whether there is a reply, and no text can be made of some bytes in it.
fn is_unreadable(error: &mongodb::error::Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Bson(_) | ErrorKind::BsonDeserialization(_))
}

fn raw(document: &Document) -> Result<RawDocumentBuf, MigrationError> {
    let raw = RawDocumentBuf::try_from(document);
    raw.map_err(|error| OpenError::Refused(error.to_string()).into())
}

/// Reads a collection in the order of an index, page by page.
#[derive(Debug)]
pub(crate) struct Scan {
    link: Link,
    collection: &'static str,
    /// The fields of the index.
    keys: &'static [&'static str],
    projection: Document,
    rows: u32,
    /// The keys of the last row that was read.
    after: Option<Document>,
}

/// In the order of `_id`.
pub(crate) const BY_ID: &[&str] = &["_id"];

impl Scan {
    /// All rows with these fields; the keys have to be among them.
    pub(crate) fn new(
        link: &Link,
        collection: &'static str,
        keys: &'static [&'static str],
        mut projection: Document,
    ) -> Self {
        projection.extend(keys.iter().map(|key| ((*key).to_owned(), Bson::Int32(1))));
        Self::all_fields(link, collection, keys, projection)
    }

    /// All rows with all their fields but these.
    pub(crate) fn all_fields(
        link: &Link,
        collection: &'static str,
        keys: &'static [&'static str],
        projection: Document,
    ) -> Self {
        Self { link: link.clone(), collection, keys, projection, rows: 10_000, after: None }
    }

    /// Reads at most so many rows at once.
    pub(crate) fn rows(mut self, rows: u32) -> Self {
        self.rows = rows;
        self
    }

    /// Goes on behind the row with these keys.
    pub(crate) fn after(mut self, keys: Option<Document>) -> Self {
        self.after = keys;
        self
    }

    /// The keys of the last row that was read.
    pub(crate) fn position(&self) -> Option<Document> {
        self.after.clone()
    }

    /// The next rows; none at the end. What is written meanwhile may or may not be seen.
    pub(crate) async fn next(&mut self) -> Result<Vec<Document>, MigrationError> {
        let order: Document = self.keys.iter().map(|key| ((*key).to_owned(), Bson::Int32(1))).collect();
        // One more, as a page begins with the row at which the last one ended. A reply holds 16 MiB at most, so a page
        // may be shorter.
        let mut find = doc! {
            "find": self.collection,
            "hint": order.clone(),
            "sort": order,
            "projection": self.projection.clone(),
            "limit": i64::from(self.rows) + 1,
            "batchSize": i64::from(self.rows) + 1,
            "singleBatch": true,
        };
        if let Some(after) = &self.after {
            find.insert("min", after.clone());
        }
        let mut rows = self.page(find.clone()).await?;
        if rows.first().is_some_and(|first| {
            self.after.as_ref().is_some_and(|after| is_same(&self.keys_of(first), after))
        }) {
            rows.remove(0);
            if rows.is_empty() {
                // Either this is the end, or the next row does not fit into one reply with the last one.
                find.insert("skip", 1);
                rows = self.page(find).await?;
            }
        }
        if let Some(last) = rows.last() {
            self.after = Some(self.keys_of(last));
        }
        Ok(rows)
    }

    /// The rows of a page; if they cannot be read, which one it is.
    async fn page(&self, mut find: Document) -> Result<Vec<Document>, MigrationError> {
        let unreadable = match self.link.rows(find.clone()).await {
            Err(error @ MigrationError::Unreadable(_)) => error,
            outcome => return outcome,
        };
        find.insert("projection", doc! { "_id": 1 });
        for row in self.link.rows(find).await? {
            let projection = self.projection.clone();
            let one = doc! { "find": self.collection, "filter": row.clone(), "projection": projection, "singleBatch": true };
            if let Err(MigrationError::Unreadable(_)) = self.link.rows(one).await {
                let id = shown_id(row.get("_id"));
                return Err(MigrationError::Unreadable(format!("{} {id}", self.collection)));
            }
        }
        Err(unreadable)
    }

    fn keys_of(&self, row: &Document) -> Document {
        let key = |key: &&str| ((*key).to_owned(), row.get(*key).cloned().unwrap_or(Bson::Null));
        self.keys.iter().map(key).collect()
    }
}

/// Whether two keys are the same, byte by byte: a number that is none equals nothing, not even itself.
fn is_same(one: &Document, other: &Document) -> bool {
    let bytes = |document: &Document| document.to_vec().ok();
    one == other || bytes(one) == bytes(other)
}

/// Gathers statements of `update` commands and sends them in batches.
#[derive(Debug)]
pub(crate) struct Writer {
    link: Link,
    batches: Vec<Batch>,
    under_way: VecDeque<JoinHandle<Result<(), MigrationError>>>,
}

#[derive(Debug)]
struct Batch {
    collection: &'static str,
    statements: Vec<RawDocumentBuf>,
    bytes: usize,
}

impl Writer {
    pub(crate) fn new(link: &Link) -> Self {
        Self { link: link.clone(), batches: Vec::new(), under_way: VecDeque::new() }
    }

    /// Sends a statement with others of its collection. The order of statements is not kept.
    pub(crate) async fn update(
        &mut self,
        collection: &'static str,
        statement: &Document,
    ) -> Result<(), MigrationError> {
        let statement = raw(statement)?;
        let at = match self.batches.iter().position(|batch| batch.collection == collection) {
            Some(at) => at,
            None => {
                self.batches.push(Batch { collection, statements: Vec::new(), bytes: 0 });
                self.batches.len() - 1
            }
        };
        let batch = &mut self.batches[at];
        let bytes = statement.as_bytes().len();
        let full = (batch.statements.len() >= STATEMENTS || batch.bytes + bytes > STATEMENT_BYTES)
            .then(|| std::mem::take(&mut batch.statements));
        if full.is_some() {
            batch.bytes = 0;
        }
        batch.bytes += bytes;
        batch.statements.push(statement);
        match full {
            Some(statements) if !statements.is_empty() => {
                self.send(Batch { collection, statements, bytes: 0 }).await
            }
            _ => Ok(()),
        }
    }

    /// Sends what has been gathered and waits until everything is durable.
    pub(crate) async fn settle(&mut self) -> Result<(), MigrationError> {
        for batch in std::mem::take(&mut self.batches) {
            self.send(batch).await?;
        }
        let mut outcome = Ok(());
        while let Some(command) = self.under_way.pop_front() {
            outcome = outcome.and(ended(command).await);
        }
        outcome
    }

    /// Waits for what was sent; drops what was only gathered.
    pub(crate) async fn abandon(&mut self) {
        self.batches.clear();
        while let Some(command) = self.under_way.pop_front() {
            // The work has failed already, for a reason that came first.
            drop(ended(command).await);
        }
    }

    async fn send(&mut self, batch: Batch) -> Result<(), MigrationError> {
        let link = self.link.clone();
        let tasks = self.link.database.tasks().clone();
        self.under_way.push_back(tasks.spawn(async move { write_batch(&link, batch).await }));
        while self.under_way.len() > UNDER_WAY
            && let Some(oldest) = self.under_way.pop_front()
        {
            ended(oldest).await?;
        }
        Ok(())
    }
}

async fn ended(command: JoinHandle<Result<(), MigrationError>>) -> Result<(), MigrationError> {
    command.await.unwrap_or_else(|error| Err(OpenError::Unreachable(error.to_string()).into()))
}

async fn write_batch(link: &Link, batch: Batch) -> Result<(), MigrationError> {
    let mut statements = RawArrayBuf::new();
    for statement in &batch.statements {
        statements.push(statement.clone());
    }
    let mut command = rawdoc! { "update": batch.collection, "ordered": false };
    command.append(cstr!("updates"), statements);
    command.append(cstr!("writeConcern"), raw(&link.database.write_concern(MAJORITY_WAIT))?);
    let mut reply = WriteReply::read(&link.repeat(command.clone()).await?);
    if reply.row_error.as_ref().is_some_and(RowError::is_duplicate) {
        // Another run may have inserted the same row at the same moment; then it is there now.
        reply = WriteReply::read(&link.repeat(command).await?);
    }
    match reply.row_error {
        None => Ok(()),
        Some(error) => {
            let statement = batch.statements.get(error.index);
            let id = statement.and_then(|statement| statement.get_document("q").ok()?.get("_id").ok()?);
            let id = id.and_then(|id: RawBsonRef<'_>| Bson::try_from(id).ok());
            let (collection, id) = (batch.collection, shown_id(id.as_ref()));
            Err(MigrationError::Row { collection, id, code: error.code() })
        }
    }
}
