//! Cases of reading stretches of a log.

use chat_core::domain::{Entry, Seq};
use chat_core::port::EntryRange;

use super::Store;
use super::log::{ALL_BYTES, Log, draft, messages, seq, text};
use crate::random;

/// `entries`: what is above `after`, up to `upto`, at most `limit`; `more` says whether the range goes on.
pub(super) async fn a_range_holds_what_it_says(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    log.append_new(messages(owner, 6)).await;
    log.join(random::user()).await;
    let all = log.all().await;
    for after in 0..=10 {
        for upto in (0..=10).chain([Seq::MAX.get()]) {
            for limit in [1, 2, 7, 8, 100] {
                let range = EntryRange { after: seq(after), upto: seq(upto), limit, max_bytes: ALL_BYTES };
                let inside: Vec<&Entry> =
                    all.iter().filter(|entry| entry.seq > range.after && entry.seq <= range.upto).collect();
                let page = store.entries(log.id, range).await.expect("a page");
                let expected: Vec<&Entry> = inside.iter().take(limit as usize).copied().collect();
                assert_eq!(page.entries.iter().collect::<Vec<_>>(), expected, "{range:?}");
                assert_eq!(page.more, inside.len() > limit as usize, "{range:?}");
            }
        }
    }
}

/// `entries`: a page ends before the entry that would bring its contents above `max_bytes`, and has at least one.
pub(super) async fn a_page_ends_before_too_many_bytes(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let sizes = [10, 20, 30, 1_000, 5];
    log.append_new(sizes.iter().map(|size| draft(owner, text(&"x".repeat(*size)))).collect()).await;
    let read = async |after: u64, max_bytes: usize| {
        let range = EntryRange { after: seq(after), upto: Seq::MAX, limit: 100, max_bytes };
        let page = store.entries(log.id, range).await.expect("a page");
        (page.entries.len(), page.more)
    };
    assert_eq!(read(1, 60).await, (3, true), "exactly filled");
    assert_eq!(read(1, 59).await, (2, true), "one byte less");
    assert_eq!(read(1, 1_064).await, (4, true));
    assert_eq!(read(1, 1_065).await, (5, false));
    assert_eq!(read(4, 100).await, (1, true), "an entry above the bound comes alone");
    assert_eq!(read(4, 0).await, (1, true));
    assert_eq!(read(0, 10).await, (2, true), "an event has no content");
    assert_eq!(read(5, 5).await, (1, false));
}

/// `entries`: page after page, in steps of any size, makes the whole log.
pub(super) async fn pages_make_the_whole_log(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    log.append_new(messages(owner, 300)).await;
    let all = log.all().await;
    assert_eq!(all.len(), 301);
    for limit in [1, 7, 100, 301] {
        let mut read: Vec<Entry> = Vec::new();
        loop {
            let after = read.last().map_or(Seq::ZERO, |entry| entry.seq);
            let range = EntryRange { after, upto: log.head.seq, limit, max_bytes: ALL_BYTES };
            let page = store.entries(log.id, range).await.expect("a page");
            read.extend(page.entries);
            assert!(read.len() <= all.len(), "pages do not overlap");
            if !page.more {
                break;
            }
        }
        assert_eq!(read, all, "in steps of {limit}");
    }
}
