//! How many entries a second a MongoDB takes durably, through the store and through the driver alone, side by side:
//! `cargo run --release -p chat-store-mongo --example append_beside_driver URI [conversations] [batch] [seconds]
//! [content bytes]`. Writes to databases of its own, `append_beside_driver_…`, and removes them.
//!
//! The driver alone inserts rows of the same size under the same indexes and with the same concern, in two ordered
//! inserts at a time of as many rows as the store gathers at most under this load: what a store could reach that has
//! nothing to decide.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::Content;
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_store_mongo::{MongoConfig, MongoStore};
use chat_testkit::room_store::append_until;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, RawDocumentBuf, doc, rawdoc};
use mongodb::options::{IndexOptions, WriteConcern};
use mongodb::{Client, Collection, IndexModel};
use tokio::task::JoinSet;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Inserts that the store has under way.
const LANES: usize = 2;
/// Rows that the store puts into one insert at most.
const LANE_ROWS: usize = 1_000;

#[derive(Clone, Copy)]
struct Load {
    conversations: usize,
    batch: usize,
    seconds: u64,
    content_bytes: usize,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments.next().ok_or("the first argument is the address of a MongoDB")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (conversations, batch) = (number(100)?, number(8)?);
    let (seconds, content_bytes) = (number(5)? as u64, number(60)?);
    let load = Load { conversations, batch, seconds, content_bytes };

    let client = Client::with_uri_str(&uri).await?;
    let name = format!("append_beside_driver_{}", ObjectId::new());
    let outcome = compare(&client, &uri, &name, load).await;
    for part in ["store", "driver"] {
        client.database(&format!("{name}_{part}")).drop().await?;
    }
    outcome
}

async fn compare(client: &Client, uri: &str, name: &str, load: Load) -> Result<(), Failure> {
    let store = MongoStore::open(MongoConfig::new(uri, format!("{name}_store"))).await?;
    let through_store = through_store(store, load).await?;
    let driver_alone = driver_alone(client, &format!("{name}_driver"), load).await?;
    println!("through the store is {:.2} of the driver alone", through_store / driver_alone);
    Ok(())
}

/// Entries a second through the store.
async fn through_store(store: MongoStore, load: Load) -> Result<f64, Failure> {
    let started = Instant::now();
    let until = started + Duration::from_secs(load.seconds);
    let content = Content::new("x".repeat(load.content_bytes))?;
    let writers = (load.conversations, load.batch);
    let waits = append_until(Arc::new(store), content, writers, until).await;
    Ok(report("through the store", waits, load.batch, started))
}

/// Rows a second through the driver alone.
async fn driver_alone(client: &Client, database: &str, load: Load) -> Result<f64, Failure> {
    let rows = (load.conversations * load.batch / LANES).clamp(1, LANE_ROWS);
    let collection: Collection<RawDocumentBuf> = client.database(database).collection("messages");
    let unique = IndexOptions::builder().unique(true).build();
    let log = IndexModel::builder().keys(doc! { "conversation": 1, "seq": 1 }).options(unique).build();
    let partial = IndexOptions::builder().partial_filter_expression(doc! { "event": true }).build();
    let events =
        IndexModel::builder().keys(doc! { "event": 1, "conversation": 1, "seq": 1 }).options(partial).build();
    collection.create_indexes([log, events]).await?;

    let started = Instant::now();
    let until = started + Duration::from_secs(load.seconds);
    let mut lanes = JoinSet::new();
    for lane in 0..LANES.min(load.conversations) {
        lanes.spawn(insert(collection.clone(), lane, rows, load.content_bytes, until));
    }
    let mut waits = Vec::new();
    while let Some(lane) = lanes.join_next().await {
        waits.extend(lane??);
    }
    Ok(report(&format!("driver alone, {rows} rows an insert"), waits, rows, started))
}

/// One insert after the other, of rows as the store writes them.
async fn insert(
    collection: Collection<RawDocumentBuf>,
    lane: usize,
    rows: usize,
    content_bytes: usize,
    until: Instant,
) -> Result<Vec<Duration>, Failure> {
    let durable = WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build();
    let (conversation, sender) = (ConversationId::generate(), ObjectId::new());
    let content = "x".repeat(content_bytes);
    let place = ObjectId::from_bytes(*conversation.as_bytes());
    let mut waits = Vec::new();
    let mut seq = 0_i64;
    while Instant::now() < until {
        let batch = (0..rows).map(|_| {
            seq += 1;
            let key = format!("{lane} {seq}");
            let id = EntryId::derived(conversation, UserId::from_bytes(sender.bytes()), &key);
            rawdoc! {
                "_id": ObjectId::from_bytes(*id.as_bytes()),
                "conversation": place,
                "seq": seq,
                "sender_id": sender,
                "timestamp": DateTime::from_millis(1_795_248_930_042),
                "messages_so_far": seq,
                "type": "text",
                "content": content.as_str(),
                "room_id": place,
            }
        });
        let batch: Vec<RawDocumentBuf> = batch.collect();
        let started = Instant::now();
        collection.insert_many(batch).ordered(true).write_concern(durable.clone()).await?;
        waits.push(started.elapsed());
    }
    Ok(waits)
}

/// Prints what was reached; answers entries a second.
fn report(what: &str, mut waits: Vec<Duration>, batch: usize, started: Instant) -> f64 {
    waits.sort_unstable();
    let rate = (waits.len() * batch) as f64 / started.elapsed().as_secs_f64();
    let percentile = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
    println!("{what}: {rate:.0} entries/s, p50 {:?}, p99 {:?}", percentile(50), percentile(99));
    rate
}
