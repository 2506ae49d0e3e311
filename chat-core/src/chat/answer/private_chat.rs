//! What users do with private chats as such.

use super::{Requester, fitting};
use crate::error::ActionError;
use crate::protocol::reply::{ChatListReply, ChatView, OpenPrivateChatReply};
use crate::protocol::request::{ListPrivateChats, OpenPrivateChat};
use crate::protocol::table::AnswersPrivateChat;

impl AnswersPrivateChat for Requester<'_> {
    async fn list_private_chats(&self, list: ListPrivateChats) -> Result<ChatListReply, ActionError> {
        let after = list.after.map(|after| after.resolve()).transpose()?;
        let (chats, mut has_more) = self.user.private_chats(after, list.limit.get()).await?;
        let chats = fitting(chats.iter().filter_map(ChatView::mine).collect(), &mut has_more);
        let next_after = chats.last().filter(|_| has_more).map(|chat| chat.chat_id);
        Ok(ChatListReply { chats, next_after })
    }

    async fn open_private_chat(&self, open: OpenPrivateChat) -> Result<OpenPrivateChatReply, ActionError> {
        let by_name = matches!(open, OpenPrivateChat::Username(_));
        let peer = match open {
            OpenPrivateChat::UserId(id) => id.resolve()?,
            OpenPrivateChat::Username(name) => self.user.find_user(&name).await?,
        };
        let chat = self.user.open_private_chat(peer).await.map_err(|error| match error.field {
            Some(_) if by_name => ActionError { field: Some("username".into()), ..error },
            _ => error,
        })?;
        Ok(OpenPrivateChatReply { chat_id: chat.id, user_id: peer })
    }
}
