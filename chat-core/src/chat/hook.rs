//! Where an application joins in: it may refuse messages, watch what was committed,
//! and add actions of its own.

use std::fmt;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::Chat;
use super::user::User;
use crate::domain::{Content, Conversation, Entry, MessageKind};
use crate::error::ActionError;
use crate::id::{ConversationId, SessionId, UserId};

/// A message that is about to be stored.
#[derive(Debug, Clone)]
pub struct PendingMessage {
    /// Where it goes.
    pub conversation: ConversationId,
    /// Who sends it.
    pub by: UserId,
    /// What it says.
    pub content: Content,
    /// What that is.
    pub kind: MessageKind,
}

/// May refuse messages before they are stored: moderation, quotas, word lists.
///
/// It runs in the conversation's own order, for members only. It has a second;
/// afterwards the message is answered `unavailable`. A panic refuses too.
///
/// ```
/// use async_trait::async_trait;
/// use chat_core::chat::{MessageHook, PendingMessage};
/// use chat_core::protocol::{ActionError, Code};
///
/// #[derive(Debug)]
/// struct NoShouting;
///
/// #[async_trait]
/// impl MessageHook for NoShouting {
///     async fn check(&self, message: &PendingMessage) -> Result<(), ActionError> {
///         let text = message.content.as_str();
///         if text.chars().any(char::is_alphabetic) && text == text.to_uppercase() {
///             return Err(ActionError::new(Code::Forbidden, "Please do not shout"));
///         }
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait MessageHook: fmt::Debug + Send + Sync + 'static {
    /// Lets the message pass or says why not. It cannot change it.
    ///
    /// # Errors
    /// What the sender is answered.
    async fn check(&self, message: &PendingMessage) -> Result<(), ActionError>;
}

/// Sees every entry that this process committed, in order per conversation, after its sender was
/// answered. It must return quickly: hand longer work to a task of your own.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// `entry` is durable in `conversation`.
    fn committed(&self, conversation: &Conversation, entry: &Entry);
}

/// Who calls an action of the application.
#[derive(Debug, Clone)]
pub struct ActionContext {
    /// The engine.
    pub chat: Chat,
    /// The signed-in user.
    pub user_id: UserId,
    /// Their session.
    pub session_id: SessionId,
}

impl ActionContext {
    /// The engine's actions in the name of the caller, each authorised as if the caller had sent it.
    #[must_use]
    pub fn user(&self) -> User {
        self.chat.as_user(self.user_id)
    }
}

/// An action of the application. Its name is `namespace.name` and cannot shadow protocol v1.
/// Callers are signed in and within the same limits as for any other action.
///
/// ```
/// use async_trait::async_trait;
/// use chat_core::chat::{ActionContext, ActionHandler};
/// use chat_core::protocol::ActionError;
/// use serde_json::{Map, Value, json};
///
/// /// `{"action": "dice.roll"}` is answered `{"success": true, "eyes": 4}`.
/// #[derive(Debug)]
/// struct Roll;
///
/// #[async_trait]
/// impl ActionHandler for Roll {
///     async fn handle(
///         &self,
///         _context: ActionContext,
///         _fields: Map<String, Value>,
///     ) -> Result<Map<String, Value>, ActionError> {
///         Ok(Map::from_iter([("eyes".to_owned(), json!(4))]))
///     }
/// }
/// ```
#[async_trait]
pub trait ActionHandler: fmt::Debug + Send + Sync + 'static {
    /// Does it. `fields` are the request's without `action`, `request_id` and `token`; what is
    /// returned stands in the reply beside `success` and `request_id`. It has up to 191 KiB of JSON: a longer
    /// one is answered `limit_exceeded`, although what was done is done.
    ///
    /// # Errors
    /// What the caller is answered.
    async fn handle(
        &self,
        context: ActionContext,
        fields: Map<String, Value>,
    ) -> Result<Map<String, Value>, ActionError>;
}
