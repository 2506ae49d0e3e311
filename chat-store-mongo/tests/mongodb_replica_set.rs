//! The suites of chat-testkit once more, on a replica set: reads of the majority, writes to a majority, barriers.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::port::{AccountStore, RoomStore};
use chat_store_mongo::{MongoConfig, MongoStore};
use chat_testkit::Harness;
use chat_testkit::model::{self, Effort};
use chat_testkit::mongod::{FreshDatabase, shared_replica_set};

/// A store on a database of its own.
#[derive(Debug, Default)]
struct OnReplicaSet(Option<FreshDatabase>);

impl OnReplicaSet {
    async fn open(&mut self) -> Arc<MongoStore> {
        if self.0.is_none() {
            self.0 = Some(shared_replica_set().await.fresh_database());
        }
        let database = self.0.as_ref().expect("it was just made");
        let store = MongoStore::open(MongoConfig::new(database.uri(), database.name())).await;
        Arc::new(store.expect("a database that opens"))
    }
}

#[async_trait]
impl Harness<dyn RoomStore> for OnReplicaSet {
    async fn start(&mut self) -> Arc<dyn RoomStore> {
        self.open().await
    }

    async fn restart(&mut self) -> Option<Arc<dyn RoomStore>> {
        Some(self.open().await)
    }
}

#[async_trait]
impl Harness<dyn AccountStore> for OnReplicaSet {
    async fn start(&mut self) -> Arc<dyn AccountStore> {
        self.open().await
    }

    async fn restart(&mut self) -> Option<Arc<dyn AccountStore>> {
        Some(self.open().await)
    }
}

mod mongodb_rooms {
    chat_testkit::room_store_tests!(crate::OnReplicaSet::default());
}

mod mongodb_accounts {
    chat_testkit::account_store_tests!(crate::OnReplicaSet::default());
}

/// What a model test tries where each call waits for a majority.
const EFFORT: Effort = Effort { seed: 2, sequences: 4, calls: 80 };

#[test]
fn random_calls_about_rooms_are_answered_by_a_mongodb_replica_set_as_by_the_memory_store() {
    model::run_rooms(OnReplicaSet::default, EFFORT);
}

#[test]
fn random_calls_about_accounts_are_answered_by_a_mongodb_replica_set_as_by_the_memory_store() {
    model::run_accounts(OnReplicaSet::default, EFFORT);
}
