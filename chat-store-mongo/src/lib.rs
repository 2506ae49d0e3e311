//! The MongoDB store of the chat system: accounts, sessions, conversations and their logs in one database, on a
//! single server or a replica set.
//!
//! [`MongoStore`] is both a [`RoomStore`](chat_core::port::RoomStore) and an
//! [`AccountStore`](chat_core::port::AccountStore).
//!
//! # Features
//!
//! - `migrate-php`: the migration of a PHP chat's database, in place (`migrate_php`). Off by default.

mod account;
mod config;
mod log;
#[cfg(feature = "migrate-php")]
pub mod migrate_php;
mod open;
mod room_store;
mod server;
mod table;
mod view;

use std::sync::Arc;

use chat_core::error::StoreError;

pub use config::MongoConfig;
pub use server::error::OpenError;

use log::append::Appender;
use server::database::{ABSENCES, Database};

/// A database that is open. Clones share it.
#[derive(Debug, Clone)]
pub struct MongoStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    epoch: String,
    warnings: Vec<String>,
    appender: Appender,
}

impl MongoStore {
    /// Connects, checks servers, format and indexes, and lays out a database that holds nothing.
    ///
    /// # Errors
    /// When no server can be reached or is allowed to be used, or the database is not one of this version;
    /// the message says what to do.
    pub async fn open(config: MongoConfig) -> Result<Self, OpenError> {
        open::open(&config).await.map(Self::assemble)
    }

    /// As [`open`](Self::open), but makes nothing: for tools that look at data, or change some, beside the servers.
    ///
    /// # Errors
    /// As there, and when the database holds nothing.
    pub async fn open_existing(config: MongoConfig) -> Result<Self, OpenError> {
        open::open_existing(&config).await.map(Self::assemble)
    }

    fn assemble(open::Opened { database, epoch, warnings }: open::Opened) -> Self {
        // What alarms look at begins with zero.
        metrics::counter!(ABSENCES).increment(0);
        let appender = Appender::start(&database);
        Self { inner: Arc::new(Inner { database, epoch, warnings, appender }) }
    }

    /// What the operator should know about the servers: that there is only one, or that they are old.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.inner.warnings
    }

    /// Whether the database answers, as far as is known. While it does not, asking lets it be found out whether it
    /// does again, at most once a second; so ask now and then, on a tokio runtime.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        !self.inner.database.is_absent()
    }

    /// Begins a new epoch and answers its name: whoever opens the database from now on tells clients that it holds
    /// another history than the one they know. For restored databases, while no server runs.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub async fn begin_epoch(&self) -> Result<String, StoreError> {
        open::epoch::begin(self.database()).await
    }

    /// Waits until every command that was sent has its reply. The end of a runtime would cut off what is under way;
    /// call this when nobody uses the store any more.
    pub async fn drain(&self) {
        self.inner.database.drain().await;
    }

    fn database(&self) -> &Database {
        &self.inner.database
    }
}
