//! What a page of history and a stretch for `sync` cost in a conversation with a thousand entries and in one with a
//! million: `cargo run --release -p chat-store-mongo --example history_cost URI [small] [large] [rounds]`. Writes to a
//! database of its own, `history_cost_…`, and removes it.
//!
//! Both conversations are asked in turns, so that a busy moment of the machine hits both.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::{Content, Head, Seq};
use chat_core::id::ConversationId;
use chat_core::limits::hard;
use chat_core::port::{EntryRange, MessageAnchor, MessageQuery, RoomStore};
use chat_store_mongo::{MongoConfig, MongoStore};
use chat_testkit::room_store::Writer;
use mongodb::Client;
use mongodb::bson::oid::ObjectId;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Messages of a page, as clients ask for them.
const PAGE: u32 = 50;
/// Entries of a stretch for a client that was away.
const STRETCH: u32 = 200;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments.next().ok_or("the first argument is the address of a MongoDB")?;
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (small, large, rounds) = (number(1_000)?, number(1_000_000)?, number(200)?);

    let name = format!("history_cost_{}", ObjectId::new());
    let outcome = compare(&uri, &name, [small, large], rounds).await;
    Client::with_uri_str(&uri).await?.database(&name).drop().await?;
    outcome
}

async fn compare(uri: &str, name: &str, sizes: [u64; 2], rounds: u64) -> Result<(), Failure> {
    let store = MongoStore::open(MongoConfig::new(uri, name)).await?;
    let mut logs = Vec::new();
    for size in sizes {
        let started = Instant::now();
        logs.push(write_log(&store, size).await?);
        println!("a conversation of {size} entries, written in {:.1?}", started.elapsed());
    }
    for question in Question::ALL {
        let mut waits = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (log, waits) in logs.iter().zip(&mut waits) {
                let started = Instant::now();
                question.ask(&store, *log).await?;
                waits.push(started.elapsed());
            }
        }
        let [small, large] = waits.map(median);
        let ratio = large.as_secs_f64() / small.as_secs_f64();
        println!("{question:?}: {small:.0?} of {}, {large:.0?} of {}, ratio {ratio:.2}", sizes[0], sizes[1]);
    }
    Ok(())
}

fn median(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits.get(waits.len() / 2).copied().unwrap_or_default()
}

/// A conversation and its head.
#[derive(Clone, Copy)]
struct Log {
    id: ConversationId,
    head: Head,
}

/// What clients ask for.
#[derive(Debug, Clone, Copy)]
enum Question {
    NewestPage,
    PageInTheMiddle,
    OldestPage,
    PageBehindTheLargestOffset,
    StretchInTheMiddle,
    Head,
}

impl Question {
    const ALL: [Self; 6] = [
        Self::NewestPage,
        Self::PageInTheMiddle,
        Self::OldestPage,
        Self::PageBehindTheLargestOffset,
        Self::StretchInTheMiddle,
        Self::Head,
    ];

    async fn ask(self, store: &MongoStore, log: Log) -> Result<(), Failure> {
        let middle = Seq::new(log.head.seq.get() / 2).ok_or("a number")?;
        let page = |anchor| MessageQuery {
            anchor,
            from: Seq::ZERO,
            upto: log.head.seq,
            limit: PAGE,
            max_bytes: hard::PAGE_BYTES,
        };
        let anchor = match self {
            Self::NewestPage => MessageAnchor::Newest { offset: 0 },
            Self::PageInTheMiddle => MessageAnchor::Before(middle),
            Self::OldestPage => MessageAnchor::After(Seq::ZERO),
            Self::PageBehindTheLargestOffset => {
                let offset = u64::from(hard::HISTORY_OFFSET).min(log.head.messages / 2);
                MessageAnchor::Newest { offset: u32::try_from(offset)? }
            }
            Self::StretchInTheMiddle => {
                let range = EntryRange {
                    after: middle,
                    upto: log.head.seq,
                    limit: STRETCH,
                    max_bytes: hard::PAGE_BYTES,
                };
                let page = store.entries(log.id, range).await?;
                return if page.entries.len() == STRETCH as usize {
                    Ok(())
                } else {
                    Err("a short page".into())
                };
            }
            Self::Head => {
                let conversation = store.conversation(log.id).await?.ok_or("it was written")?;
                return if conversation.head == log.head { Ok(()) } else { Err("another head".into()) };
            }
        };
        let found = store.messages(log.id, page(anchor)).await?;
        if found.entries.len() == PAGE as usize { Ok(()) } else { Err("a short page".into()) }
    }
}

/// Writes a room full of messages.
async fn write_log(store: &MongoStore, size: u64) -> Result<Log, Failure> {
    let content = Content::new("What a message says when somebody has a little to say.")?;
    let mut writer = Writer::new(Arc::new(store.clone()), content).await;
    while writer.head().seq.get() < size {
        let left = usize::try_from(size - writer.head().seq.get())?;
        writer.append(left.min(hard::BATCH_ENTRIES)).await;
    }
    Ok(Log { id: writer.conversation(), head: writer.head() })
}
