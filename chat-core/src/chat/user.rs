//! The typed API: what a user can do, for code in the same process.
//!
//! The JSON protocol calls exactly these methods, so that both are authorised,
//! limited and stored alike. They are grouped by noun in `chat/action/`.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Chat;
use super::engine::Engine;
use super::operation::{ConversationRef, Operation};
use super::permission::ConversationAction;
use super::scope::ConversationScope;
use super::sequencer::{Outcome, Reply, Submission};
use crate::domain::Entry;
use crate::error::ActionError;
use crate::id::{ConversationId, EntryId, UserId};

/// Acts in the name of a user. The caller has made sure who that is.
#[derive(Debug, Clone)]
pub struct User {
    chat: Chat,
    id: UserId,
}

impl User {
    pub(crate) fn new(chat: Chat, id: UserId) -> Self {
        Self { chat, id }
    }

    /// The user.
    #[must_use]
    pub fn id(&self) -> UserId {
        self.id
    }

    /// Proof that the user may do `action` in a conversation, for actions of the application.
    ///
    /// # Errors
    /// `not_found` or `forbidden`; `unavailable` if the store cannot be asked.
    pub async fn authorise(
        &self,
        action: ConversationAction,
        conversation: ConversationId,
    ) -> Result<ConversationScope, ActionError> {
        self.engine().authorise(action, self.id, conversation.into()).await
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.chat.engine
    }

    /// Puts an operation into its conversation's queue and waits for what becomes of it.
    pub(crate) async fn change(
        &self,
        named: ConversationRef,
        id: EntryId,
        operation: Operation,
    ) -> Result<Option<Arc<Entry>>, ActionError> {
        let (sender, receiver) = oneshot::channel::<Outcome>();
        // Whoever asked may have left; the entry stays.
        let reply = Reply::new(move |outcome| drop(sender.send(outcome)));
        self.submit(named, id, operation, reply);
        receiver.await.unwrap_or_else(|_| Err(ActionError::internal()))
    }

    /// Puts an operation into its conversation's queue, at once: the order of calls is the order of entries.
    pub(crate) fn submit(&self, named: ConversationRef, id: EntryId, operation: Operation, reply: Reply) {
        let engine = self.engine();
        let arrived_at = engine.clock.now();
        let submission = Submission { operation, named, by: self.id, id, arrived_at, reply };
        engine.sequencer(named.id()).submit(engine, submission);
    }
}
