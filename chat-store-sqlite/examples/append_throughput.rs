//! How many entries a second this machine appends durably: `cargo run --release -p chat-store-sqlite --example
//! append_throughput [conversations] [batch] [seconds] [content bytes] [directory]`.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::Content;
use chat_store_sqlite::{SqliteConfig, SqliteStore};
use chat_testkit::room_store::append_until;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

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
    let content = Content::new("x".repeat(content_bytes))?;
    let until = started + Duration::from_secs(seconds as u64);
    let mut waits = append_until(Arc::new(store), content, (conversations, batch), until).await;
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
