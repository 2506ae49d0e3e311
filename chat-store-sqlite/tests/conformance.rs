//! The suites of chat-testkit for both store ports, on a database in a directory of its own.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::port::{AccountStore, RoomStore};
use chat_store_sqlite::{SqliteConfig, SqliteStore};
use chat_testkit::Harness;
use chat_testkit::model::{self, Effort};
use tempfile::TempDir;

struct Database(TempDir);

impl Database {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory for the test"))
    }

    fn open(&self) -> Arc<SqliteStore> {
        let config = SqliteConfig::new(self.0.path().join("chat.db"));
        Arc::new(SqliteStore::open(config).expect("a database that opens"))
    }
}

#[async_trait]
impl Harness<dyn RoomStore> for Database {
    async fn start(&mut self) -> Arc<dyn RoomStore> {
        self.open()
    }

    async fn restart(&mut self) -> Option<Arc<dyn RoomStore>> {
        Some(self.open())
    }
}

#[async_trait]
impl Harness<dyn AccountStore> for Database {
    async fn start(&mut self) -> Arc<dyn AccountStore> {
        self.open()
    }

    async fn restart(&mut self) -> Option<Arc<dyn AccountStore>> {
        Some(self.open())
    }
}

chat_testkit::room_store_tests!(Database::new());
chat_testkit::account_store_tests!(Database::new());

#[test]
fn random_calls_about_rooms_are_answered_as_by_the_memory_store() {
    model::run_rooms(Database::new, Effort::default());
}

#[test]
fn random_calls_about_accounts_are_answered_as_by_the_memory_store() {
    model::run_accounts(Database::new, Effort::default());
}
