//! What the tests of the store share: databases of their own on the server of the test program, and a look at how
//! the server executed what it was asked.

#![allow(dead_code, reason = "every test program uses a part of this")]

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use chat_core::error::StoreError;
use chat_core::port::{AccountStore, RoomStore};
use chat_store_mongo::{MongoConfig, MongoStore};
use chat_testkit::Harness;
use chat_testkit::mongod::{FreshDatabase, shared};
use chat_testkit::suite::{self, Case};
use futures::TryStreamExt as _;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};

/// Room for what a profiler writes about one case. Servers begin with too little, and then forget the oldest.
const PROFILE_BYTES: i64 = 64 * 1024 * 1024;
/// Cases that are run beside each other while the server profiles.
const CASES_AT_ONCE: usize = 6;

/// A store on a database of its own; starting it again opens the same database again.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestDatabase {
    fresh: Option<Arc<FreshDatabase>>,
}

impl TestDatabase {
    /// A new and empty database.
    pub(crate) async fn new() -> Self {
        Self { fresh: Some(Arc::new(shared().await.fresh_database())) }
    }

    /// Opens the database; the first time, this makes it one.
    pub(crate) async fn open(&self) -> MongoStore {
        let fresh = self.fresh();
        MongoStore::open(MongoConfig::new(fresh.uri(), fresh.name())).await.expect("a database that opens")
    }

    /// The database beside the store.
    pub(crate) async fn beside(&self) -> mongodb::Database {
        let fresh = self.fresh();
        let client = Client::with_uri_str(fresh.uri()).await.expect("the server's address");
        client.database(fresh.name())
    }

    /// Where it is.
    pub(crate) fn config(&self) -> MongoConfig {
        MongoConfig::new(self.fresh().uri(), self.fresh().name())
    }

    fn fresh(&self) -> &FreshDatabase {
        self.fresh.as_ref().expect("it was started")
    }

    async fn started(&mut self) -> Arc<MongoStore> {
        if self.fresh.is_none() {
            *self = Self::new().await;
        }
        Arc::new(self.open().await)
    }
}

#[async_trait]
impl Harness<dyn AccountStore> for TestDatabase {
    async fn start(&mut self) -> Arc<dyn AccountStore> {
        self.started().await
    }

    async fn restart(&mut self) -> Option<Arc<dyn AccountStore>> {
        Some(self.started().await)
    }
}

#[async_trait]
impl Harness<dyn RoomStore> for TestDatabase {
    async fn start(&mut self) -> Arc<dyn RoomStore> {
        self.started().await
    }

    async fn restart(&mut self) -> Option<Arc<dyn RoomStore>> {
        Some(self.started().await)
    }
}

/// Lets the server write down how it executes every command to this database from now on.
pub(crate) async fn profile(database: &mongodb::Database) {
    let create = doc! { "create": "system.profile", "capped": true, "size": PROFILE_BYTES };
    database.run_command(create).await.expect("a collection for the profile");
    database.run_command(doc! { "profile": 2 }).await.expect("the server profiles");
}

/// Ends what [`profile`] began, and answers the collections to which commands were seen.
///
/// # Panics
/// If a command walked through a collection instead of using an index.
pub(crate) async fn check_profile(database: &mongodb::Database) -> BTreeSet<String> {
    let entries = end_profile(database).await;
    let names = entries.iter().filter_map(|entry| entry.get_str("ns").ok()?.split_once('.'));
    names.map(|(_, collection)| collection.to_owned()).collect()
}

async fn end_profile(database: &mongodb::Database) -> Vec<Document> {
    database.run_command(doc! { "profile": 0 }).await.expect("the server ends the profile");
    let profile = database.collection::<Document>("system.profile");
    let entries = profile.find(doc! {}).await.expect("the profile");
    let entries: Vec<Document> = entries.try_collect().await.expect("the profile");
    let walked = |entry: &&Document| mentions(entry, "COLLSCAN");
    let walks: Vec<_> = entries.iter().filter(walked).filter_map(|entry| entry.get("command")).collect();
    assert!(walks.is_empty(), "these commands use no index: {walks:#?}");
    let lost: Vec<_> = entries.iter().filter(|entry| is_lost_when_sharded(entry)).collect();
    assert!(lost.is_empty(), "these commands do not say on which shard they write: {lost:#?}");
    entries
}

/// Whether this changed one row of a collection that can be sharded, and did not name its conversation. Routers
/// refuse that.
fn is_lost_when_sharded(entry: &Document) -> bool {
    let is_sharded =
        entry.get_str("ns").is_ok_and(|ns| ns.ends_with(".members") || ns.ends_with(".messages"));
    let Ok(command) = entry.get_document("command") else { return false };
    let filter = command.get_document("q").or_else(|_| command.get_document("query"));
    is_sharded && filter.is_ok_and(|filter| !filter.contains_key("conversation"))
}

/// What a call cost the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Commands to collections.
    pub(crate) commands: usize,
    /// Rows that were looked at.
    pub(crate) rows: i64,
    /// Keys of indexes that were looked at.
    pub(crate) keys: i64,
    /// Whether rows were written.
    pub(crate) wrote: bool,
}

/// Makes a call, and answers what it cost. Nobody else uses the database.
///
/// # Panics
/// If a command walked through a collection, or sorted what it had found.
pub(crate) async fn cost_of<T>(database: &mongodb::Database, call: impl Future<Output = T>) -> (T, Cost) {
    profile(database).await;
    let answer = call.await;
    let mut cost = Cost::default();
    for entry in end_profile(database).await {
        let (Ok(command), Ok(operation)) = (entry.get_document("command"), entry.get_str("op")) else {
            continue;
        };
        if command.contains_key("profile") {
            continue;
        }
        assert!(!entry.get_bool("hasSortStage").unwrap_or(false), "this command sorts: {command}");
        let number = |field: &str| entry.get(field).and_then(Bson::as_i32).unwrap_or_default();
        cost.commands += 1;
        cost.rows += i64::from(number("docsExamined"));
        cost.keys += i64::from(number("keysExamined"));
        cost.wrote |=
            matches!(operation, "insert" | "update" | "remove") || command.contains_key("findAndModify");
    }
    database.collection::<Document>("system.profile").drop().await.expect("the profile goes");
    (answer, cost)
}

/// Runs every case of a suite, each on a database of its own, and answers the collections to which commands were seen.
///
/// # Panics
/// If a command walked through a collection instead of using an index.
pub(crate) fn seen_by_profile<S, F: Future<Output = S>>(
    cases: &[Case<S>],
    start: impl Fn(TestDatabase) -> F + Sync,
) -> BTreeSet<String> {
    let start = &start;
    // Cases wait for the disk most of the time.
    let part = cases.len().div_ceil(CASES_AT_ONCE).max(1);
    thread::scope(|scope| {
        let profiled = |cases| scope.spawn(move || profiled(cases, start));
        let threads: Vec<_> = cases.chunks(part).map(profiled).collect();
        let seen =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        seen.flatten().collect()
    })
}

fn profiled<S, F: Future<Output = S>>(
    cases: &[Case<S>],
    start: impl Fn(TestDatabase) -> F,
) -> BTreeSet<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a test may start a runtime");
    let mut seen = BTreeSet::new();
    for case in cases {
        let (database, beside) = runtime.block_on(async {
            let database = TestDatabase::new().await;
            // What happens while a database is laid out is not what is looked at.
            drop(database.open().await);
            let beside = database.beside().await;
            profile(&beside).await;
            (database, beside)
        });
        suite::run(cases, case.name, || start(database.clone()));
        seen.extend(runtime.block_on(check_profile(&beside)));
    }
    seen
}

/// What stands in a damaged field.
const SENTINEL: &str = "value-to-keep-secret";

/// Puts something else into each field in turn, and asks `call` what it says of it.
///
/// # Panics
/// If it does not say which field of which row is damaged, or shows what stands there.
pub(crate) async fn damage(
    database: &mongodb::Database,
    (collection, id): (&str, Bson),
    fields: &[&str],
    call: impl AsyncFn() -> Result<(), StoreError>,
) {
    let rows = database.collection::<Document>(collection);
    let whole = rows.find_one(doc! { "_id": &id }).await.unwrap().expect("the row");
    let shown = match &id {
        Bson::ObjectId(id) => id.to_hex(),
        Bson::Binary(id) => id.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        other => panic!("{other} is no id"),
    };
    call().await.expect("it is whole");
    for field in fields {
        for value in [Bson::Array(vec![SENTINEL.into()]), Bson::Document(doc! { "a": SENTINEL })] {
            let set = doc! { "$set": { *field: value } };
            rows.update_one(doc! { "_id": &id }, set).await.unwrap();
            let error = call().await.expect_err("it is damaged");
            assert!(matches!(error, StoreError::Corrupt(_)), "{field}: {error:?}");
            let text = format!("{error} {error:?}");
            for part in [collection, shown.as_str(), field] {
                assert!(text.contains(part), "{text} does not name {part}");
            }
            assert!(!text.contains(SENTINEL), "{text}");
        }
        rows.replace_one(doc! { "_id": &id }, &whole).await.unwrap();
    }
}

/// Whether this is the value of a field of a plan, at any depth.
fn mentions(document: &Document, stage: &str) -> bool {
    document.iter().filter(|(name, _)| *name != "command").any(|(_, value)| holds(value, stage))
}

fn holds(value: &Bson, stage: &str) -> bool {
    match value {
        Bson::String(text) => text.contains(stage),
        Bson::Document(document) => mentions(document, stage),
        Bson::Array(values) => values.iter().any(|value| holds(value, stage)),
        _ => false,
    }
}
