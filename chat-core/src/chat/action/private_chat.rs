//! Private chats: one for each pair of users.

use std::sync::Arc;

use crate::chat::user::User;
use crate::domain::{Conversation, ConversationKind, MyConversation, Pair};
use crate::error::ActionError;
use crate::id::{ConversationId, UserId};

impl User {
    /// The private chat with another user; created if there is none yet. Always the same for a
    /// pair, whoever asks and however many at once.
    ///
    /// # Errors
    /// `not_found` for an unknown user, `invalid_params` for oneself.
    pub async fn open_private_chat(&self, peer: UserId) -> Result<Arc<Conversation>, ActionError> {
        let pair = Pair::new(self.id(), peer)
            .ok_or_else(|| ActionError::invalid("user_id", "must be another user"))?;
        self.require_user(peer).await?;
        self.create_conversation(ConversationKind::Private(pair)).await
    }

    /// The user with this name, as a person would type it.
    ///
    /// # Errors
    /// `not_found` if there is none.
    pub async fn find_user(&self, name: &str) -> Result<UserId, ActionError> {
        self.engine().ask(self.engine().auth.find_user(name)).await?.ok_or_else(ActionError::not_found)
    }

    /// A page of the user's private chats, in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// `unavailable` from the store.
    pub async fn private_chats(
        &self,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<(Vec<MyConversation>, bool), ActionError> {
        self.my_conversations(false, after, limit).await
    }
}
