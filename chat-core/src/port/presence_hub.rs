//! Who is connected where, and how news reaches them.
//!
//! A hub carries hints. What it loses, doubles or reorders costs latency and nothing
//! else: connections read the log wherever they find a gap. Nothing here waits for a
//! socket: frames are offered to an [`Outbox`], which is bounded.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::domain::{Entry, Seq, Status};
use crate::frame::{ConnectionId, Frame};
use crate::hub::{DisconnectReason, Outbox};
use crate::id::{ConversationId, SessionId, UserId};
use crate::time::Timestamp;

/// A signed-in connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The connection, unique in this process.
    pub id: ConnectionId,
    /// Whose.
    pub user_id: UserId,
    /// Its session; several connections may belong to one.
    pub session_id: SessionId,
    /// Where its frames go.
    pub outbox: Arc<Outbox>,
}

/// Live delivery of a conversation to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The conversation.
    pub conversation: ConversationId,
    /// Entries above this one are delivered.
    pub after: Seq,
    /// Joined members; decides whether presence is pushed.
    pub member_count: u32,
}

/// What live delivery of a conversation to one of its members should be, as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Entries above this one are delivered to connections that did not get the conversation so far.
    pub after: Seq,
    /// The last entry of the log that was published here.
    pub head: Seq,
    /// Joined members.
    pub member_count: u32,
}

/// What an entry does to live delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// Nothing.
    Unchanged,
    /// For the connections of these users delivery begins with this entry.
    Begins(Vec<UserId>),
    /// For the connections of this user delivery ends after this entry.
    Ends(UserId),
}

/// An entry on its way to connections: encoded once, whatever their number.
#[derive(Debug, Clone)]
pub struct LiveEntry {
    /// The entry; other nodes apply it.
    pub entry: Entry,
    /// Its push.
    pub frame: Frame,
    /// What it does to live delivery.
    pub membership: Membership,
}

/// Durable entries of one conversation, in order and without holes.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The conversation.
    pub conversation: ConversationId,
    /// The entries; never empty.
    pub entries: Vec<LiveEntry>,
    /// Joined members after the last of them.
    pub member_count: u32,
    /// Whether this node appended them: then other nodes are told.
    pub is_ours: bool,
}

/// Who gets an ephemeral frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EphemeralTarget {
    /// The members of a conversation but one user.
    Conversation {
        /// The conversation.
        conversation: ConversationId,
        /// Who does not get it.
        but: UserId,
    },
    /// All connections of a user but one.
    User {
        /// The user.
        user: UserId,
        /// The connection that does not get it.
        but: Option<ConnectionId>,
    },
}

/// The engine, as a hub sees it. Calls come from hubs that connect several nodes.
pub trait HubListener: fmt::Debug + Send + Sync + 'static {
    /// Another node says that these entries were appended. The engine believes only what the log confirms.
    fn hint(&self, conversation: ConversationId, entries: Vec<Entry>);

    /// Hints may have been lost: look at the log of every conversation that is served here.
    fn hints_lost(&self);

    /// Another node ended these sessions.
    fn sessions_ended(&self, user: UserId, sessions: Vec<SessionId>);
}

/// Connections, their live delivery, and presence.
///
/// Every method returns at once, whatever sockets or other nodes do.
///
/// ```
/// use std::sync::Arc;
///
/// use chat_core::hub::{ConnectionId, DisconnectReason, LocalHub, Outbox};
/// use chat_core::id::{SessionId, UserId};
/// use chat_core::port::{Connection, PresenceHub};
///
/// let (hub, outbox) = (LocalHub::default(), Arc::new(Outbox::new()));
/// let (user_id, session_id) = (UserId::generate(), SessionId::generate());
/// let laptop = Connection { id: ConnectionId::next(), user_id, session_id, outbox: outbox.clone() };
/// assert_eq!(hub.attach(laptop), 1);
///
/// assert_eq!(hub.disconnect(user_id, Some(session_id), None, DisconnectReason::SessionEnded), 1);
/// assert_eq!(outbox.closed(), Some(DisconnectReason::SessionEnded));
/// ```
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait PresenceHub: fmt::Debug + Send + Sync + 'static {
    /// Tells the hub where hints from other nodes go. Called once, before anything else.
    fn listen(&self, listener: Weak<dyn HubListener>);

    /// A connection has signed in. From here on it gets what concerns its user, and memberships that
    /// begin or end. Answers how many connections the user has here, this one included.
    ///
    /// **Contract**: `attach`, then reading the user's conversations, then one [`enter`](Self::enter) with all
    /// of them misses no entry and delivers none past the end of a membership, whatever is published meanwhile.
    fn attach(&self, connection: Connection) -> usize;

    /// Begins delivery of conversations to an attached connection. A subscription that it already has stays.
    /// Does nothing for a connection that is not attached.
    fn enter(&self, connection: ConnectionId, subscriptions: Vec<Subscription>);

    /// The connection has ended or signed out. Idempotent.
    fn detach(&self, connection: ConnectionId);

    /// Delivers entries to the members that are connected, in order: entries at or below what was
    /// published before are ignored.
    fn publish(&self, publication: Publication);

    /// The last entry that was published here of a conversation that is delivered to somebody; `None` if it is
    /// delivered to nobody.
    fn head(&self, conversation: ConversationId) -> Option<Seq>;

    /// Every conversation that is delivered to somebody here, with its [`head`](Self::head).
    fn heads(&self) -> Vec<(ConversationId, Seq)>;

    /// The conversations that are delivered to a user's connections, and whether to all of those that have entered.
    fn deliveries(&self, user: UserId) -> Vec<(ConversationId, bool)>;

    /// Makes live delivery of a conversation to a user what the log says it should be: it begins for the
    /// connections that have entered and lack it, or (`None`) ends at once for all. Never called beside
    /// [`publish`](Self::publish) of the same conversation.
    fn correct(&self, user: UserId, conversation: ConversationId, delivery: Option<Delivery>);

    /// Delivers a frame that may be lost.
    fn signal(&self, target: EphemeralTarget, frame: Frame);

    /// Sets the status that a connected user shows.
    fn set_status(&self, user: UserId, status: Status);

    /// The status of each of `users`, in their order.
    fn statuses(&self, users: Vec<UserId>) -> Vec<Status>;

    /// Closes the connections of a session, or all of a user (`None`), but not `but`. Answers how many here.
    fn disconnect(
        &self,
        user: UserId,
        session: Option<SessionId>,
        but: Option<ConnectionId>,
        reason: DisconnectReason,
    ) -> usize;

    /// Does what is due: announces presence that has settled, forgets what is over. The engine calls
    /// it every few hundred milliseconds. Answers the users who went offline since, and when they were last seen.
    fn tick(&self, now: Timestamp) -> Vec<(UserId, Timestamp)>;

    /// The users who are connected here.
    fn connected_users(&self) -> Vec<UserId>;
}
