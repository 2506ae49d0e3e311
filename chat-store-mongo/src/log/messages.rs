//! Pages of messages.
//!
//! Mostly the messages that are wanted are near the place where reading begins: one query of so many entries there
//! finds them. If it does not, there are many events between (a hundred thousand people joining, say), and they
//! are jumped over: the messages are found by their number among all messages, and then read (see `message_number.rs`).

use std::ops::RangeInclusive;

use chat_core::domain::{Entry, Head, Seq};
use chat_core::error::StoreError;
use chat_core::id::ConversationId;
use chat_core::port::{MessageAnchor, MessagePage, MessageQuery};
use mongodb::bson::doc;

use crate::log::message_number::Search;
use crate::log::read::{Log, Page, ROWS};
use crate::server::database::Database;
use crate::table::entries::read_entry;
use crate::table::row::stored_number;

/// How many entries are looked at before jumping: so many for each wanted message, and so many more.
const WINDOW: (u64, u64) = (4, 100);

/// In which direction a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    PhpChat,
    Newer,
}

impl Direction {
    /// As a server is told.
    fn sign(self) -> i32 {
        match self {
            Self::PhpChat => -1,
            Self::Newer => 1,
        }
    }
}

/// Entries from the first to the last of these numbers. They need not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    first: Seq,
    last: Seq,
}

impl Stretch {
    fn is_empty(self) -> bool {
        self.last < self.first
    }

    /// So many entries of it, from where reading begins.
    fn near(self, direction: Direction, entries: u64) -> Self {
        let more = entries.saturating_sub(1);
        match direction {
            Direction::PhpChat => {
                let lowest = Seq::new(self.last.get().saturating_sub(more)).unwrap_or_default();
                Self { first: self.first.max(lowest), ..self }
            }
            Direction::Newer => {
                let highest = Seq::new(self.first.get() + more).unwrap_or(Seq::MAX);
                Self { last: self.last.min(highest), ..self }
            }
        }
    }

    /// What is left of it behind `seq`.
    fn behind(self, direction: Direction, seq: Seq) -> Self {
        match direction {
            Direction::PhpChat => Self { last: seq.previous(), ..self },
            Direction::Newer => Self { first: seq.next(), ..self },
        }
    }
}

/// As [`RoomStore::messages`](chat_core::port::RoomStore::messages).
pub(crate) async fn messages(
    database: &Database,
    conversation: ConversationId,
    query: MessageQuery,
) -> Result<MessagePage, StoreError> {
    let log = Log::new(database, conversation);
    let all = Stretch { first: query.from.max(Seq::ZERO.next()), last: query.upto };
    let (direction, mut stretch) = match query.anchor {
        MessageAnchor::After(seq) => (Direction::Newer, Stretch { first: all.first.max(seq.next()), ..all }),
        MessageAnchor::Before(seq) => {
            (Direction::PhpChat, Stretch { last: all.last.min(seq.previous()), ..all })
        }
        MessageAnchor::Newest { offset } => match log.without_newest(all, offset).await? {
            Some(stretch) => (Direction::PhpChat, stretch),
            None => return Ok(MessagePage::default()),
        },
    };
    let mut page = Page::new(query.limit, query.max_bytes);
    let has_more = 'filled: loop {
        // One more than fits, to know whether there are more.
        let count = page.room().saturating_add(1).min(ROWS);
        let found = log.messages_of(stretch, direction, count).await?;
        let is_end = found.len() < count as usize;
        for entry in found {
            stretch = stretch.behind(direction, entry.seq);
            if !page.take(entry) {
                break 'filled true;
            }
        }
        if is_end {
            break false;
        }
    };
    page.entries.sort_unstable_by_key(|entry| entry.seq);
    Ok(MessagePage { entries: page.entries, has_more })
}

/// The newest message above `after` in the log that had this head.
pub(crate) async fn newest_message(
    database: &Database,
    conversation: ConversationId,
    (after, head): (Seq, Head),
) -> Result<Option<Entry>, StoreError> {
    if head.messages == 0 {
        return Ok(None);
    }
    let stretch = Stretch { first: after.next(), last: head.seq };
    let found = Log::new(database, conversation).messages_of(stretch, Direction::PhpChat, 1).await?;
    Ok(found.into_iter().next())
}

/// The entry that is the message with this number among those between two known entries.
pub(crate) async fn nth_message(
    log: Log<'_>,
    number: u64,
    (low, high): (Head, Head),
) -> Result<Seq, StoreError> {
    let found = log.search(number..=number, low, high).await?;
    found.first().copied().ok_or_else(|| miscounted(log))
}

impl Log<'_> {
    /// The stretch without its newest `offset` messages; `None` if no message is left.
    async fn without_newest(self, stretch: Stretch, offset: u32) -> Result<Option<Stretch>, StoreError> {
        if offset == 0 {
            return Ok(Some(stretch));
        }
        let Some((low, high)) = self.ends(stretch).await? else { return Ok(None) };
        let newest = high.messages.saturating_sub(u64::from(offset));
        if newest <= low.messages {
            return Ok(None);
        }
        let last = nth_message(self, newest, (low, high)).await?;
        Ok(Some(Stretch { last, ..stretch }))
    }

    /// The first `count` messages of a stretch, or all, in the order in which they are read.
    async fn messages_of(
        self,
        stretch: Stretch,
        direction: Direction,
        count: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        if stretch.is_empty() {
            return Ok(Vec::new());
        }
        let near = stretch.near(direction, u64::from(count) * WINDOW.0 + WINDOW.1);
        let found = self.messages_in(near, direction, count).await?;
        if found.len() >= count as usize || near == stretch {
            return Ok(found);
        }
        let Some((low, high)) = self.ends(stretch).await? else { return Ok(Vec::new()) };
        let all = high.messages.saturating_sub(low.messages);
        if found.len() as u64 == all {
            return Ok(found);
        }
        let count = all.min(u64::from(count));
        let wanted = match direction {
            Direction::PhpChat => high.messages - count + 1..=high.messages,
            Direction::Newer => low.messages + 1..=low.messages + count,
        };
        let seqs = self.search(wanted, low, high).await?;
        let entries = self.entries_at(&seqs, direction.sign()).await?;
        match entries.iter().all(|entry| entry.body.is_message()) {
            true => Ok(entries),
            false => Err(miscounted(self)),
        }
    }

    /// The first `limit` messages of a short stretch.
    async fn messages_in(
        self,
        stretch: Stretch,
        direction: Direction,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let range = doc! {
            "$gte": stored_number(stretch.first.get()),
            "$lte": stored_number(stretch.last.get()),
        };
        let mut find = self.find(range, direction.sign(), limit as usize);
        if let Ok(filter) = find.get_document_mut("filter") {
            filter.insert("event", doc! { "$ne": true });
        }
        let rows = self.database.rows(find).await?;
        rows.iter().map(read_entry).collect()
    }

    /// What the log counts before a stretch and at its end; `None` if it has no entry of it.
    async fn ends(self, stretch: Stretch) -> Result<Option<(Head, Head)>, StoreError> {
        let high = self.head_upto(stretch.last).await?;
        let Some(high) = high.filter(|high| high.seq >= stretch.first) else { return Ok(None) };
        Ok(Some((self.head_at(stretch.first.previous()).await?, high)))
    }

    /// The entries that are these messages, which are between two known entries.
    async fn search(
        self,
        wanted: RangeInclusive<u64>,
        low: Head,
        high: Head,
    ) -> Result<Vec<Seq>, StoreError> {
        let mut search = Search::new(wanted, low, high).ok_or_else(|| miscounted(self))?;
        loop {
            let probes = search.probes();
            if probes.is_empty() {
                return Ok(search.found());
            }
            for head in self.heads_at(&probes).await? {
                if !search.learn(head) {
                    return Err(miscounted(self));
                }
            }
        }
    }
}

/// The error that `messages_so_far` does not say how many messages there are.
fn miscounted(log: Log<'_>) -> StoreError {
    StoreError::corrupt(format!("the messages of {} are not counted rightly", log.conversation))
}
