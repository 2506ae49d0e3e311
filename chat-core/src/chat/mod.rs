//! The chat engine: everything between a frame and the stores.
//!
//! [`Chat`] is what applications and transports hold. Reading order: `dispatch` takes
//! frames, `answer` says what each action does, `action/` is the typed API behind it,
//! `sequencer` writes logs, `permission` and `operation` are the rules.

mod action;
mod answer;
mod background;
mod builder;
mod connection;
mod dispatch;
mod engine;
mod hook;
mod log_state;
mod operation;
mod permission;
mod places;
mod rate;
mod reconcile;
mod scope;
mod sequencer;
mod user;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use action::{
    HistoryRequest, NewMessage, NewRoom, OtherConversation, RoomView, Sent, SyncPage, Synced, VisibleProfile,
};
pub use builder::{BuildError, ChatBuilder};
use connection::Shared;
pub use connection::{Inbound, Outbound};
use engine::Engine;
pub use hook::{ActionContext, ActionHandler, MessageHook, Observer, PendingMessage};
pub use operation::ConversationRef;
pub use permission::{ConversationAction, Relation, permit};
pub use scope::ConversationScope;
pub use user::User;

use futures::FutureExt as _;

use crate::error::ActionError;
use crate::hub::DisconnectReason;
use crate::id::{SessionId, UserId};
use crate::limits::Limits;
use crate::port::Auth;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peer {
    /// The client's address, after trusted proxies; `None` for connections from the same process.
    pub address: Option<IpAddr>,
}

/// What an engine holds in memory at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Connections, signed in or not.
    pub connections: usize,
    /// Users who are signed in on at least one of them.
    pub users: usize,
    /// Conversations that were used within the last minute or two.
    pub conversations: usize,
}

/// The chat engine: cheap to clone, one per process. The crate's front page shows one at work.
#[derive(Debug, Clone)]
pub struct Chat {
    engine: Arc<Engine>,
}

impl Chat {
    /// Puts an engine together from an [`Auth`] and a [`RoomStore`](crate::port::RoomStore).
    #[must_use]
    pub fn builder() -> ChatBuilder {
        ChatBuilder::default()
    }

    /// A new connection that nobody has signed in on. Its first frame is the greeting.
    #[must_use]
    pub fn connect(&self, peer: Peer) -> (Inbound, Outbound) {
        Shared::greet(self, peer)
    }

    /// Acts in the name of a user; the caller has made sure who that is.
    #[must_use]
    pub fn as_user(&self, user: UserId) -> User {
        User::new(self.clone(), user)
    }

    /// The limits that hold here.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.engine.limits
    }

    /// Ends a session of a user and closes its connections.
    ///
    /// # Errors
    /// `not_found` if the user has no such session; `unavailable`; `timeout` when it may have ended.
    pub async fn end_session(&self, user: UserId, session: SessionId) -> Result<(), ActionError> {
        let call = move |auth: Arc<dyn Auth>| async move { auth.end_session(user, session).await }.boxed();
        let then = move |engine: &Engine, (): &()| {
            engine.end(user, Some(session), None);
        };
        self.engine.change_and(call, then).await
    }

    /// Closes every connection of a user, for hosts that ended its sessions themselves. Answers how many here.
    #[must_use = "says how many connections were closed"]
    pub fn disconnect_user(&self, user: UserId) -> usize {
        self.engine.end(user, None, None)
    }

    /// What the engine holds in memory now, for gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.engine.connections().len(),
            users: self.engine.hub.connected_users().len(),
            conversations: self.engine.conversation_count(),
        }
    }

    /// Takes no more requests, waits until those that were taken are answered, and closes every connection
    /// with 1001; for at most `deadline`. Answers whether all were answered.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let engine = &self.engine;
        engine.draining.cancel();
        engine.tasks.close();
        let all_answered = tokio::time::timeout(deadline, engine.tasks.wait()).await.is_ok();
        engine.closing.cancel();
        for connection in engine.connections() {
            connection.outbox.close(DisconnectReason::Shutdown);
        }
        engine.background.close();
        engine.background.wait().await;
        all_answered
    }
}
