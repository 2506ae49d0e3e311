//! Writing as fast as a store allows, for programs that measure stores.

use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::{Content, Draft, EntryBody, Head, Message, MessageKind};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Appended, RoomStore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::log::{Log, draft};
use crate::random;

/// The only one who writes to a room.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    by: UserId,
    content: Content,
    written: u64,
}

impl Writer {
    /// Makes a room, in which every message will have this content.
    ///
    /// # Panics
    /// If the store fails, here and below.
    pub async fn new(store: Arc<dyn RoomStore>, content: Content) -> Self {
        let by = random::user();
        Self { log: Log::public(store, by).await, by, content, written: 0 }
    }

    /// The room.
    pub fn conversation(&self) -> ConversationId {
        self.log.id
    }

    /// Where its log ends.
    pub fn head(&self) -> Head {
        self.log.head
    }

    /// Appends so many messages in one call. Their ids are in no order, like those of messages that have a client's key.
    pub async fn append(&mut self, messages: usize) {
        let drafts = (0..messages).map(|_| self.next_message()).collect();
        let outcomes = self.log.append(drafts).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Appended::New(_))), "all are new");
    }

    fn next_message(&mut self) -> Draft {
        self.written += 1;
        let id = EntryId::derived(self.log.id, self.by, &self.written.to_string());
        let message = Message { content: self.content.clone(), kind: MessageKind::Text, client_id: None };
        Draft { id, ..draft(self.by, EntryBody::Message(message)) }
    }
}

/// So many [`Writer`]s append `batch` messages in each call, one call after the other, until then. Answers how long each
/// call took.
///
/// # Panics
/// If the store fails.
pub async fn append_until(
    store: Arc<dyn RoomStore>,
    content: Content,
    (writers, batch): (usize, usize),
    until: Instant,
) -> Vec<Duration> {
    let mut running = JoinSet::new();
    for _ in 0..writers {
        let (store, content) = (store.clone(), content.clone());
        running.spawn(async move {
            let mut writer = Writer::new(store, content).await;
            let mut waits = Vec::new();
            while Instant::now() < until {
                let started = Instant::now();
                writer.append(batch).await;
                waits.push(started.elapsed());
            }
            waits
        });
    }
    running.join_all().await.concat()
}
