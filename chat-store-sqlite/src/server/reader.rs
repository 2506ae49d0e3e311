//! The connections that read. Each read sees one moment, and every write that was
//! acknowledged before it began.

use std::sync::{Arc, Mutex, PoisonError};

use chat_core::error::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::Work;
use crate::server::failure::Failure;
use crate::server::lock::FileLock;

/// A fixed number of connections, one for each read at a time; further reads wait.
#[derive(Debug)]
pub(crate) struct Readers {
    permits: Arc<Semaphore>,
    pool: Arc<Pool>,
    failure: Failure,
}

#[derive(Debug)]
struct Pool {
    idle: Mutex<Vec<Connection>>,
    /// No other process may open the database while a read still runs.
    _lock: Option<Arc<FileLock>>,
}

impl Readers {
    pub(crate) fn new(connections: Vec<Connection>, failure: Failure, lock: Option<Arc<FileLock>>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { permits, pool: Arc::new(Pool { idle: Mutex::new(connections), _lock: lock }), failure }
    }

    /// Does `work` on a connection of its own, off the async threads, in one read transaction.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Work<T> + Send + 'static,
    {
        self.failure.check().map_err(StoreError::unavailable)?;
        let closed = || StoreError::unavailable("the database is closed");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let pool = Arc::clone(&self.pool);
        // A caller that stops waiting leaves the work running: the connection comes back when it is done.
        let task = spawn_blocking(move || {
            let _permit = permit;
            let mut lease = Lease { connection: pool.take(), pool };
            let Some(connection) = &mut lease.connection else { return Err(closed()) };
            let moment = connection
                .transaction_with_behavior(TransactionBehavior::Deferred)
                .map_err(|error| StoreError::from(crate::error::WorkError::from(error)))?;
            work(&moment).map_err(StoreError::from)
        });
        match task.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(StoreError::corrupt(error)),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }
}

impl Pool {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // Pushing and popping cannot leave the list half-changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Connection> {
        self.idle().pop()
    }
}

/// A connection on loan. It goes back even when the work panics.
struct Lease {
    connection: Option<Connection>,
    pool: Arc<Pool>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.idle().push(connection);
        }
    }
}
