//! What all parts of the engine share: the ports, the settings, the sequencers, the
//! connections, and the tasks that it waits for when it ends.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Shared;
use super::hook::{ActionHandler, MessageHook, Observer, PendingMessage};
use super::operation::ConversationRef;
use super::permission::{ConversationAction, Relation, permit};
use super::places::RoomPlaces;
use super::rate::RateLimit;
use super::reconcile::Doubtful;
use super::scope::ConversationScope;
use super::sequencer::Sequencer;
use crate::domain::{Conversation, Entry, Message, Profile, Seq};
use crate::error::{ActionError, AuthError, Source, StoreError};
use crate::frame::ConnectionId;
use crate::hub::DisconnectReason;
use crate::id::{ConversationId, SessionId, UserId};
use crate::limits::Limits;
use crate::port::{Auth, HubListener, PresenceHub, RoomStore, Standing};
use crate::time::Clock;

/// How long a conversation that nobody uses stays in memory.
const IDLE_CONVERSATION: Duration = Duration::from_secs(60);

/// How long a change of accounts is waited for that ends something, when whoever asked waits no more.
const LATE_CHANGE: Duration = Duration::from_secs(600);

pub(crate) struct Engine {
    pub(crate) auth: Arc<dyn Auth>,
    pub(crate) rooms: Arc<dyn RoomStore>,
    pub(crate) hub: Arc<dyn PresenceHub>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) hooks: Vec<Arc<dyn MessageHook>>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    pub(crate) actions: HashMap<String, Arc<dyn ActionHandler>>,
    pub(crate) send_rate: RateLimit<UserId>,
    pub(crate) request_rate: RateLimit<UserId>,
    /// Requests of connections that nobody is signed in on.
    pub(crate) connection_rate: RateLimit<ConnectionId>,
    /// Rooms that users are about to become members of.
    pub(crate) room_places: Arc<RoomPlaces>,
    /// Requests and sequencers: the engine waits for them when it ends.
    pub(crate) tasks: TaskTracker,
    /// What goes on as long as the engine does.
    pub(crate) background: TaskTracker,
    pub(crate) closing: CancellationToken,
    pub(crate) draining: CancellationToken,
    /// How often the end of a session was said; see [`end`](Self::end).
    ends: AtomicU64,
    /// Names the history that the store holds.
    pub(crate) epoch: String,
    sequencers: Mutex<HashMap<ConversationId, Arc<Sequencer>>>,
    /// Conversations of which an entry may still appear.
    pub(crate) doubtful: Doubtful,
    connections: Mutex<HashMap<ConnectionId, Arc<Shared>>>,
    /// Keeps the listener alive that the hub knows weakly.
    listener: OnceLock<Arc<Listener>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("auth", &self.auth)
            .field("rooms", &self.rooms)
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

/// What the builder puts together.
pub(crate) struct Parts {
    pub(crate) auth: Arc<dyn Auth>,
    pub(crate) rooms: Arc<dyn RoomStore>,
    pub(crate) hub: Arc<dyn PresenceHub>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) hooks: Vec<Arc<dyn MessageHook>>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    pub(crate) actions: HashMap<String, Arc<dyn ActionHandler>>,
    pub(crate) epoch: String,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            send_rate: RateLimit::new(parts.limits.send_rate),
            request_rate: RateLimit::new(parts.limits.request_rate),
            connection_rate: RateLimit::new(parts.limits.request_rate),
            auth: parts.auth,
            rooms: parts.rooms,
            hub: parts.hub,
            clock: parts.clock,
            limits: parts.limits,
            hooks: parts.hooks,
            observers: parts.observers,
            actions: parts.actions,
            room_places: Arc::default(),
            tasks: TaskTracker::new(),
            background: TaskTracker::new(),
            closing: CancellationToken::new(),
            draining: CancellationToken::new(),
            ends: AtomicU64::new(0),
            epoch: parts.epoch,
            sequencers: Mutex::default(),
            doubtful: Doubtful::default(),
            connections: Mutex::default(),
            listener: OnceLock::new(),
        }
    }

    /// Tells the hub where hints go.
    pub(crate) fn listen(self: &Arc<Self>) {
        let listener = self.listener.get_or_init(|| Arc::new(Listener(Arc::downgrade(self))));
        let weak: Weak<Listener> = Arc::downgrade(listener);
        self.hub.listen(weak);
    }

    /// Frees the memory of rate limits that have recovered.
    pub(crate) fn forget_recovered_rates(&self) {
        self.send_rate.forget_recovered();
        self.request_rate.forget_recovered();
        self.connection_rate.forget_recovered();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits for a read of the store within the deadline. The error is for the client; the cause is logged.
    pub(crate) async fn read<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ActionError> {
        self.read_store(call).await.map_err(|error| {
            tracing::warn!(error = %error, "store read failed");
            ActionError::from(&error)
        })
    }

    /// Waits for a read of the store within the deadline. A late read changed nothing: it is `Unavailable`.
    pub(crate) async fn read_store<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(self.limits.store_deadline, call).await;
        answer.unwrap_or_else(|late| Err(StoreError::unavailable(late)))
    }

    /// Waits for a write to the store within the deadline. A late write may happen: it is `Timeout`.
    pub(crate) async fn write<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(self.limits.store_deadline, call).await;
        answer.unwrap_or_else(|late| Err(StoreError::timeout(late)))
    }

    /// Asks the accounts. A late answer means that nothing changed: it is `Unavailable`.
    pub(crate) async fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, AuthError>>,
    ) -> Result<T, ActionError> {
        self.accounts(call, AuthError::Unavailable).await
    }

    /// Lets the accounts change something. A late change may happen: it is `Timeout`.
    pub(crate) async fn change<T>(
        &self,
        call: impl Future<Output = Result<T, AuthError>>,
    ) -> Result<T, ActionError> {
        self.accounts(call, AuthError::Timeout).await
    }

    /// Lets the accounts end something, and does `then` when they have, however late that is: whoever asked may
    /// have been told that nobody knows.
    pub(crate) async fn change_and<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(Arc<dyn Auth>) -> BoxFuture<'static, Result<T, AuthError>>,
        then: impl FnOnce(&Engine, &T) + Send + 'static,
    ) -> Result<T, ActionError> {
        let (engine, call) = (self.clone(), call(self.auth.clone()));
        let patience = timeout(LATE_CHANGE, self.draining.clone().cancelled_owned());
        let deadline = self.limits.auth_deadline;
        let change = self.tasks.spawn(async move {
            let mut call = call;
            let outcome = match timeout(deadline, &mut call).await {
                Ok(outcome) => outcome,
                Err(late) => tokio::select! {
                    outcome = call => outcome,
                    _ = patience => Err(AuthError::Timeout(late.into())),
                },
            };
            outcome.inspect(|done| then(&engine, done))
        });
        let outcome = async {
            match change.await {
                Ok(outcome) => outcome,
                Err(lost) => match lost.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(lost) => Err(AuthError::Timeout(lost.into())),
                },
            }
        };
        self.accounts(outcome, AuthError::Timeout).await
    }

    /// Waits for the accounts. The error is for the client; what is not the client's doing is logged.
    async fn accounts<T>(
        &self,
        call: impl Future<Output = Result<T, AuthError>>,
        late: fn(Source) -> AuthError,
    ) -> Result<T, ActionError> {
        let denied = match timeout(self.limits.auth_deadline, call).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(denied)) => denied,
            Err(elapsed) => late(Box::new(elapsed)),
        };
        if let AuthError::Unavailable(cause) | AuthError::Timeout(cause) | AuthError::Internal(cause) =
            &denied
        {
            tracing::error!(error = %cause, "the accounts failed");
        }
        Err(ActionError::from(&denied))
    }

    /// The profiles of users who exist.
    pub(crate) async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, ActionError> {
        self.ask(self.auth.profiles(users)).await
    }

    /// Every conversation that the user is joined in, in the order of their ids.
    pub(crate) async fn standings(&self, user: UserId) -> Result<Vec<Standing>, ActionError> {
        const PAGE: u32 = 1_000;
        let mut standings: Vec<Standing> = Vec::new();
        loop {
            let after = standings.last().map(|standing| standing.conversation.id);
            let page = self.read(self.rooms.standings(user, after, PAGE)).await?;
            let is_last = page.len() < PAGE as usize;
            standings.extend(page);
            if is_last {
                return Ok(standings);
            }
        }
    }

    /// The sequencer of a conversation, which may not exist.
    pub(crate) fn sequencer(&self, conversation: ConversationId) -> Arc<Sequencer> {
        let mut sequencers = self.lock_sequencers();
        sequencers.entry(conversation).or_insert_with(|| Arc::new(Sequencer::new(conversation))).clone()
    }

    /// The sequencer of a conversation, if it is in memory.
    pub(crate) fn known_sequencer(&self, conversation: ConversationId) -> Option<Arc<Sequencer>> {
        self.lock_sequencers().get(&conversation).cloned()
    }

    /// All sequencers in memory.
    pub(crate) fn sequencers(&self) -> Vec<Arc<Sequencer>> {
        self.lock_sequencers().values().cloned().collect()
    }

    /// Drops a conversation that does not exist from memory.
    pub(crate) fn forget(&self, conversation: ConversationId) {
        self.lock_sequencers().remove(&conversation);
    }

    /// Drops conversations from memory that nobody uses. Whoever uses one holds it, and takes it only
    /// under this lock: so there never are two sequencers of one conversation.
    pub(crate) fn forget_idle_conversations(&self) {
        self.lock_sequencers()
            .retain(|_, sequencer| Arc::strong_count(sequencer) > 1 || !sequencer.is_idle(IDLE_CONVERSATION));
    }

    fn lock_sequencers(&self) -> std::sync::MutexGuard<'_, HashMap<ConversationId, Arc<Sequencer>>> {
        self.sequencers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many conversations are in memory.
    pub(crate) fn conversation_count(&self) -> usize {
        self.lock_sequencers().len()
    }

    /// Closes the connections of a session that ended, or all of a user, but not `but`. Answers how many here.
    pub(crate) fn end(&self, user: UserId, session: Option<SessionId>, but: Option<ConnectionId>) -> usize {
        // Whoever is signing in sees that they have to ask again, or is closed by the hub.
        self.ends.fetch_add(1, Ordering::SeqCst);
        self.hub.disconnect(user, session, but, DisconnectReason::SessionEnded)
    }

    /// Changes whenever sessions have ended.
    pub(crate) fn ends(&self) -> u64 {
        self.ends.load(Ordering::SeqCst)
    }

    pub(crate) fn register(&self, connection: Arc<Shared>) {
        self.lock_connections().insert(connection.id, connection);
    }

    pub(crate) fn unregister(&self, connection: ConnectionId) {
        self.lock_connections().remove(&connection);
    }

    pub(crate) fn connections(&self) -> Vec<Arc<Shared>> {
        self.lock_connections().values().cloned().collect()
    }

    fn lock_connections(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, Arc<Shared>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `user` do `action` in a conversation, or says why not. The only maker of a [`ConversationScope`].
    pub(crate) async fn authorise(
        self: &Arc<Self>,
        action: ConversationAction,
        user: UserId,
        named: ConversationRef,
    ) -> Result<ConversationScope, ActionError> {
        let snapshot = self.sequencer(named.id()).snapshot(self, user).await?;
        let conversation = snapshot.conversation;
        if !named.fits(&conversation.kind) || conversation.is_closed() {
            return Err(ActionError::not_found());
        }
        permit(action, Relation::of(snapshot.member.as_ref()), conversation.visibility())?;
        let member = snapshot.member.ok_or_else(ActionError::forbidden)?;
        Ok(ConversationScope::new(user, conversation, member))
    }

    /// Whether a user may become a member of one more room. Who asks holds a place in `room_places`.
    pub(crate) async fn check_rooms_of(&self, user: UserId) -> Result<(), ActionError> {
        // In this order a room that is finished in between is counted twice, and never not at all.
        let under_way = self.room_places.taken(user);
        let joined = self.read(self.rooms.room_count(user)).await?;
        if joined.saturating_add(under_way) > self.limits.user_rooms {
            return Err(ActionError::limit_exceeded("You are in too many rooms"));
        }
        Ok(())
    }

    /// Asks every hook whether a message may be stored.
    pub(crate) async fn check_hooks(
        &self,
        conversation: ConversationId,
        by: UserId,
        message: &Message,
    ) -> Result<(), ActionError> {
        if self.hooks.is_empty() {
            return Ok(());
        }
        let pending =
            PendingMessage { conversation, by, content: message.content.clone(), kind: message.kind };
        for hook in &self.hooks {
            let check = AssertUnwindSafe(hook.check(&pending)).catch_unwind();
            match timeout(self.limits.hook_deadline, check).await {
                Ok(Ok(verdict)) => verdict?,
                Ok(Err(_panic)) => {
                    tracing::error!(?hook, "a message hook panicked");
                    return Err(ActionError::internal());
                }
                Err(_elapsed) => {
                    tracing::warn!(?hook, "a message hook took too long");
                    return Err(ActionError::unavailable());
                }
            }
        }
        Ok(())
    }

    /// Shows committed entries to the observers.
    pub(crate) fn observe(&self, conversation: &Conversation, entries: &[Arc<Entry>]) {
        for observer in &self.observers {
            for entry in entries {
                let seen =
                    std::panic::catch_unwind(AssertUnwindSafe(|| observer.committed(conversation, entry)));
                if seen.is_err() {
                    tracing::error!(?observer, "an observer panicked");
                }
            }
        }
    }
}

/// Hints come from hubs that connect several nodes; the log decides what of them is true.
#[derive(Debug)]
struct Listener(Weak<Engine>);

impl HubListener for Listener {
    fn hint(&self, conversation: ConversationId, _entries: Vec<Entry>) {
        if let Some(engine) = self.0.upgrade() {
            engine.sequencer(conversation).catch_up(&engine, Seq::MAX);
        }
    }

    fn hints_lost(&self) {
        if let Some(engine) = self.0.upgrade() {
            for sequencer in engine.sequencers() {
                sequencer.catch_up(&engine, Seq::MAX);
            }
        }
    }

    fn sessions_ended(&self, user: UserId, sessions: Vec<SessionId>) {
        if let Some(engine) = self.0.upgrade() {
            for session in sessions {
                engine.end(user, Some(session), None);
            }
        }
    }
}
