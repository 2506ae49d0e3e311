//! The embedded store of the chat system: accounts, sessions, conversations and their logs in one SQLite file.
//!
//! [`SqliteStore`] is both a [`RoomStore`](chat_core::port::RoomStore) and an
//! [`AccountStore`](chat_core::port::AccountStore).
//!
//! - **One writer.** A thread of its own takes all commands that arrived while it was committing into the next
//!   transaction: many appends to many conversations, one wait for the disk. See [`Durability`] for what an
//!   acknowledged write survives.
//! - **Readers beside it**, a few connections; a read sees every write that was acknowledged before.
//! - **One process.** A lock file keeps others out, by whatever links they come; a crash releases it.
//! - **A failed commit stops the store** for good, because nobody knows what is on the disk: every call is
//!   `Unavailable` from then on, [`SqliteStore::health`] says why and [`SqliteStore::stopped`] resolves. A full
//!   disk only refuses writes.
//!
//! ```
//! use std::sync::Arc;
//!
//! use chat_core::domain::{ConversationKind, RoomName, Topic, Visibility};
//! use chat_core::id::{ConversationId, EntryId, UserId};
//! use chat_core::port::{NewConversation, RoomStore};
//! use chat_core::time::{Clock, SystemClock};
//! use chat_store_sqlite::{SqliteConfig, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let store = SqliteStore::open(SqliteConfig::new(directory.path().join("chat.db")))?;
//! let rooms: Arc<dyn RoomStore> = Arc::new(store.clone());
//!
//! let id = ConversationId::generate();
//! rooms
//!     .create(NewConversation {
//!         id,
//!         kind: ConversationKind::Room {
//!             name: RoomName::new("Lobby")?,
//!             topic: Topic::new("")?,
//!             visibility: Visibility::Public,
//!         },
//!         created_by: UserId::generate(),
//!         created_at: SystemClock.now(),
//!         entry_id: EntryId::generate(),
//!     })
//!     .await?;
//! let lobby = rooms.conversation(id).await?.ok_or("it was created")?;
//! assert_eq!(lobby.member_count, 1);
//!
//! store.backup(directory.path().join("backup.db")).await?;
//! # Ok(())
//! # }
//! ```

mod account;
mod account_store;
mod beside;
mod config;
mod error;
mod log;
mod maintenance;
mod room_store;
mod server;
mod table;
mod view;

use std::sync::Arc;

use chat_core::error::StoreError;
use rusqlite::Connection;

pub use beside::Beside;
pub use config::{Durability, SqliteConfig};
pub use error::{MaintenanceError, OpenError, Stopped};

use error::Work;
use server::failure::Failure;
use server::lock::FileLock;
use server::open;
use server::reader::Readers;
use server::writer::{Size, Writer};

/// A database that is open. Clones share it.
///
/// When the last clone is dropped, queued writes are finished, and unless another program has the database
/// open the write-ahead log is copied into the file; that blocks the thread for a moment.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

/// The readers go first: the writer, closing last, leaves a single file behind.
#[derive(Debug)]
struct Inner {
    readers: Readers,
    writer: Writer,
    failure: Failure,
    config: SqliteConfig,
    /// Keeps other stores out; a store [beside](Beside) another has none.
    _lock: Option<Arc<FileLock>>,
}

impl SqliteStore {
    /// Opens the database, creates it, or brings it to the format of this version. Blocks
    /// the thread meanwhile.
    ///
    /// # Errors
    /// When the file is in use, damaged, newer than this version or none of ours; the message says what to do.
    pub fn open(config: SqliteConfig) -> Result<Self, OpenError> {
        let config = open::resolved(config)?;
        let mut lock = FileLock::take(&config.path)?;
        let connection = open::writer_connection(&config, &mut lock)?;
        Self::assemble(config, connection, Some(Arc::new(lock)))
    }

    /// `config.path` is the real path.
    fn assemble(
        config: SqliteConfig,
        connection: Connection,
        lock: Option<Arc<FileLock>>,
    ) -> Result<Self, OpenError> {
        let readers: Result<Vec<Connection>, rusqlite::Error> =
            (0..config.readers.max(1)).map(|_| open::reader_connection(&config)).collect();
        let readers = readers.map_err(|source| OpenError::Sqlite { path: config.path.clone(), source })?;
        let failure = Failure::none();
        let writer = Writer::start(connection, failure.clone())
            .map_err(|source| OpenError::Io { path: config.path.clone(), source })?;
        let readers = Readers::new(readers, failure.clone(), lock.clone());
        Ok(Self { inner: Arc::new(Inner { readers, writer, failure, config, _lock: lock }) })
    }

    /// Whether the store still works.
    ///
    /// # Errors
    /// Says what stopped it. Then it must be opened again.
    pub fn health(&self) -> Result<(), Stopped> {
        self.inner.failure.check()
    }

    /// Resolves when the store has stopped for good. Never resolves while it works; does not keep it open.
    pub fn stopped(&self) -> impl Future<Output = Stopped> + Send + 'static {
        self.inner.failure.clone().wait()
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_sized(Size::default(), work).await
    }

    async fn write_sized<T: Send + 'static>(
        &self,
        size: Size,
        work: impl Fn(&Connection) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.write(size, work).await
    }
}
