//! The hub of a single node. It hears of nothing that other processes do.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::task::Waker;
use std::time::Duration;

use super::DisconnectReason;
use super::presence::PresenceBook;
use super::registry::Registry;
use super::ring::RingBudget;
use crate::domain::{Seq, Status};
use crate::frame::{ConnectionId, Frame};
use crate::id::{ConversationId, SessionId, UserId};
use crate::limits::{Limits, hard};
use crate::port::{
    Connection, Delivery, EphemeralTarget, HubListener, Membership, PresenceHub, Publication, Subscription,
};
use crate::time::Timestamp;

/// Connections, live delivery and presence within this process.
#[derive(Debug)]
pub struct LocalHub {
    registry: RwLock<Registry>,
    budget: Arc<RingBudget>,
}

impl LocalHub {
    /// A hub without connections. `presence_grace` is how long after the last connection ended a user is
    /// announced as offline, `presence_gather` how long presence changes are gathered before they are
    /// pushed together; see [`Limits`].
    #[must_use]
    pub fn new(presence_grace: Duration, presence_gather: Duration) -> Self {
        Self::with_ring_bytes(presence_grace, presence_gather, hard::RINGS_BYTES)
    }

    pub(super) fn with_ring_bytes(
        presence_grace: Duration,
        presence_gather: Duration,
        ring_bytes: usize,
    ) -> Self {
        let budget = Arc::new(RingBudget::new(ring_bytes));
        let presence = PresenceBook::new(presence_grace, presence_gather);
        let registry = RwLock::new(Registry::new(presence, Arc::clone(&budget)));
        Self { registry, budget }
    }

    /// The bytes that rings hold, and [`Registry::sizes`].
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, [usize; 6]) {
        (self.budget.used_bytes(), self.read().sizes())
    }

    fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LocalHub {
    fn default() -> Self {
        let limits = Limits::default();
        Self::new(limits.presence_grace, limits.presence_gather)
    }
}

impl PresenceHub for LocalHub {
    fn listen(&self, _listener: Weak<dyn HubListener>) {}

    fn attach(&self, connection: Connection) -> usize {
        self.write().attach(connection)
    }

    fn enter(&self, connection: ConnectionId, subscriptions: Vec<Subscription>) {
        let mut wakers = Vec::new();
        self.write().enter(connection, subscriptions, &mut wakers);
        wake(wakers);
    }

    fn detach(&self, connection: ConnectionId) {
        self.write().detach(connection);
    }

    fn publish(&self, publication: Publication) {
        let is_plain = publication.entries.iter().all(|entry| entry.membership == Membership::Unchanged);
        let mut wakers = Vec::new();
        if is_plain {
            self.read().publish_plain(&publication, &mut wakers);
        } else {
            self.write().publish_changes(&publication, &mut wakers);
        }
        wake(wakers);
    }

    fn head(&self, conversation: ConversationId) -> Option<Seq> {
        self.read().channel(conversation).map(|channel| channel.head())
    }

    fn heads(&self) -> Vec<(ConversationId, Seq)> {
        self.read().heads()
    }

    fn deliveries(&self, user: UserId) -> Vec<(ConversationId, bool)> {
        self.read().deliveries(user)
    }

    fn correct(&self, user: UserId, conversation: ConversationId, delivery: Option<Delivery>) {
        let mut wakers = Vec::new();
        self.write().correct(user, conversation, delivery, &mut wakers);
        wake(wakers);
    }

    fn signal(&self, target: EphemeralTarget, frame: Frame) {
        let mut wakers = Vec::new();
        match target {
            EphemeralTarget::Conversation { conversation, but } => {
                if let Some(channel) = self.read().channel(conversation) {
                    channel.signal(but, &frame, &mut wakers);
                }
            }
            EphemeralTarget::User { user, but } => {
                let registry = self.read();
                registry
                    .outboxes_of(user, None, but)
                    .for_each(|outbox| outbox.offer_signal(&frame, &mut wakers));
            }
        }
        wake(wakers);
    }

    fn set_status(&self, user: UserId, status: Status) {
        self.write().set_status(user, status);
    }

    fn statuses(&self, users: Vec<UserId>) -> Vec<Status> {
        let registry = self.read();
        users.into_iter().map(|user| registry.status(user)).collect()
    }

    fn disconnect(
        &self,
        user: UserId,
        session: Option<SessionId>,
        but: Option<ConnectionId>,
        reason: DisconnectReason,
    ) -> usize {
        let mut wakers = Vec::new();
        let mut count = 0;
        {
            let registry = self.read();
            for outbox in registry.outboxes_of(user, session, but) {
                outbox.close_quietly(reason, &mut wakers);
                count += 1;
            }
        }
        wake(wakers);
        count
    }

    fn tick(&self, now: Timestamp) -> Vec<(UserId, Timestamp)> {
        let mut wakers = Vec::new();
        let (offline, announcements) = self.write().tick(now, &mut wakers);
        for announcement in announcements {
            for channel in &announcement.channels {
                channel.announce(announcement.presence, &mut wakers);
            }
        }
        wake(wakers);
        if self.budget.is_tight() {
            self.read().channels().for_each(|channel| channel.relieve());
        }
        metrics::gauge!("chat_ring_bytes").set(self.budget.used_bytes() as f64);
        offline
    }

    fn connected_users(&self) -> Vec<UserId> {
        self.read().connected_users()
    }
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
