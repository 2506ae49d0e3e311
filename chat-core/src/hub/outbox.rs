//! Frames on their way to one connection: queued replies and ephemeral frames, and cursors into the
//! conversations that have news. Durable frames are not queued here: a slow connection costs a place
//! in a ring and no memory.
//!
//! How frames get onto a socket, and how long that may take, is the transport's.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::channel::{Cursor, Reading};
use super::{DisconnectReason, lock};
use crate::domain::{Presence, Seq};
use crate::frame::Frame;
use crate::id::{ConversationId, UserId};
use crate::limits::hard;

/// What leaves on one connection, in this order: replies, durable frames, presence, other ephemeral frames.
///
/// Any number of threads put frames in; one task takes them out.
#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
}

/// What [`Outbox::take`] found.
#[derive(Debug)]
pub enum Taken {
    /// At least one frame was put into the batch; there may be more.
    Frames,
    /// The presence of these users leaves behind what was put into the batch, if anything was, in a frame that the
    /// caller makes. There may be more; this is given out once.
    Presence(Vec<Presence>),
    /// There is nothing to send: wait with [`Outbox::notified`].
    Nothing,
    /// Entries have to be read from the store before the connection can go on: see [`Outbox::advance`].
    Behind(Behind),
    /// The connection has ended, and everything that may still leave was given out.
    Closed(DisconnectReason),
}

/// A stretch of a log that a connection lacks and that its conversation's ring no longer holds.
#[derive(Debug, Clone)]
pub struct Behind {
    /// The conversation.
    pub conversation: ConversationId,
    /// The last entry that was given out.
    pub after: Seq,
    /// The last entry to read; at most [`hard::BEHIND_ENTRIES`] above `after`.
    pub upto: Seq,
    cursor: Arc<Cursor>,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Frame>,
    /// Entries of the first ready cursor that were read from the store.
    fetched: VecDeque<Frame>,
    /// Conversations with news. The first one stays in its place until it is read to its end.
    ready: VecDeque<Arc<Cursor>>,
    /// The latest presence of each user, until it is sent.
    presence: HashMap<UserId, Presence>,
    ephemeral: VecDeque<Frame>,
    closed: Option<DisconnectReason>,
    /// Counts how often live delivery was cut: what a reader held at that moment is void.
    cuts: u64,
    /// The task that takes frames, when it waits for one.
    taker: Option<Waker>,
    /// The task that makes replies, when it waits for room.
    replier: Option<Waker>,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues a reply. Never refuses: who makes replies stops at [`hard::REPLIES`] of them,
    /// see [`replies_waiting`](Self::replies_waiting). A reply to a session that has ended is dropped.
    pub fn reply(&self, frame: Frame) {
        self.put(|state| {
            if state.closed.map(Backlog::after) != Some(Backlog::Nothing) {
                state.replies.push_back(frame);
            }
        });
    }

    /// How many replies wait to be taken.
    #[must_use]
    pub fn replies_waiting(&self) -> usize {
        lock(&self.state).replies.len()
    }

    /// Waits until fewer than [`hard::REPLIES`] replies wait, or the connection has ended. For one task;
    /// cancel safe.
    pub async fn reply_room(&self) {
        poll_fn(|context| {
            let mut state = lock(&self.state);
            if state.replies.len() < hard::REPLIES || state.closed.is_some() {
                return Poll::Ready(());
            }
            remember(&mut state.replier, context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Offers a frame that may be lost: when [`hard::EPHEMERAL_FRAMES`] wait, the oldest is dropped and
    /// counted.
    pub fn signal(&self, frame: Frame) {
        let mut wakers = Vec::new();
        self.offer_signal(&frame, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until [`take`](Self::take) has something to give. For one task; cancel safe.
    pub async fn notified(&self) {
        poll_fn(|context| {
            let mut state = lock(&self.state);
            if state.has_news() {
                return Poll::Ready(());
            }
            remember(&mut state.taker, context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Appends frames that are ready to `batch`, until they have about `max_bytes`; at least one if there is
    /// one. Ends at presence, which is given out as values: what a frame of it looks like is not known here.
    pub fn take(&self, batch: &mut Vec<Frame>, max_bytes: usize) -> Taken {
        let mut replier = None;
        let taken = self.take_frames(batch, max_bytes.max(1), &mut replier);
        replier.into_iter().for_each(Waker::wake);
        taken
    }

    /// Puts the entries that `behind` asked for, or the first few of them, in front of what is sent next.
    ///
    /// Entries must follow `behind.after` without a hole. With none at all the connection is closed to
    /// resume, as it could never go on. Does nothing if delivery was cut since. A caller that is dropped
    /// before it comes here loses nothing: the next [`take`](Self::take) asks again.
    pub fn advance(&self, behind: &Behind, entries: Vec<(Seq, Frame)>) {
        self.put(|state| {
            let is_first = state.ready.front().is_some_and(|cursor| Arc::ptr_eq(cursor, &behind.cursor));
            if !is_first || behind.cursor.after() != behind.after {
                return;
            }
            let mut after = behind.after;
            for (seq, frame) in entries {
                if seq != after.next() || seq > behind.upto {
                    break;
                }
                after = seq;
                state.fetched.push_back(frame);
            }
            if after == behind.after {
                state.close(DisconnectReason::TooSlow);
            }
            behind.cursor.set_after(after);
        });
    }

    /// Ends the connection, unless it has ended already. What was queued before is still given out, but
    /// nothing of it to a session that has ended, and only replies to a client that is told to resume.
    pub fn close(&self, reason: DisconnectReason) {
        self.put(|state| state.close(reason));
    }

    /// Why the connection has ended; `None` while it has not.
    #[must_use]
    pub fn closed(&self) -> Option<DisconnectReason> {
        lock(&self.state).closed
    }

    /// [`close`](Self::close) for callers who hold a lock.
    pub(super) fn close_quietly(&self, reason: DisconnectReason, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.close(reason);
        wakers.extend(state.taker.take());
        wakers.extend(state.replier.take());
    }

    /// Forgets everything but replies: nobody is signed in here any more.
    pub(super) fn cut(&self) {
        lock(&self.state).cut();
    }

    /// A conversation has news for this connection. Called once until the cursor is read to its end.
    pub(super) fn offer_cursor(&self, cursor: &Arc<Cursor>, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        if state.closed.is_none() {
            state.ready.push_back(Arc::clone(cursor));
            wakers.extend(state.taker.take());
        }
    }

    /// A frame that may be lost.
    pub(super) fn offer_signal(&self, frame: &Frame, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            return;
        }
        if state.ephemeral.len() >= hard::EPHEMERAL_FRAMES {
            state.ephemeral.pop_front();
            metrics::counter!("chat_frames_dropped_total", "class" => "ephemeral").increment(1);
        }
        state.ephemeral.push_back(frame.clone());
        wakers.extend(state.taker.take());
    }

    /// What another user's presence is now. It replaces what was not sent yet; more than
    /// [`hard::PRESENCE_USERS`] users at once are dropped and counted.
    pub(super) fn offer_presence(&self, presence: Presence, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            return;
        }
        let is_full = state.presence.len() >= hard::PRESENCE_USERS;
        if is_full && !state.presence.contains_key(&presence.user_id) {
            metrics::counter!("chat_frames_dropped_total", "class" => "presence").increment(1);
            return;
        }
        state.presence.insert(presence.user_id, presence);
        wakers.extend(state.taker.take());
    }

    fn take_frames(&self, batch: &mut Vec<Frame>, mut room: usize, replier: &mut Option<Waker>) -> Taken {
        let before = batch.len();
        let mut state = lock(&self.state);
        move_frames(&mut state.replies, batch, &mut room);
        if state.replies.len() < hard::REPLIES {
            *replier = state.replier.take();
        }
        move_frames(&mut state.fetched, batch, &mut room);
        while room > 0
            && let Some(cursor) = state.ready.pop_front()
        {
            let cuts = state.cuts;
            let already = batch.len();
            // A channel is locked before an outbox, never after it.
            drop(state);
            let reading = cursor.read(batch, &mut room);
            state = lock(&self.state);
            if state.cuts != cuts {
                batch.truncate(already);
                continue;
            }
            match reading {
                Reading::Done => {}
                Reading::More => state.ready.push_front(cursor),
                // The client of a connection that has ended reads the rest when it resumes.
                Reading::Behind { .. } | Reading::TooFar if state.closed.is_some() => {}
                Reading::Behind { after, upto } => {
                    state.ready.push_front(Arc::clone(&cursor));
                    if batch.len() > before {
                        return Taken::Frames;
                    }
                    return Taken::Behind(Behind {
                        conversation: cursor.conversation(),
                        after,
                        upto,
                        cursor,
                    });
                }
                Reading::TooFar => state.close(DisconnectReason::TooSlow),
            }
        }
        if room > 0 && !state.presence.is_empty() {
            return Taken::Presence(std::mem::take(&mut state.presence).into_values().collect());
        }
        move_frames(&mut state.ephemeral, batch, &mut room);
        match state.closed {
            _ if batch.len() > before => Taken::Frames,
            Some(reason) => Taken::Closed(reason),
            None => Taken::Nothing,
        }
    }

    fn put(&self, change: impl FnOnce(&mut State)) {
        let (taker, replier) = {
            let mut state = lock(&self.state);
            change(&mut state);
            let taker = if state.has_news() { state.taker.take() } else { None };
            let replier = if state.closed.is_some() { state.replier.take() } else { None };
            (taker, replier)
        };
        taker.into_iter().chain(replier).for_each(Waker::wake);
    }
}

impl State {
    fn has_news(&self) -> bool {
        !self.replies.is_empty()
            || !self.fetched.is_empty()
            || !self.ready.is_empty()
            || !self.presence.is_empty()
            || !self.ephemeral.is_empty()
            || self.closed.is_some()
    }

    fn close(&mut self, reason: DisconnectReason) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason);
        match Backlog::after(reason) {
            Backlog::Everything => {}
            Backlog::Replies => self.cut(),
            Backlog::Nothing => {
                self.cut();
                self.replies = VecDeque::new();
            }
        }
    }

    fn cut(&mut self) {
        self.cuts += 1;
        self.fetched = VecDeque::new();
        self.ready = VecDeque::new();
        self.presence = HashMap::new();
        self.ephemeral = VecDeque::new();
    }
}

/// What may still leave after a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backlog {
    Everything,
    Replies,
    Nothing,
}

impl Backlog {
    fn after(reason: DisconnectReason) -> Self {
        match reason {
            DisconnectReason::Shutdown
            | DisconnectReason::Binary
            | DisconnectReason::InvalidUtf8
            | DisconnectReason::TooBig
            | DisconnectReason::ProtocolError
            | DisconnectReason::Unreadable
            | DisconnectReason::TokenExpired
            | DisconnectReason::NotAuthenticated
            | DisconnectReason::Flood
            | DisconnectReason::TooManyConnections => Self::Everything,
            // Entries come again when the client resumes. A reply may be all that tells it of a stored message.
            DisconnectReason::Panic | DisconnectReason::TooSlow | DisconnectReason::NodeCutOff => {
                Self::Replies
            }
            DisconnectReason::SessionEnded | DisconnectReason::ClientLeft | DisconnectReason::PingTimeout => {
                Self::Nothing
            }
        }
    }
}

fn move_frames(queue: &mut VecDeque<Frame>, batch: &mut Vec<Frame>, room: &mut usize) {
    while *room > 0
        && let Some(frame) = queue.pop_front()
    {
        *room = room.saturating_sub(frame.len());
        batch.push(frame);
    }
}

fn remember(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(known) => known.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("closed", &self.closed()).finish_non_exhaustive()
    }
}
