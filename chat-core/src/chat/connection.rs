//! One connection: who is signed in on it, what it may ask now, and the two halves
//! that a transport drives.
//!
//! Sockets, pings and deadlines of writing are the transport's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::dispatch;
use super::engine::Engine;
use super::{Chat, Peer};
use crate::domain::{Identity, Seq};
use crate::error::{ActionError, UnauthenticatedReason};
use crate::frame::{ConnectionId, Frame};
use crate::hub::{Behind, DisconnectReason, Outbox, Taken};
use crate::id::{SessionId, UserId};
use crate::limits::hard;
use crate::port::{ClientContext, Connection, EntryRange, Subscription};
use crate::protocol::event::{Connected, Push};
use crate::protocol::reply::PresenceView;
use crate::protocol::{EntryContext, entry_push};
use crate::time::Timestamp;

/// The half of a connection that takes requests. Dropping it ends the connection.
#[derive(Debug)]
pub struct Inbound {
    pub(super) chat: Chat,
    pub(super) shared: Arc<Shared>,
    pub(super) unreadable: Tally,
    pub(super) refused: Tally,
}

impl Inbound {
    /// Takes one text frame. Returns at once; the reply comes out of the [`Outbound`].
    pub fn accept(&mut self, text: &str) {
        dispatch::accept(self, text);
    }

    /// Whether another frame may be taken now. A transport stops reading while it may not.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let shared = &self.shared;
        !shared.is_signing_in.load(Ordering::Acquire)
            && shared.requests.load(Ordering::Acquire) < self.chat.engine.limits.connection_requests.max(1)
            && shared.outbox.replies_waiting() < hard::REPLIES
            && !self.chat.engine.is_draining()
    }

    /// Waits until another frame may be taken. Cancel safe.
    pub async fn room(&self) {
        loop {
            let changed = self.shared.room.notified();
            if self.has_room() {
                return;
            }
            changed.await;
        }
    }

    /// Whether somebody is signed in.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.shared.caller().is_some()
    }

    /// Ends the connection for `reason`, unless it has ended for another; what was queued before is still sent.
    pub fn disconnect(&self, reason: DisconnectReason) {
        self.shared.outbox.close(reason);
    }

    /// The connection's id, for logs.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.shared.id
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let engine = &self.chat.engine;
        self.shared.outbox.close(DisconnectReason::ClientLeft);
        // A sign-in that is still under way sees the closed outbox and detaches itself.
        engine.hub.detach(self.shared.id);
        engine.unregister(self.shared.id);
    }
}

/// What was read of a stretch that a connection lacks.
type ReadBehind = Result<Vec<(Seq, Frame)>, ActionError>;

/// The half of a connection that gives frames to send.
#[derive(Debug)]
pub struct Outbound {
    chat: Chat,
    shared: Arc<Shared>,
    /// Entries that are being read because the connection fell behind its conversation's ring. Kept here so
    /// that a dropped `frames` future neither loses nor repeats the read.
    reading: Option<(Behind, JoinHandle<ReadBehind>)>,
}

impl Outbound {
    /// Waits for frames and moves those that are ready into `batch`, up to about `max_bytes` (at least one
    /// frame). Send them with one write. Cancel safe: nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// The connection has ended, for this reason, and every frame before that was given out.
    pub async fn frames(&mut self, batch: &mut Vec<Frame>, max_bytes: usize) -> Result<(), DisconnectReason> {
        let shared = self.shared.clone();
        let before = batch.len();
        loop {
            if let Some((behind, reading)) = &mut self.reading {
                let read = reading.await;
                match read {
                    Ok(Ok(entries)) => shared.outbox.advance(behind, entries),
                    // The client resumes when the store can be read again.
                    Ok(Err(_)) | Err(_) => shared.outbox.close(DisconnectReason::TooSlow),
                }
                self.reading = None;
            }
            let bytes: usize = batch.iter().skip(before).map(Frame::len).sum();
            match shared.outbox.take(batch, max_bytes.saturating_sub(bytes)) {
                Taken::Presence(users) => {
                    let users = users.into_iter().map(PresenceView::from).collect();
                    batch.push(Push::Presence { users }.encode());
                }
                Taken::Frames => {
                    shared.room.notify_one();
                    return Ok(());
                }
                // Only presence was found before; the next call finds this again.
                Taken::Nothing | Taken::Closed(_) | Taken::Behind(_) if batch.len() > before => {
                    shared.room.notify_one();
                    return Ok(());
                }
                Taken::Nothing => shared.outbox.notified().await,
                Taken::Closed(reason) => return Err(reason),
                Taken::Behind(behind) => {
                    let read = read_behind(self.chat.engine.clone(), behind.clone());
                    self.reading = Some((behind, self.chat.engine.tasks.spawn(read)));
                }
            }
        }
    }
}

async fn read_behind(engine: Arc<Engine>, behind: Behind) -> ReadBehind {
    let conversation = engine.sequencer(behind.conversation).conversation(&engine).await?;
    let context = EntryContext::of(&conversation);
    let range = EntryRange {
        after: behind.after,
        upto: behind.upto,
        limit: hard::RING_ENTRIES as u32,
        max_bytes: hard::PAGE_BYTES,
    };
    let page = engine.read(engine.rooms.entries(behind.conversation, range)).await?;
    Ok(page.entries.iter().map(|entry| (entry.seq, entry_push(entry, context))).collect())
}

/// What both halves, the requests in progress and the engine share of a connection.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: ConnectionId,
    pub(crate) peer: Peer,
    pub(crate) outbox: Arc<Outbox>,
    binding: Mutex<Option<Binding>>,
    requests: AtomicUsize,
    is_signing_in: AtomicBool,
    room: Notify,
    next_keep: Mutex<Instant>,
}

/// Who is signed in on a connection.
#[derive(Debug)]
struct Binding {
    caller: Caller,
    expires_at: Option<Timestamp>,
    token_digest: [u8; 32],
    /// When `token_expiring` is due; `None` if it was pushed, or the token does not end.
    warn_at: Option<Timestamp>,
}

/// A signed-in user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
}

/// Who asks, as far as the connection knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// This user.
    Known(Caller),
    /// The request's token has to be looked up; the connection is bound to this user already, or to none.
    Token(Option<Caller>),
    /// Nobody, for this reason.
    Nobody(UnauthenticatedReason),
}

impl Shared {
    /// A new connection, greeted.
    pub(super) fn greet(chat: &Chat, peer: Peer) -> (Inbound, Outbound) {
        let engine = &chat.engine;
        let shared = Arc::new(Self {
            id: ConnectionId::next(),
            peer,
            outbox: Arc::new(Outbox::new()),
            binding: Mutex::default(),
            requests: AtomicUsize::new(0),
            is_signing_in: AtomicBool::new(false),
            room: Notify::new(),
            next_keep: Mutex::new(Instant::now() + engine.limits.heartbeat),
        });
        let greeting = Connected::new(chat.engine.epoch.clone(), engine.clock.now(), &engine.limits);
        shared.outbox.reply(Push::Connected(Box::new(greeting)).encode());
        engine.register(shared.clone());
        // Whoever closes all connections may not have seen this one.
        if engine.is_closing() {
            shared.outbox.close(DisconnectReason::Shutdown);
        }
        let unreadable = Tally::new(engine.limits.unreadable_frames, Duration::from_secs(60));
        let refused = Tally::new(engine.limits.flood_refusals, Duration::from_secs(10));
        let inbound = Inbound { chat: chat.clone(), shared: shared.clone(), unreadable, refused };
        (inbound, Outbound { chat: chat.clone(), shared, reading: None })
    }

    /// Who is signed in.
    pub(crate) fn caller(&self) -> Option<Caller> {
        self.lock_binding().as_ref().map(|binding| binding.caller)
    }

    /// Who sends a request with this token, or with none.
    pub(crate) fn asking(&self, token: Option<&str>, now: Timestamp) -> Asking {
        let binding = self.lock_binding();
        match (binding.as_ref(), token) {
            (None, None) => Asking::Nobody(UnauthenticatedReason::Missing),
            (None, Some(_)) => Asking::Token(None),
            (Some(bound), Some(token)) if !bound.has_token(token) => Asking::Token(Some(bound.caller)),
            (Some(bound), _) if bound.expires_at.is_some_and(|end| end <= now) => {
                Asking::Nobody(UnauthenticatedReason::Expired)
            }
            (Some(bound), _) => Asking::Known(bound.caller),
        }
    }

    /// Signs in whom `token` stands for. `bound` is signed in already: nobody else may come with a token.
    pub(crate) async fn sign_in(
        &self,
        engine: &Engine,
        token: &str,
        bound: Option<Caller>,
    ) -> Result<Identity, ActionError> {
        let ends = engine.ends();
        let identity = self.authenticate(engine, token).await?;
        if bound.is_some_and(|bound| bound.user_id != identity.user_id) {
            return Err(ActionError::unauthenticated(UnauthenticatedReason::Invalid));
        }
        self.bind(engine, &identity, token, ends).await?;
        Ok(identity)
    }

    async fn authenticate(&self, engine: &Engine, token: &str) -> Result<Identity, ActionError> {
        let client = ClientContext { address: self.peer.address, device: None };
        engine.ask(engine.auth.authenticate(token, &client)).await
    }

    /// Signs a user in on this connection: live delivery begins. `ends` is from before the accounts were asked.
    pub(crate) async fn bind(
        &self,
        engine: &Engine,
        identity: &Identity,
        token: &str,
        ends: u64,
    ) -> Result<(), ActionError> {
        let caller = Caller { user_id: identity.user_id, session_id: identity.session_id };
        let is_renewal = self.caller() == Some(caller);
        if !is_renewal {
            self.unbind(engine);
            self.begin_delivery(engine, caller).await?;
        }
        let now = engine.clock.now();
        // A client that renews when it is warned must not be warned of the renewed token at once.
        let warning = |end: Timestamp| engine.limits.token_warning.min(end.since(now) / 2);
        *self.lock_binding() = Some(Binding {
            caller,
            expires_at: identity.expires_at,
            token_digest: digest(token),
            warn_at: identity.expires_at.map(|end| end.minus(warning(end))),
        });
        if self.outbox.closed().is_some() {
            // It ended meanwhile; whoever ended it may not have seen it in the hub yet.
            self.unbind(engine);
        }
        if engine.ends() != ends {
            // So may whoever ended its session.
            self.authenticate(engine, token).await.inspect_err(|_| self.unbind(engine))?;
        }
        Ok(())
    }

    async fn begin_delivery(&self, engine: &Engine, caller: Caller) -> Result<(), ActionError> {
        let connection = Connection {
            id: self.id,
            user_id: caller.user_id,
            session_id: caller.session_id,
            outbox: self.outbox.clone(),
        };
        let count = engine.hub.attach(connection);
        let max = engine.limits.user_connections as usize;
        if max > 0 && count > max {
            engine.hub.detach(self.id);
            self.outbox.close(DisconnectReason::TooManyConnections);
            return Err(ActionError::limit_exceeded("Too many connections"));
        }
        let standings = engine.standings(caller.user_id).await.inspect_err(|_| engine.hub.detach(self.id))?;
        let subscriptions = standings.iter().map(|standing| Subscription {
            conversation: standing.conversation.id,
            after: standing.conversation.head.seq,
            member_count: standing.conversation.member_count,
        });
        engine.hub.enter(self.id, subscriptions.collect());
        Ok(())
    }

    /// Nobody is signed in any more; live delivery ends.
    pub(crate) fn unbind(&self, engine: &Engine) {
        *self.lock_binding() = None;
        engine.hub.detach(self.id);
    }

    /// Does what is due on this connection: the `keep` push, the warning before the token's end, the end.
    pub(crate) fn tick(&self, engine: &Engine, now: Timestamp) {
        {
            let mut next_keep = self.next_keep.lock().unwrap_or_else(PoisonError::into_inner);
            if engine.limits.heartbeat > Duration::ZERO && Instant::now() >= *next_keep {
                *next_keep = Instant::now() + engine.limits.heartbeat;
                self.outbox.signal(Push::Keep.encode());
            }
        }
        let mut binding = self.lock_binding();
        let Some(bound) = binding.as_mut() else { return };
        let Some(end) = bound.expires_at else { return };
        if end <= now {
            drop(binding);
            self.outbox.close(DisconnectReason::TokenExpired);
        } else if bound.warn_at.is_some_and(|due| due <= now) {
            bound.warn_at = None;
            self.outbox.reply(Push::TokenExpiring { expires_in: end.since(now) }.encode());
        }
    }

    fn lock_binding(&self) -> std::sync::MutexGuard<'_, Option<Binding>> {
        self.binding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Binding {
    fn has_token(&self, token: &str) -> bool {
        self.token_digest.ct_eq(&digest(token)).into()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A request in progress: counts against the connection's limit until it is dropped.
#[derive(Debug)]
pub(crate) struct InProgress {
    shared: Arc<Shared>,
    is_signing_in: bool,
}

impl InProgress {
    pub(crate) fn begin(shared: &Arc<Shared>, is_signing_in: bool) -> Self {
        shared.requests.fetch_add(1, Ordering::AcqRel);
        if is_signing_in {
            shared.is_signing_in.store(true, Ordering::Release);
        }
        Self { shared: shared.clone(), is_signing_in }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        if self.is_signing_in {
            self.shared.is_signing_in.store(false, Ordering::Release);
        }
        self.shared.requests.fetch_sub(1, Ordering::AcqRel);
        self.shared.room.notify_one();
    }
}

/// Counts offences within a window; a maximum of 0 never trips.
#[derive(Debug)]
pub(super) struct Tally {
    max: u32,
    window: Duration,
    began_at: Instant,
    count: u32,
}

impl Tally {
    fn new(max: u32, window: Duration) -> Self {
        Self { max, window, began_at: Instant::now(), count: 0 }
    }

    /// Whether one was counted in this window.
    pub(super) fn is_first(&self) -> bool {
        self.count == 1
    }

    /// Counts one. Answers whether that is too many.
    pub(super) fn trips(&mut self) -> bool {
        if self.began_at.elapsed() >= self.window {
            self.began_at = Instant::now();
            self.count = 0;
        }
        self.count += 1;
        self.max > 0 && self.count >= self.max
    }
}
