//! What users do with messages: sending them, reading them, saying how far they have read.

use super::Requester;
use crate::chat::action::{HistoryRequest, NewMessage};
use crate::chat::operation::ConversationRef;
use crate::error::ActionError;
use crate::protocol::reply::{Done, HistoryReply, MarkReadReply, SendReply};
use crate::protocol::request::{ConversationSelector, History, MarkRead, SendMessage, Typing};
use crate::protocol::table::{AnswersMessage, AnswersSend};

/// Where a message goes, and the message as the typed API takes it.
pub(in crate::chat) fn new_message(send: SendMessage) -> Result<(ConversationRef, NewMessage), ActionError> {
    let named = named(send.to)?;
    let receiver = send.receiver_id.map(|receiver| receiver.resolve()).transpose();
    let receiver =
        receiver.map_err(|_| ActionError::invalid("receiver_id", "is not the other user of this chat"))?;
    let SendMessage { content, kind, client_id, .. } = send;
    Ok((named, NewMessage { content, kind, client_id, receiver }))
}

fn named(selector: ConversationSelector) -> Result<ConversationRef, ActionError> {
    match selector {
        ConversationSelector::Room(id) => id.resolve().map(ConversationRef::Room),
        ConversationSelector::Chat(id) => id.resolve().map(ConversationRef::PrivateChat),
    }
}

impl AnswersSend for Requester<'_> {
    async fn send(&self, send: SendMessage) -> Result<SendReply, ActionError> {
        let (named, message) = new_message(send)?;
        self.user.send_message(named, message).await
    }
}

impl AnswersMessage for Requester<'_> {
    async fn get_room_messages(&self, history: History) -> Result<HistoryReply, ActionError> {
        self.page(ConversationRef::Room(history.conversation.resolve()?), &history).await
    }

    async fn get_private_messages(&self, history: History) -> Result<HistoryReply, ActionError> {
        self.page(ConversationRef::PrivateChat(history.conversation.resolve()?), &history).await
    }

    async fn mark_read(&self, mark: MarkRead) -> Result<MarkReadReply, ActionError> {
        let read_seq =
            self.user.mark_read_from(named(mark.conversation)?, mark.seq, Some(self.call.shared.id)).await?;
        Ok(MarkReadReply { read_seq })
    }

    async fn typing(&self, typing: Typing) -> Result<Done, ActionError> {
        self.user.typing(named(typing.conversation)?).await.map(|()| Done {})
    }
}

impl Requester<'_> {
    async fn page(&self, named: ConversationRef, history: &History) -> Result<HistoryReply, ActionError> {
        let request = HistoryRequest { anchor: history.anchor, limit: history.limit.get() };
        let (page, context) = self.user.history_in(named, request).await?;
        Ok(HistoryReply::new(&page, context))
    }
}
