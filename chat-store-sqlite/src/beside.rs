//! A database that another process may have open: what the tools of operators may do
//! with it. Takes no lock, creates nothing, migrates nothing and does not write logs,
//! which belong to the one process that keeps their heads in memory.

use std::path::PathBuf;
use std::sync::Arc;

use chat_core::port::{AccountStore, RoomStore};

use crate::SqliteStore;
use crate::config::SqliteConfig;
use crate::error::{MaintenanceError, OpenError};
use crate::server::open;

/// A database beside the process that serves it. SQLite itself keeps the two apart.
#[derive(Debug)]
pub struct Beside(SqliteStore);

impl Beside {
    /// Opens an existing database of this version's format. Blocks the thread meanwhile.
    ///
    /// # Errors
    /// There is none, or it is damaged, of another version or none of ours; the message says what to do.
    pub fn open(config: SqliteConfig) -> Result<Self, OpenError> {
        if !config.path.exists() {
            return Err(OpenError::Missing { path: config.path });
        }
        let config = open::resolved(config)?;
        let connection = open::connection_beside(&config)?;
        SqliteStore::assemble(config, connection, None).map(Self)
    }

    /// The accounts. The other process sees a change with its next look.
    #[must_use]
    pub fn accounts(&self) -> Arc<dyn AccountStore> {
        Arc::new(self.0.clone())
    }

    /// The conversations, to be read. Appending to one here would be a conflict for the other process.
    #[must_use]
    pub fn rooms(&self) -> Arc<dyn RoomStore> {
        Arc::new(self.0.clone())
    }

    /// Copies the database; see [`SqliteStore::backup`].
    ///
    /// # Errors
    /// As there.
    pub async fn backup(&self, target: impl Into<PathBuf>) -> Result<(), MaintenanceError> {
        self.0.backup(target).await
    }
}
