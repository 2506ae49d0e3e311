//! The in-memory stores against the conformance suites.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::memory::MemoryStore;
use chat_core::port::{AccountStore, RoomStore};
use chat_testkit::Harness;
use chat_testkit::model::{self, Effort};

/// Makes stores that keep nothing across a restart.
struct Memory;

#[async_trait]
impl Harness<dyn RoomStore> for Memory {
    async fn start(&mut self) -> Arc<dyn RoomStore> {
        Arc::new(MemoryStore::new())
    }

    async fn restart(&mut self) -> Option<Arc<dyn RoomStore>> {
        None
    }
}

#[async_trait]
impl Harness<dyn AccountStore> for Memory {
    async fn start(&mut self) -> Arc<dyn AccountStore> {
        Arc::new(MemoryStore::new())
    }

    async fn restart(&mut self) -> Option<Arc<dyn AccountStore>> {
        None
    }
}

chat_testkit::room_store_tests!(Memory);
chat_testkit::account_store_tests!(Memory);

#[test]
fn two_memory_stores_agree_about_rooms() {
    model::run_rooms(|| Memory, Effort::default());
}

#[test]
fn two_memory_stores_agree_about_accounts() {
    model::run_accounts(|| Memory, Effort::default());
}
