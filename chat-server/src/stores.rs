//! Opens the store that the settings name: the one place that knows them all. Whoever needs
//! data, the engine or a command, gets the two ports from here.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use chat_core::memory::MemoryStore;
use chat_core::port::{AccountStore, RoomStore};
use chat_store_sqlite::{Beside, OpenError, SqliteConfig, SqliteStore};

use crate::config::{Config, StoreKind};
use crate::exit::{Code, Failure};

/// The embedded store's file in the data directory.
const DATABASE: &str = "chat.db";

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
    /// The store, if it is one that can fail for good.
    sqlite: Option<SqliteStore>,
}

impl Stores {
    fn new<S: AccountStore + RoomStore>(store: Arc<S>, sqlite: Option<SqliteStore>) -> Self {
        Self { accounts: store.clone(), rooms: store, sqlite }
    }

    /// Waits until the store has failed for good, and answers why. Most never do.
    pub(crate) async fn failed(&self) -> String {
        match &self.sqlite {
            Some(store) => store.stopped().await.to_string(),
            None => std::future::pending().await,
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
            Ok(Stores::new(Arc::new(store.clone()), Some(store)))
        }
        (StoreKind::Sqlite, Access::Beside) => {
            let store = open_sqlite_beside(config).await?;
            Ok(Stores { accounts: store.accounts(), rooms: store.rooms(), sqlite: None })
        }
        (StoreKind::Memory, Access::Whole) => Ok(Stores::new(Arc::new(MemoryStore::new()), None)),
        (StoreKind::Memory, Access::Beside) => Err(Failure::new(
            Code::Usage,
            "the store memory lives inside of one server: no other process can use it",
        )),
        (StoreKind::Mongodb, _) => Err(Failure::new(Code::Usage, "there is no MongoDB store in this build")),
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
        OpenError::NotADatabase { .. }
        | OpenError::Foreign { .. }
        | OpenError::Newer { .. }
        | OpenError::Older { .. }
        | OpenError::Damaged { .. }
        | OpenError::Migration { .. } => Code::DataError,
        _ => Code::CannotCreate, // missing, or refused by the operating system
    };
    Failure::new(code, format!("{:#}", anyhow::Error::from(error)))
}
