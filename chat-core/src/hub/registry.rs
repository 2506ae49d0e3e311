//! Who is connected, and which conversations each connection is subscribed to.
//!
//! Everything here happens under the one lock of the hub and is quick: nothing is encoded, and tasks are
//! woken by the caller, after the lock.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::{Channel, Cursor};
use super::presence::PresenceBook;
use super::ring::RingBudget;
use super::{Outbox, lock};
use crate::domain::{Presence, Seq, Status};
use crate::frame::ConnectionId;
use crate::id::{ConversationId, SessionId, UserId};
use crate::port::{Connection, Delivery, LiveEntry, Membership, Publication, Subscription};
use crate::time::Timestamp;

/// How long the end of a membership is remembered, against an `enter` that was read before it: longer than
/// any store takes to read a user's conversations.
const ENDS_REMEMBERED: Duration = Duration::from_secs(60);

/// The state of a hub.
#[derive(Debug)]
pub(super) struct Registry {
    connections: HashMap<ConnectionId, Attached>,
    users: HashMap<UserId, User>,
    channels: HashMap<ConversationId, Arc<Channel>>,
    presence: PresenceBook,
    budget: Arc<RingBudget>,
    /// Connections that have not entered yet, and since when.
    attaching: HashMap<ConnectionId, Instant>,
    /// The heads of conversations that were published while somebody was attaching and nobody subscribed.
    unheard: Mutex<HashMap<ConversationId, (Seq, Instant)>>,
    /// Memberships of connected users that ended, and with which entry.
    ended: HashMap<(UserId, ConversationId), (Seq, Instant)>,
}

#[derive(Debug)]
struct Attached {
    user: UserId,
    session: SessionId,
    outbox: Arc<Outbox>,
    cursors: HashMap<ConversationId, Arc<Cursor>>,
    /// The memberships that began before the connection entered; some may have ended again.
    begun: HashSet<ConversationId>,
}

#[derive(Debug, Default)]
struct User {
    connections: Vec<ConnectionId>,
    /// While no connection has entered: the conversations of the last one that had. Those in them may have to
    /// be told that the user is gone.
    left_in: HashSet<ConversationId>,
}

/// A user's presence, and where others are told of it.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) presence: Presence,
    pub(super) channels: Vec<Arc<Channel>>,
}

impl Registry {
    pub(super) fn new(presence: PresenceBook, budget: Arc<RingBudget>) -> Self {
        Self {
            connections: HashMap::new(),
            users: HashMap::new(),
            channels: HashMap::new(),
            presence,
            budget,
            attaching: HashMap::new(),
            unheard: Mutex::default(),
            ended: HashMap::new(),
        }
    }

    pub(super) fn attach(&mut self, connection: Connection) -> usize {
        let Connection { id, user_id, session_id, outbox } = connection;
        self.detach(id);
        let instant = Instant::now();
        let user = self.users.entry(user_id).or_default();
        user.connections.push(id);
        let count = user.connections.len();
        if count == 1 {
            self.presence.connected(user_id, instant);
        }
        self.attaching.insert(id, instant);
        let attached = Attached {
            user: user_id,
            session: session_id,
            outbox,
            cursors: HashMap::new(),
            begun: HashSet::new(),
        };
        self.connections.insert(id, attached);
        count
    }

    pub(super) fn enter(
        &mut self,
        id: ConnectionId,
        subscriptions: Vec<Subscription>,
        wakers: &mut Vec<Waker>,
    ) {
        let Some(attached) = self.connections.get_mut(&id) else { return };
        let is_first = self.attaching.remove(&id).is_some();
        let begun = std::mem::take(&mut attached.begun);
        attached.cursors.reserve(subscriptions.len());
        for Subscription { conversation, after, member_count } in subscriptions {
            if attached.cursors.contains_key(&conversation) {
                continue;
            }
            let ended = self.ended.get(&(attached.user, conversation)).map(|(until, _)| *until);
            if let Some(until) = ended.filter(|until| after < *until) {
                // This is the rest of the membership that was read, unless others came after that one.
                if is_first && !begun.contains(&conversation) {
                    // Nobody else needs the channel.
                    let last = Channel::new(conversation, until, 0, Arc::clone(&self.budget));
                    Arc::new(last).finish(attached.user, &attached.outbox, (after, until), wakers);
                }
                continue;
            }
            let channel = self.channels.entry(conversation).or_insert_with(|| {
                let head = lock(&self.unheard).get(&conversation).map_or(after, |(head, _)| after.max(*head));
                Arc::new(Channel::new(conversation, head, member_count, Arc::clone(&self.budget)))
            });
            let cursor = channel.subscribe(attached.user, &attached.outbox, after, wakers);
            attached.cursors.insert(conversation, cursor);
        }
        if let Some(user) = self.users.get_mut(&attached.user) {
            user.left_in = HashSet::new();
        }
        if self.attaching.is_empty() {
            *lock(&self.unheard) = HashMap::new();
        }
    }

    pub(super) fn detach(&mut self, id: ConnectionId) {
        let Some(attached) = self.connections.remove(&id) else { return };
        let had_entered = self.attaching.remove(&id).is_none();
        for (conversation, cursor) in &attached.cursors {
            cursor.channel().unsubscribe(cursor);
            self.drop_empty_channel(*conversation);
        }
        // Only now: nothing can be offered any more.
        attached.outbox.cut();
        let Some(user) = self.users.get_mut(&attached.user) else { return };
        user.connections.retain(|connection| *connection != id);
        if had_entered && user.connections.iter().all(|other| self.attaching.contains_key(other)) {
            user.left_in = attached.cursors.into_keys().collect();
        }
        if user.connections.is_empty() {
            self.presence.disconnected(attached.user, Instant::now());
        }
    }

    /// Publishes entries that leave memberships as they are. Many may do so at once.
    pub(super) fn publish_plain(&self, publication: &Publication, wakers: &mut Vec<Waker>) {
        match self.channels.get(&publication.conversation) {
            Some(channel) => channel.publish(&publication.entries, publication.member_count, wakers),
            None => self.note_unheard(publication.conversation, last_seq(publication)),
        }
    }

    /// Publishes entries some of which begin or end memberships, each in its turn.
    pub(super) fn publish_changes(&mut self, publication: &Publication, wakers: &mut Vec<Waker>) {
        for entry in &publication.entries {
            let known = self.channels.get(&publication.conversation);
            if known.is_some_and(|channel| channel.has_published(entry.entry.seq)) {
                continue;
            }
            match &entry.membership {
                Membership::Unchanged => self.publish_entry(publication, entry, &[], wakers),
                Membership::Begins(users) => {
                    for user in users {
                        self.begin(publication, *user, entry.entry.seq, wakers);
                    }
                    self.publish_entry(publication, entry, &[], wakers);
                }
                Membership::Ends(user) => self.publish_end(publication, entry, *user, wakers),
            }
        }
        if !self.channels.contains_key(&publication.conversation) {
            self.note_unheard(publication.conversation, last_seq(publication));
        }
    }

    fn publish_entry(
        &self,
        publication: &Publication,
        entry: &LiveEntry,
        ending: &[Arc<Cursor>],
        wakers: &mut Vec<Waker>,
    ) {
        if let Some(channel) = self.channels.get(&publication.conversation) {
            channel.publish_end(entry, publication.member_count, ending, wakers);
        }
    }

    /// Subscribes a user's connections to a conversation, from its entry `seq` on.
    fn begin(&mut self, publication: &Publication, user: UserId, seq: Seq, wakers: &mut Vec<Waker>) {
        let conversation = publication.conversation;
        let Some(connections) = self.users.get(&user).map(|user| &user.connections) else { return };
        if self.ended.get(&(user, conversation)).is_some_and(|(until, _)| seq <= *until) {
            return;
        }
        self.ended.remove(&(user, conversation));
        for id in connections {
            let Some(attached) = self.connections.get_mut(id) else { continue };
            if attached.cursors.contains_key(&conversation) {
                continue;
            }
            let channel = self.channels.entry(conversation).or_insert_with(|| {
                let budget = Arc::clone(&self.budget);
                Arc::new(Channel::new(conversation, seq.previous(), publication.member_count, budget))
            });
            let cursor = channel.subscribe(user, &attached.outbox, seq.previous(), wakers);
            attached.cursors.insert(conversation, cursor);
            if self.attaching.contains_key(id) {
                attached.begun.insert(conversation);
            }
        }
    }

    fn publish_end(
        &mut self,
        publication: &Publication,
        entry: &LiveEntry,
        user: UserId,
        wakers: &mut Vec<Waker>,
    ) {
        let conversation = publication.conversation;
        let Some(known) = self.users.get_mut(&user) else {
            return self.publish_entry(publication, entry, &[], wakers);
        };
        known.left_in.remove(&conversation);
        let ids = known.connections.clone();
        let cursor_of =
            |id| self.connections.get(id).and_then(|attached| attached.cursors.get(&conversation));
        let ending: Vec<Arc<Cursor>> = ids.iter().filter_map(cursor_of).cloned().collect();
        self.publish_entry(publication, entry, &ending, wakers);
        for id in &ids {
            let Some(attached) = self.connections.get_mut(id) else { continue };
            if attached.cursors.get(&conversation).is_some_and(|cursor| !cursor.is_subscribed()) {
                attached.cursors.remove(&conversation);
            }
        }
        if !ids.is_empty() {
            let end = self.ended.entry((user, conversation)).or_insert((entry.entry.seq, Instant::now()));
            end.0 = end.0.max(entry.entry.seq);
        }
        self.drop_empty_channel(conversation);
    }

    /// The conversations that somebody is subscribed to, and the head of each.
    pub(super) fn heads(&self) -> Vec<(ConversationId, Seq)> {
        self.channels.iter().map(|(conversation, channel)| (*conversation, channel.head())).collect()
    }

    /// What a user's connections are subscribed to, and whether all that have entered are.
    pub(super) fn deliveries(&self, user: UserId) -> Vec<(ConversationId, bool)> {
        let mut entered = 0;
        let mut subscribed: HashMap<ConversationId, usize> = HashMap::new();
        for id in self.users.get(&user).map_or(&[][..], |user| &user.connections) {
            let Some(attached) = self.connections.get(id) else { continue };
            let has_entered = !self.attaching.contains_key(id);
            entered += usize::from(has_entered);
            for conversation in attached.cursors.keys() {
                *subscribed.entry(*conversation).or_default() += usize::from(has_entered);
            }
        }
        subscribed.into_iter().map(|(conversation, count)| (conversation, count == entered)).collect()
    }

    /// Subscribes the user's connections that have entered and are not subscribed, or (`None`) cuts all off.
    pub(super) fn correct(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        delivery: Option<Delivery>,
        wakers: &mut Vec<Waker>,
    ) {
        let ids = self.users.get(&user).map_or_else(Vec::new, |user| user.connections.clone());
        for id in ids {
            let Some(attached) = self.connections.get_mut(&id) else { continue };
            match delivery {
                None => {
                    if let Some(cursor) = attached.cursors.remove(&conversation) {
                        cursor.channel().cut(&cursor);
                    }
                }
                // Who is about to enter has read where the user stands.
                Some(_) if self.attaching.contains_key(&id) => {}
                Some(_) if attached.cursors.contains_key(&conversation) => {}
                Some(Delivery { after, head, member_count }) => {
                    let channel = self.channels.entry(conversation).or_insert_with(|| {
                        Arc::new(Channel::new(conversation, head, member_count, Arc::clone(&self.budget)))
                    });
                    let cursor = channel.subscribe(user, &attached.outbox, after, wakers);
                    attached.cursors.insert(conversation, cursor);
                }
            }
        }
        self.drop_empty_channel(conversation);
    }

    /// Nobody is subscribed: keeps the head for those who are about to be.
    fn note_unheard(&self, conversation: ConversationId, head: Seq) {
        if !self.attaching.is_empty() {
            let instant = Instant::now();
            let mut unheard = lock(&self.unheard);
            let (known, since) = unheard.entry(conversation).or_insert((head, instant));
            (*known, *since) = (head.max(*known), instant);
        }
    }

    fn drop_empty_channel(&mut self, conversation: ConversationId) {
        let Entry::Occupied(channel) = self.channels.entry(conversation) else { return };
        if channel.get().is_empty() {
            let head = channel.remove().head();
            self.note_unheard(conversation, head);
        }
    }

    pub(super) fn channel(&self, conversation: ConversationId) -> Option<&Arc<Channel>> {
        self.channels.get(&conversation)
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels.values()
    }

    /// The outboxes of a user's connections, or of one session of theirs, but not of `but`.
    pub(super) fn outboxes_of(
        &self,
        user: UserId,
        session: Option<SessionId>,
        but: Option<ConnectionId>,
    ) -> impl Iterator<Item = &Arc<Outbox>> {
        let ids = self.users.get(&user).map_or(&[][..], |user| &user.connections);
        ids.iter()
            .filter(move |id| but != Some(**id))
            .filter_map(|id| self.connections.get(id))
            .filter(move |attached| session.is_none_or(|session| session == attached.session))
            .map(|attached| &attached.outbox)
    }

    pub(super) fn connected_users(&self) -> Vec<UserId> {
        let connected = self.users.iter().filter(|(_, user)| !user.connections.is_empty());
        connected.map(|(id, _)| *id).collect()
    }

    pub(super) fn set_status(&mut self, user: UserId, status: Status) {
        self.presence.choose(user, status, Instant::now());
    }

    pub(super) fn status(&self, user: UserId) -> Status {
        self.presence.status(user)
    }

    /// Does what time has made due. Answers who went offline, and what others have to be told.
    pub(super) fn tick(
        &mut self,
        now: Timestamp,
        wakers: &mut Vec<Waker>,
    ) -> (Vec<(UserId, Timestamp)>, Vec<Announcement>) {
        let instant = Instant::now();
        let offline = self.presence.settle(instant, now);
        let (users, attaching) = (&self.users, &self.attaching);
        // Who has not entered any conversation yet would be announced to nobody.
        let changes = self.presence.changes(instant, now, |user| {
            let ids = users.get(&user).map_or(&[][..], |user| &user.connections);
            ids.is_empty() || ids.iter().any(|id| !attaching.contains_key(id))
        });
        let announcements = changes.into_iter().map(|presence| self.announce(presence, wakers)).collect();
        let presence = &self.presence;
        self.users.retain(|id, user| !user.connections.is_empty() || presence.knows(*id));
        self.forget(instant);
        (offline, announcements)
    }

    /// Tells the user's own connections, if there are several. Telling all others takes longer than the lock
    /// of the registry should be held.
    fn announce(&self, presence: Presence, wakers: &mut Vec<Waker>) -> Announcement {
        let Some(user) = self.users.get(&presence.user_id) else {
            return Announcement { presence, channels: Vec::new() };
        };
        if user.connections.len() > 1 {
            for outbox in self.outboxes_of(presence.user_id, None, None) {
                outbox.offer_presence(presence, wakers);
            }
        }
        let attached = user.connections.iter().filter_map(|id| self.connections.get(id));
        let mut conversations = user.left_in.clone();
        conversations.extend(attached.flat_map(|attached| attached.cursors.keys()));
        let channels = conversations.iter().filter_map(|id| self.channels.get(id));
        Announcement { presence, channels: channels.filter(|channel| channel.is_small()).cloned().collect() }
    }

    fn forget(&mut self, instant: Instant) {
        self.ended.retain(|_, (_, since)| instant.saturating_duration_since(*since) < ENDS_REMEMBERED);
        let oldest = self.attaching.values().min().copied();
        lock(&self.unheard).retain(|_, (_, since)| oldest.is_some_and(|oldest| *since >= oldest));
    }

    /// What is kept of connections, users, channels and memories, in numbers.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 6] {
        let unheard = lock(&self.unheard).len();
        let (connections, users, channels) = (&self.connections, &self.users, &self.channels);
        [connections.len(), users.len(), channels.len(), self.attaching.len(), unheard, self.ended.len()]
    }
}

/// The last entry; 0 for a publication without any.
fn last_seq(publication: &Publication) -> Seq {
    publication.entries.last().map_or(Seq::ZERO, |last| last.entry.seq)
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Channels and their readers hold each other.
        for channel in self.channels.values() {
            channel.clear();
        }
    }
}
