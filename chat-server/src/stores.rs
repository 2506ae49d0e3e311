//! Opens the store that the settings name: the one place that knows them all. Whoever needs
//! data, the engine or a command, gets the two ports from here.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chat_core::memory::MemoryStore;
use chat_core::port::{AccountStore, RoomStore};
use chat_store_mongo::{MongoConfig, MongoStore, OpenError as MongoOpenError};
use chat_store_sqlite::{Beside, OpenError, SqliteConfig, SqliteStore};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::config::{Config, StoreKind};
use crate::exit::{Code, Failure};

/// The embedded store's file in the data directory.
const DATABASE: &str = "chat.db";

/// How long a server that starts waits for a database that does not answer yet.
const WAIT_FOR_DATABASE: Duration = Duration::from_secs(20);
/// Between two attempts to reach it.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long the end of the process waits for replies of a database.
const LAST_REPLIES: Duration = Duration::from_secs(3);

/// What somebody who opens a store is going to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Be the one who writes conversations. What is missing is made; an embedded store is locked.
    Whole,
    /// Look, and change accounts, while a server may run. Nothing is made.
    Beside,
}

/// Both ports of one store.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    pub(crate) accounts: Arc<dyn AccountStore>,
    pub(crate) rooms: Arc<dyn RoomStore>,
    backing: Backing,
}

/// What is behind the ports, where more can be said or done than through them.
#[derive(Debug, Clone)]
enum Backing {
    /// Can fail for good.
    Sqlite(SqliteStore),
    /// Can be absent for a while.
    Mongodb(MongoStore),
    /// Neither.
    Other,
}

impl Stores {
    fn new<S: AccountStore + RoomStore>(store: Arc<S>, backing: Backing) -> Self {
        Self { accounts: store.clone(), rooms: store, backing }
    }

    /// Waits until the store has failed for good, and answers why. Most never do.
    pub(crate) async fn failed(&self) -> String {
        match &self.backing {
            Backing::Sqlite(store) => store.stopped().await.to_string(),
            Backing::Mongodb(_) | Backing::Other => std::future::pending().await,
        }
    }

    /// Whether the store answers, as far as is known.
    pub(crate) fn is_answering(&self) -> bool {
        match &self.backing {
            Backing::Sqlite(store) => store.health().is_ok(),
            Backing::Mongodb(store) => store.is_answering(),
            Backing::Other => true,
        }
    }

    /// What the operator should know about it.
    pub(crate) fn warnings(&self) -> &[String] {
        match &self.backing {
            Backing::Mongodb(store) => store.warnings(),
            Backing::Sqlite(_) | Backing::Other => &[],
        }
    }

    /// Begins a new epoch and answers its name.
    ///
    /// # Errors
    /// The store has none that lasts, or cannot store it.
    pub(crate) async fn begin_epoch(&self) -> Result<String, Failure> {
        let begun = match &self.backing {
            Backing::Sqlite(store) => store.begin_epoch().await,
            Backing::Mongodb(store) => store.begin_epoch().await,
            Backing::Other => {
                let message = "this store begins a new epoch with each start by itself";
                return Err(Failure::new(Code::Usage, message));
            }
        };
        Ok(begun.context("the new epoch cannot be stored")?)
    }

    /// Waits for what is under way. The engine must have ended.
    pub(crate) async fn close(self) {
        if let Backing::Mongodb(store) = &self.backing
            && tokio::time::timeout(LAST_REPLIES, store.drain()).await.is_err()
        {
            tracing::warn!("MongoDB has not answered everything before the end");
        }
    }
}

/// Opens the store.
///
/// # Errors
/// It cannot be opened; the message says what to do.
pub(crate) async fn open(config: &Config, access: Access) -> Result<Stores, Failure> {
    match (config.store, access) {
        (StoreKind::Sqlite, Access::Whole) => {
            let store = open_sqlite(config).await?;
            Ok(Stores::new(Arc::new(store.clone()), Backing::Sqlite(store)))
        }
        (StoreKind::Sqlite, Access::Beside) => {
            let store = open_sqlite_beside(config).await?;
            Ok(Stores { accounts: store.accounts(), rooms: store.rooms(), backing: Backing::Other })
        }
        (StoreKind::Memory, Access::Whole) => Ok(Stores::new(Arc::new(MemoryStore::new()), Backing::Other)),
        (StoreKind::Memory, Access::Beside) => Err(Failure::new(
            Code::Usage,
            "the store memory lives inside of one server: no other process can use it",
        )),
        (StoreKind::Mongodb, access) => {
            let store = open_mongodb(config, access).await?;
            Ok(Stores::new(Arc::new(store.clone()), Backing::Mongodb(store)))
        }
    }
}

/// Opens the embedded store beside the process that may serve it.
///
/// # Errors
/// There is none here, or it cannot be opened.
pub(crate) async fn open_sqlite_beside(config: &Config) -> Result<Beside, Failure> {
    let settings = SqliteConfig::new(database(config));
    let opened = tokio::task::spawn_blocking(move || Beside::open(settings)).await;
    opened.context("opening the store was broken off")?.map_err(sqlite_failure)
}

/// Where the embedded store is.
fn database(config: &Config) -> PathBuf {
    config.data_dir.join(DATABASE)
}

async fn open_sqlite(config: &Config) -> Result<SqliteStore, Failure> {
    let directory = &config.data_dir;
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        let message = format!(
            "cannot make the data directory {}: {error}. Choose another with --data-dir (CHAT_DATA_DIR)",
            directory.display()
        );
        Failure::new(Code::CannotCreate, message)
    })?;
    let settings = SqliteConfig::new(database(config));
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(settings)).await;
    opened.context("opening the store was broken off")?.map_err(sqlite_failure)
}

/// Why an embedded store cannot be opened, with the exit code that says so.
fn sqlite_failure(error: OpenError) -> Failure {
    let code = match &error {
        OpenError::InUse { .. } => Code::TryAgain,
        OpenError::SeveralNames { .. }
        | OpenError::Replaced { .. }
        | OpenError::NotADatabase { .. }
        | OpenError::Foreign { .. }
        | OpenError::Newer { .. }
        | OpenError::Older { .. }
        | OpenError::Damaged { .. }
        | OpenError::Migration { .. } => Code::DataError,
        _ => Code::CannotCreate, // missing, or refused by the operating system
    };
    Failure::new(code, format!("{:#}", anyhow::Error::from(error)))
}

/// Opens the database. Servers wait for one that does not answer yet: after a power failure both start at once.
async fn open_mongodb(config: &Config, access: Access) -> Result<MongoStore, Failure> {
    let uri = config.mongodb_uri.as_ref().map_or("", |uri| uri.expose_secret());
    let settings = MongoConfig::new(uri, &config.mongodb_database);
    let began = Instant::now();
    loop {
        let opened = match access {
            Access::Whole => MongoStore::open(settings.clone()).await,
            Access::Beside => MongoStore::open_existing(settings.clone()).await,
        };
        match opened {
            Err(error @ MongoOpenError::Unreachable(_))
                if access == Access::Whole && began.elapsed() < WAIT_FOR_DATABASE =>
            {
                tracing::warn!(%error, "waiting for the database");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            outcome => return outcome.map_err(mongodb_failure),
        }
    }
}

/// Why a MongoDB database cannot be opened, with the exit code that says so.
pub(crate) fn mongodb_failure(error: MongoOpenError) -> Failure {
    let code = match &error {
        MongoOpenError::Uri(_) => Code::Usage,
        // Not `Unavailable`: the same start succeeds once the database is there, and nobody has to change anything.
        MongoOpenError::Unreachable(_) => Code::TryAgain,
        MongoOpenError::NotAllowed(_) => Code::NoPermission,
        MongoOpenError::Missing { .. } => Code::CannotCreate,
        MongoOpenError::ServerTooOld { .. }
        | MongoOpenError::NotJournaled
        | MongoOpenError::NotMigrated { .. }
        | MongoOpenError::MigrationUnfinished { .. }
        | MongoOpenError::Newer { .. }
        | MongoOpenError::Index { .. }
        | MongoOpenError::Damaged(_) => Code::DataError,
        _ => Code::Unavailable, // refused for a reason of the server's own
    };
    Failure::new(code, format!("{:#}", anyhow::Error::from(error)))
}
