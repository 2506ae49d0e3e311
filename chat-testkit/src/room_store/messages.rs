//! Cases of pages of messages.

use std::cell::Cell;
use std::sync::Arc;

use chat_core::domain::{Entry, Seq};
use chat_core::port::{MessageAnchor, MessagePage, MessageQuery, RoomStore};

use super::Store;
use super::log::{ALL_BYTES, Log, draft, messages, seq, text};
use crate::random;

/// `messages`: every anchor with every bound answers what the contract says: only messages, within `from` and
/// `upto`, the oldest first, and `has_more` in the direction asked.
pub(super) async fn every_query_answers_as_the_contract_says(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    // Entries 1, 4, 5, 9 and 11 are events.
    log.append_new(messages(owner, 2)).await;
    log.join(random::user()).await;
    log.join(random::user()).await;
    log.append_new(messages(owner, 3)).await;
    log.join(random::user()).await;
    log.say(owner, "almost the last").await;
    log.join(random::user()).await;
    let all = log.all().await;

    let newest = (0..=8).map(|offset| MessageAnchor::Newest { offset });
    let before = (0..=13).map(|number| MessageAnchor::Before(seq(number)));
    let after = (0..=13).map(|number| MessageAnchor::After(seq(number)));
    for anchor in newest.chain(before).chain(after) {
        for from in [0, 1, 3, 8, 20] {
            for upto in [0, 2, 8, 11, Seq::MAX.get()] {
                for limit in [1, 2, 6, 100] {
                    let (from, upto) = (seq(from), seq(upto));
                    let query = MessageQuery { anchor, from, upto, limit, max_bytes: ALL_BYTES };
                    let page = store.messages(log.id, query).await.expect("a page");
                    assert_eq!(page, expected(&all, &query), "{query:?}");
                }
            }
        }
    }
}

/// The contract, word for word.
fn expected(all: &[Entry], query: &MessageQuery) -> MessagePage {
    let within =
        |entry: &&Entry| entry.body.is_message() && entry.seq >= query.from && entry.seq <= query.upto;
    let mut entries: Vec<Entry> = all.iter().filter(within).cloned().collect();
    let limit = query.limit as usize;
    match query.anchor {
        MessageAnchor::Newest { offset } => entries.truncate(entries.len().saturating_sub(offset as usize)),
        MessageAnchor::Before(below) => entries.retain(|entry| entry.seq < below),
        MessageAnchor::After(above) => entries.retain(|entry| entry.seq > above),
    }
    let has_more = entries.len() > limit;
    match query.anchor {
        MessageAnchor::Newest { .. } | MessageAnchor::Before(_) if has_more => {
            entries.drain(..entries.len() - limit);
        }
        MessageAnchor::Newest { .. } | MessageAnchor::Before(_) | MessageAnchor::After(_) => {
            entries.truncate(limit);
        }
    }
    MessagePage { entries, has_more }
}

/// `messages`: a page ends before too many bytes, counted from where it begins.
pub(super) async fn a_page_of_messages_ends_before_too_many_bytes(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let sizes = [10, 20, 30, 40];
    let drafts = sizes.iter().map(|size| draft(owner, text(&"字".repeat(*size / 2)))).collect();
    log.append_new(drafts).await;
    // Each content has three bytes per character: 15, 30, 45 and 60 bytes in entries 2 to 5.
    let read = async |anchor, max_bytes| {
        let query = MessageQuery { anchor, from: Seq::ZERO, upto: Seq::MAX, limit: 100, max_bytes };
        let page = store.messages(log.id, query).await.expect("a page");
        let numbers: Vec<u64> = page.entries.iter().map(|entry| entry.seq.get()).collect();
        (numbers, page.has_more)
    };
    let newest = MessageAnchor::Newest { offset: 0 };
    assert_eq!(read(newest, 105).await, (vec![4, 5], true));
    assert_eq!(read(newest, 104).await, (vec![5], true));
    assert_eq!(read(newest, 0).await, (vec![5], true), "at least one");
    assert_eq!(read(newest, 150).await, (vec![2, 3, 4, 5], false));
    assert_eq!(read(MessageAnchor::Before(seq(4)), 44).await, (vec![3], true));
    assert_eq!(read(MessageAnchor::After(seq(2)), 75).await, (vec![3, 4], true));
    assert_eq!(read(MessageAnchor::After(seq(4)), 1).await, (vec![5], false));
}

/// `messages`: paging to older messages while others send neither misses nor doubles one.
pub(super) async fn scrolling_back_while_others_send_misses_nothing(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let sent = log.append_new(messages(owner, 150)).await;
    let reader = scroll_back(store.port(), log.id, log.head.seq);
    let sender = async {
        for _ in 0..60 {
            log.say(owner, "meanwhile").await;
        }
    };
    let (read, ()) = tokio::join!(reader, sender);
    assert_eq!(read, sent);
}

/// Every message up to `upto`, read from the newest to the oldest; answered the oldest first.
async fn scroll_back(store: Arc<dyn RoomStore>, id: chat_core::id::ConversationId, upto: Seq) -> Vec<Entry> {
    let mut pages = Vec::new();
    let mut anchor = MessageAnchor::Before(upto.next());
    loop {
        let query = MessageQuery { anchor, from: Seq::ZERO, upto: Seq::MAX, limit: 7, max_bytes: ALL_BYTES };
        let page = store.messages(id, query).await.expect("a page");
        let Some(oldest) = page.entries.first() else { break };
        assert!(page.entries.iter().all(|entry| is_below(anchor, entry)), "a page lies below its anchor");
        anchor = MessageAnchor::Before(oldest.seq);
        let has_more = page.has_more;
        pages.push(page.entries);
        if !has_more {
            break;
        }
        tokio::task::yield_now().await;
    }
    pages.into_iter().rev().flatten().collect()
}

fn is_below(anchor: MessageAnchor, entry: &Entry) -> bool {
    matches!(anchor, MessageAnchor::Before(below) if entry.seq < below)
}

/// `messages`: reading on from a message while others send meets every message once, in order.
pub(super) async fn reading_on_while_others_send_misses_nothing(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let id = log.id;
    let is_over = Cell::new(false);
    let reader = async {
        let mut read: Vec<Entry> = Vec::new();
        loop {
            let was_over = is_over.get();
            let anchor = MessageAnchor::After(read.last().map_or(Seq::ZERO, |entry| entry.seq));
            let query =
                MessageQuery { anchor, from: Seq::ZERO, upto: Seq::MAX, limit: 5, max_bytes: ALL_BYTES };
            let page = store.messages(id, query).await.expect("a page");
            if page.entries.is_empty() && was_over {
                return read;
            }
            read.extend(page.entries);
            assert!(read.len() <= 120, "pages do not overlap");
            tokio::task::yield_now().await;
        }
    };
    let sender = async {
        let mut sent = Vec::new();
        for _ in 0..40 {
            sent.extend(log.append_new(messages(owner, 3)).await);
            tokio::task::yield_now().await;
        }
        is_over.set(true);
        sent
    };
    let (read, sent) = tokio::join!(reader, sender);
    assert_eq!(read, sent);
}
