//! What a server lives on: a directory of its own and, if a test asks for it, a database of its own in MongoDB.

use std::path::{Path, PathBuf};

use chat_testkit::mongod::{FreshDatabase, shared};
use tempfile::TempDir;

use super::{Builder, Server};

/// Which store keeps the data of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The embedded one.
    Sqlite,
    /// A new database on the server that all tests of a program share.
    Mongodb,
}

/// Makes a test for each store out of each function that takes one: `on_sqlite::NAME` and `on_mongodb::NAME`.
macro_rules! on_every_store {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::support::Store::Sqlite).await; })+
        }
        mod on_mongodb {
            $(#[tokio::test] async fn $name() { super::$name(super::support::Store::Mongodb).await; })+
        }
    };
}
pub(crate) use on_every_store;

/// A directory and, for servers on MongoDB, a database. Both are removed with it.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
    /// Boxed, so that an `Ended` stays small.
    database: Option<Box<FreshDatabase>>,
}

impl Store {
    /// A server on this store, to configure.
    pub fn server(self) -> Builder {
        Builder::new(Home::new(self))
    }

    /// A server on this store with all defaults but the ports.
    pub fn start(self) -> Server {
        self.server().start()
    }
}

impl Home {
    pub fn new(store: Store) -> Self {
        let database = match store {
            Store::Sqlite => None,
            Store::Mongodb => Some(Box::new(fresh_database())),
        };
        Self { directory: tempfile::tempdir().unwrap(), database }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of an embedded store.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("chat-data")
    }

    /// The database in MongoDB.
    pub fn database(&self) -> Option<&FreshDatabase> {
        self.database.as_deref()
    }

    /// Settings by which any process finds the data.
    pub fn settings(&self) -> Vec<(String, String)> {
        let settings = match &self.database {
            None => vec![("data_dir", self.data_dir().to_str().unwrap().to_owned())],
            Some(database) => vec![
                ("store", "mongodb".to_owned()),
                ("mongodb_uri", database.uri().to_owned()),
                ("mongodb_database", database.name().to_owned()),
            ],
        };
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Waits for the shared server on a thread: tests that are not asynchronous need it as well.
fn fresh_database() -> FreshDatabase {
    let waiting = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { shared().await.fresh_database() })
    });
    waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
