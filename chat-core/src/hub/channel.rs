//! A conversation's live side: who reads its ring, and how far each has come.
//!
//! A publication puts frames into the ring and wakes the readers that had nothing to read. Readers
//! that are still busy are not touched at all: they find the news when they come back.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::ring::{Ring, RingBudget};
use super::{Outbox, lock};
use crate::domain::{Presence, Seq};
use crate::frame::Frame;
use crate::id::{ConversationId, UserId};
use crate::limits::hard;
use crate::port::LiveEntry;

/// The live side of one conversation that somebody here is subscribed to.
pub(super) struct Channel {
    conversation: ConversationId,
    budget: Arc<RingBudget>,
    state: Mutex<State>,
}

struct State {
    ring: Ring,
    /// The last entry that was published here; what comes again is ignored.
    published: Seq,
    member_count: u32,
    /// Everybody who is subscribed. The first `waiting` of them have read everything; the others are
    /// in the ready list of their outbox, or about to be read.
    readers: Vec<Reader>,
    waiting: usize,
}

struct Reader {
    cursor: Arc<Cursor>,
    outbox: Arc<Outbox>,
}

/// One connection's place in one conversation. Its numbers change only under the lock of its channel,
/// or by the one task that reads it.
pub(super) struct Cursor {
    channel: Arc<Channel>,
    user: UserId,
    after: AtomicU64,
    until: AtomicU64,
    index: AtomicUsize,
}

/// What [`Cursor::read`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Everything was read. The cursor waits in its channel for news, or delivery has ended for it.
    Done,
    /// The batch is full.
    More,
    /// The next entries are only in the store.
    Behind {
        /// The last entry that was read.
        after: Seq,
        /// The last entry to fetch.
        upto: Seq,
    },
    /// Too many entries are only in the store.
    TooFar,
}

/// The `index` of a cursor that is not subscribed any more.
const NOWHERE: usize = usize::MAX;

impl Channel {
    /// A channel whose log is known to have come to `head`.
    pub(super) fn new(
        conversation: ConversationId,
        head: Seq,
        member_count: u32,
        budget: Arc<RingBudget>,
    ) -> Self {
        let state = State {
            ring: Ring::new(head),
            published: Seq::ZERO,
            member_count,
            readers: Vec::new(),
            waiting: 0,
        };
        Self { conversation, budget, state: Mutex::new(state) }
    }

    /// Puts entries into the ring and makes those ready who had read everything. Entries that are not
    /// above the head are ignored; a gap empties the ring, so that what it holds has no holes.
    pub(super) fn publish(&self, entries: &[LiveEntry], member_count: u32, wakers: &mut Vec<Waker>) {
        lock(&self.state).publish(entries, member_count, &self.budget, wakers);
    }

    /// Publishes an entry that is the last one for `ending`. Who subscribed later than that stays.
    pub(super) fn publish_end(
        &self,
        entry: &LiveEntry,
        member_count: u32,
        ending: &[Arc<Cursor>],
        wakers: &mut Vec<Waker>,
    ) {
        let mut state = lock(&self.state);
        let until = entry.entry.seq;
        let ending = || ending.iter().filter(|cursor| cursor.after() < until);
        for cursor in ending() {
            cursor.until.store(until.get(), Ordering::Relaxed);
        }
        state.publish(std::slice::from_ref(entry), member_count, &self.budget, wakers);
        for cursor in ending() {
            state.remove(cursor);
        }
    }

    /// Whether an entry was published here before.
    pub(super) fn has_published(&self, seq: Seq) -> bool {
        seq <= lock(&self.state).published
    }

    /// Begins delivery of the entries above `after`.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        user: UserId,
        outbox: &Arc<Outbox>,
        after: Seq,
        wakers: &mut Vec<Waker>,
    ) -> Arc<Cursor> {
        let cursor = Arc::new(Cursor::new(self, user, after, Seq::MAX));
        let mut state = lock(&self.state);
        let index = state.readers.len();
        cursor.index.store(index, Ordering::Relaxed);
        state.readers.push(Reader { cursor: Arc::clone(&cursor), outbox: Arc::clone(outbox) });
        if after < state.ring.head() {
            outbox.offer_cursor(&cursor, wakers);
        } else {
            state.park(index);
        }
        cursor
    }

    /// Delivers the entries above `after` up to `until` to somebody who is subscribed no more.
    pub(super) fn finish(
        self: &Arc<Self>,
        user: UserId,
        outbox: &Arc<Outbox>,
        (after, until): (Seq, Seq),
        wakers: &mut Vec<Waker>,
    ) {
        outbox.offer_cursor(&Arc::new(Cursor::new(self, user, after, until)), wakers);
    }

    /// Ends delivery to `cursor` at once.
    pub(super) fn unsubscribe(&self, cursor: &Cursor) {
        lock(&self.state).remove(cursor);
    }

    /// Ends delivery to `cursor` at once, and what it has not given out yet stays with it.
    pub(super) fn cut(&self, cursor: &Cursor) {
        let mut state = lock(&self.state);
        cursor.until.store(cursor.after.load(Ordering::Relaxed), Ordering::Relaxed);
        state.remove(cursor);
    }

    /// The newest entry that is known here.
    pub(super) fn head(&self) -> Seq {
        lock(&self.state).ring.head()
    }

    /// Whether nobody is subscribed.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.state).readers.is_empty()
    }

    /// Whether presence is pushed to its members.
    pub(super) fn is_small(&self) -> bool {
        lock(&self.state).member_count <= hard::PRESENCE_ROOM_MEMBERS
    }

    /// Offers a frame that may be lost to all but one user.
    pub(super) fn signal(&self, but: UserId, frame: &Frame, wakers: &mut Vec<Waker>) {
        for reader in lock(&self.state).readers.iter().filter(|reader| reader.cursor.user != but) {
            reader.outbox.offer_signal(frame, wakers);
        }
    }

    /// Offers a user's presence to all others.
    pub(super) fn announce(&self, presence: Presence, wakers: &mut Vec<Waker>) {
        let state = lock(&self.state);
        for reader in state.readers.iter().filter(|reader| reader.cursor.user != presence.user_id) {
            reader.outbox.offer_presence(presence, wakers);
        }
    }

    /// Empties the ring if everybody has read it.
    pub(super) fn relieve(&self) {
        let mut state = lock(&self.state);
        if state.waiting == state.readers.len() {
            state.ring.clear(&self.budget);
        }
    }

    /// Lets go of all readers, who hold this channel in turn.
    pub(super) fn clear(&self) {
        let mut state = lock(&self.state);
        state.waiting = 0;
        state.readers.clear();
    }
}

impl State {
    fn publish(
        &mut self,
        entries: &[LiveEntry],
        member_count: u32,
        budget: &RingBudget,
        wakers: &mut Vec<Waker>,
    ) {
        let head = self.ring.head();
        for entry in entries {
            self.published = self.published.max(entry.entry.seq);
            self.ring.push(entry.entry.seq, &entry.frame, budget);
        }
        if self.ring.head() > head {
            self.member_count = member_count;
            self.offer_waiting(wakers);
        }
    }

    fn offer_waiting(&mut self, wakers: &mut Vec<Waker>) {
        wakers.reserve(self.waiting);
        for reader in &self.readers[..self.waiting] {
            reader.outbox.offer_cursor(&reader.cursor, wakers);
        }
        self.waiting = 0;
    }

    fn park(&mut self, index: usize) {
        self.swap(index, self.waiting);
        self.waiting += 1;
    }

    fn remove(&mut self, cursor: &Cursor) {
        let mut index = cursor.index.swap(NOWHERE, Ordering::Relaxed);
        if index == NOWHERE {
            return;
        }
        if index < self.waiting {
            self.waiting -= 1;
            self.swap(index, self.waiting);
            index = self.waiting;
        }
        self.readers.swap_remove(index);
        if let Some(moved) = self.readers.get(index) {
            moved.cursor.index.store(index, Ordering::Relaxed);
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.readers.swap(one, other);
        for index in [one, other] {
            self.readers[index].cursor.index.store(index, Ordering::Relaxed);
        }
    }
}

impl Cursor {
    fn new(channel: &Arc<Channel>, user: UserId, after: Seq, until: Seq) -> Self {
        Self {
            channel: Arc::clone(channel),
            user,
            after: AtomicU64::new(after.get()),
            until: AtomicU64::new(until.get()),
            index: AtomicUsize::new(NOWHERE),
        }
    }

    pub(super) fn conversation(&self) -> ConversationId {
        self.channel.conversation
    }

    pub(super) fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// The last entry that was given out.
    pub(super) fn after(&self) -> Seq {
        seq(self.after.load(Ordering::Relaxed))
    }

    pub(super) fn set_after(&self, after: Seq) {
        self.after.store(after.get(), Ordering::Relaxed);
    }

    /// Appends the entries that come next to `batch`, until `room` bytes are used up.
    pub(super) fn read(&self, batch: &mut Vec<Frame>, room: &mut usize) -> Reading {
        let mut state = lock(&self.channel.state);
        let ring = &state.ring;
        let end = ring.head().get().min(self.until.load(Ordering::Relaxed));
        let mut after = self.after.load(Ordering::Relaxed);
        let start = ring.start().get();
        if after < end && after < start {
            return if end - after > hard::BEHIND_ENTRIES {
                Reading::TooFar
            } else {
                Reading::Behind { after: seq(after), upto: seq(end.min(start)) }
            };
        }
        if after < end {
            for frame in ring.frames(seq(after), seq(end)) {
                if *room == 0 {
                    break;
                }
                *room = room.saturating_sub(frame.len());
                batch.push(frame.clone());
                after += 1;
            }
            self.after.store(after, Ordering::Relaxed);
        }
        if after < end {
            return Reading::More;
        }
        if self.is_subscribed() {
            state.park(self.index.load(Ordering::Relaxed));
        }
        Reading::Done
    }

    /// Whether its channel delivers to it.
    pub(super) fn is_subscribed(&self) -> bool {
        self.index.load(Ordering::Relaxed) != NOWHERE
    }
}

/// Every number here was a `Seq` or lies between two of them.
fn seq(value: u64) -> Seq {
    Seq::new(value).unwrap_or(Seq::MAX)
}

impl Drop for Channel {
    fn drop(&mut self) {
        lock(&self.state).ring.clear(&self.budget);
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.conversation).finish()
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("channel", &self.channel).field("after", &self.after()).finish()
    }
}
