//! How far the work is, said once a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::format::Counts;

const EVERY: Duration = Duration::from_secs(1);

/// What is done, of all that is to be done if that is known.
#[derive(Debug)]
pub(super) struct Progress {
    doing: &'static str,
    of: Option<Counts>,
    accounts: AtomicU64,
    conversations: AtomicU64,
    entries: AtomicU64,
}

impl Progress {
    /// Nothing is done yet.
    pub(super) fn new(doing: &'static str, of: Option<Counts>) -> Self {
        let [accounts, conversations, entries] = [0; 3].map(AtomicU64::new);
        Self { doing, of, accounts, conversations, entries }
    }

    pub(super) fn add_accounts(&self, more: usize) {
        self.accounts.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn add_conversations(&self, more: usize) {
        self.conversations.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn add_entries(&self, more: usize) {
        self.entries.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// Waits for `work`, and says meanwhile how far it is.
    pub(super) async fn show<T>(&self, work: impl Future<Output = T>) -> T {
        let mut due = interval_at(Instant::now() + EVERY, EVERY);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = due.tick() => self.say(),
            }
        }
    }

    fn say(&self) {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (accounts, conversations) = (count(&self.accounts), count(&self.conversations));
        let entries = count(&self.entries);
        let percent = self.of.map(|of| entries.saturating_mul(100) / of.entries.max(1));
        tracing::info!(accounts, conversations, entries, percent, "{}", self.doing);
    }
}
