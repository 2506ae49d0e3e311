//! How many entries a second this machine appends durably: `cargo run --release -p chat-store-sqlite --example
//! append_throughput [conversations] [batch] [seconds] [content bytes] [directory]`.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::time::Duration;

use chat_core::domain::{
    Content, ConversationKind, Draft, EntryBody, Head, Message, MessageKind, RoomName, Seq, Topic, Visibility,
};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Append, Appended, NewConversation, RoomStore};
use chat_core::time::{Clock, SystemClock, Timestamp};
use chat_store_sqlite::{SqliteConfig, SqliteStore};
use tokio::task::JoinSet;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy)]
struct Load {
    batch: usize,
    content_bytes: usize,
    until: Instant,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (conversations, batch) = (number(0, 100), number(1, 8));
    let (seconds, content_bytes) = (number(2, 5), number(3, 60));
    let parent = arguments.get(4).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let directory = tempfile::tempdir_in(parent)?;
    let store = SqliteStore::open(SqliteConfig::new(directory.path().join("chat.db")))?;

    let started = Instant::now();
    let load = Load { batch, content_bytes, until: started + Duration::from_secs(seconds as u64) };
    let mut senders = JoinSet::new();
    for _ in 0..conversations {
        senders.spawn(send(store.clone(), load));
    }
    let mut waits = Vec::new();
    while let Some(sender) = senders.join_next().await {
        waits.extend(sender??);
    }
    waits.sort_unstable();
    let elapsed = started.elapsed().as_secs_f64();
    let percentile = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
    println!(
        "{conversations} conversations, batches of {batch}, {content_bytes} bytes: {:.0} entries/s, {:.0} appends/s, \
         p50 {:?}, p99 {:?}",
        (waits.len() * batch) as f64 / elapsed,
        waits.len() as f64 / elapsed,
        percentile(50),
        percentile(99),
    );
    Ok(())
}

/// Appends to a conversation of its own, one batch after the other; how long each took.
async fn send(store: SqliteStore, load: Load) -> Result<Vec<Duration>, Failure> {
    let sender = UserId::generate();
    let conversation = ConversationId::generate();
    let new = NewConversation {
        id: conversation,
        kind: ConversationKind::Room {
            name: RoomName::new("Lobby")?,
            topic: Topic::new("")?,
            visibility: Visibility::Public,
        },
        created_by: sender,
        created_at: SystemClock.now(),
        entry_id: EntryId::generate(),
    };
    store.create(new).await?;
    let mut head = Head { seq: Seq::ZERO.next(), messages: 0 };
    let content = Content::new("x".repeat(load.content_bytes))?;
    let mut waits = Vec::new();
    let mut sent = 0_u64;
    while Instant::now() < load.until {
        let drafts = (0..load.batch).map(|_| {
            sent += 1;
            // As with a client's own key: ids in no order.
            let id = EntryId::derived(conversation, sender, &sent.to_string());
            let message = Message { content: content.clone(), kind: MessageKind::Text, client_id: None };
            Draft {
                id,
                by: sender,
                timestamp: Timestamp::from_unix_ms(1_795_248_930_042),
                body: EntryBody::Message(message),
            }
        });
        let started = Instant::now();
        let appended = store.append(conversation, head, drafts.collect()).await?;
        waits.push(started.elapsed());
        let Append::Done(appended) = appended else { return Err("nobody else writes here".into()) };
        let Some(Appended::New(last)) = appended.last() else { return Err("all are new".into()) };
        head = last.head();
    }
    Ok(waits)
}
