//! Messages: sending them, reading them, saying how far one has read.

use super::fit::{keep_first, keep_last};
use crate::chat::operation::{ConversationRef, Operation};
use crate::chat::permission::ConversationAction;
use crate::chat::sequencer::Reply;
use crate::chat::user::User;
use crate::domain::{
    ClientId, Content, EntryBody, InvalidText, Message, MessageAnchor, MessageKind, MessagePage, Seq,
};
use crate::error::ActionError;
use crate::frame::ConnectionId;
use crate::id::{EntryId, UserId};
use crate::limits::hard;
use crate::port::{EphemeralTarget, MessageQuery};
use crate::protocol::EntryContext;
use crate::protocol::event::{Push, ReadMarker, Typing};
pub use crate::protocol::reply::SendReply as Sent;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// What it says.
    pub content: Content,
    /// What that is.
    pub kind: MessageKind,
    /// Sending again with the same key stores nothing twice and returns the first result.
    pub client_id: Option<ClientId>,
    /// If given, must be the other user of the private chat.
    pub receiver: Option<UserId>,
}

impl NewMessage {
    /// A text.
    ///
    /// # Errors
    /// Says what is wrong with `content`.
    pub fn text(content: impl Into<String>) -> Result<Self, InvalidText> {
        let content = Content::new(content)?;
        Ok(Self { content, kind: MessageKind::Text, client_id: None, receiver: None })
    }

    /// The same with a key.
    #[must_use]
    pub fn with_client_id(self, client_id: ClientId) -> Self {
        Self { client_id: Some(client_id), ..self }
    }
}

/// A page of history to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRequest {
    /// Where it begins.
    pub anchor: MessageAnchor,
    /// At most so many messages; 1 to 100.
    pub limit: u32,
}

impl Default for HistoryRequest {
    fn default() -> Self {
        Self { anchor: MessageAnchor::Newest { offset: 0 }, limit: hard::PAGE_ITEMS_DEFAULT }
    }
}

impl User {
    /// Sends a message to a conversation that the user is a member of.
    ///
    /// # Errors
    /// `forbidden` or `not_found`; `conflict` if the `client_id` was used for another message;
    /// `unavailable`: nothing was stored; `timeout`: unknown, send again with the same `client_id`.
    pub async fn send_message(
        &self,
        conversation: impl Into<ConversationRef>,
        message: NewMessage,
    ) -> Result<Sent, ActionError> {
        let named = conversation.into();
        let (id, operation) = self.sending(named, message)?;
        let entry = self.change(named, id, operation).await?.ok_or_else(ActionError::internal)?;
        Ok(Sent::from(entry.as_ref()))
    }

    /// The same without waiting: messages get their numbers in the order of calls.
    pub(crate) fn submit_message(&self, named: ConversationRef, message: NewMessage, reply: Reply) {
        match self.sending(named, message) {
            Ok((id, operation)) => self.submit(named, id, operation, reply),
            Err(error) => reply.refuse(error),
        }
    }

    fn sending(
        &self,
        named: ConversationRef,
        message: NewMessage,
    ) -> Result<(EntryId, Operation), ActionError> {
        let max = self.engine().limits.content_bytes;
        if message.content.as_str().len() > max {
            return Err(ActionError::invalid("content", format!("must have at most {max} bytes")));
        }
        let id = self.message_id(named, message.client_id.as_ref());
        let NewMessage { content, kind, client_id, receiver } = message;
        Ok((id, Operation::Send { message: Message { content, kind, client_id }, receiver }))
    }

    fn message_id(&self, named: ConversationRef, client_id: Option<&ClientId>) -> EntryId {
        match client_id {
            Some(client_id) => EntryId::derived(named.id(), self.id(), client_id.as_str()),
            None => EntryId::generate(),
        }
    }

    /// The first result of a message that is about to be refused but was stored before.
    pub(crate) async fn sent_before(&self, named: ConversationRef, message: &NewMessage) -> Option<Sent> {
        let id = self.message_id(named, Some(message.client_id.as_ref()?));
        let engine = self.engine();
        let entry = engine.read(engine.rooms.entry(named.id(), id)).await.ok()??;
        let EntryBody::Message(stored) = &entry.body else { return None };
        let same = entry.by == self.id() && stored.content == message.content && stored.kind == message.kind;
        same.then(|| Sent::from(&entry))
    }

    /// A page of messages, the oldest first.
    ///
    /// # Errors
    /// `forbidden` or `not_found`.
    pub async fn history(
        &self,
        conversation: impl Into<ConversationRef>,
        request: HistoryRequest,
    ) -> Result<MessagePage, ActionError> {
        self.history_in(conversation.into(), request).await.map(|(page, _)| page)
    }

    /// The same with what the conversation is, for encoding.
    pub(crate) async fn history_in(
        &self,
        named: ConversationRef,
        request: HistoryRequest,
    ) -> Result<(MessagePage, EntryContext), ActionError> {
        let engine = self.engine();
        let scope = engine.authorise(ConversationAction::Read, self.id(), named).await?;
        let query = MessageQuery {
            anchor: request.anchor,
            from: scope.readable_from(),
            upto: scope.readable_upto(),
            limit: request.limit.clamp(1, hard::PAGE_ITEMS),
            max_bytes: hard::PAGE_BYTES,
        };
        let mut page = engine.read(engine.rooms.messages(scope.id(), query)).await?;
        let mut room = hard::PAGE_BYTES;
        let cut = match request.anchor {
            MessageAnchor::After(_) => keep_first(&mut page.entries, &mut room),
            MessageAnchor::Newest { .. } | MessageAnchor::Before(_) => {
                keep_last(&mut page.entries, &mut room)
            }
        };
        page.has_more |= cut;
        Ok((page, EntryContext::of(scope.conversation())))
    }

    /// Says that everything up to `seq` is read; never goes backwards or beyond the log. Answers the
    /// position that holds now. The user's other devices are told, and the peer of a private chat.
    ///
    /// # Errors
    /// `forbidden` or `not_found`; `timeout` when it may be stored.
    pub async fn mark_read(
        &self,
        conversation: impl Into<ConversationRef>,
        seq: Seq,
    ) -> Result<Seq, ActionError> {
        self.mark_read_from(conversation.into(), seq, None).await
    }

    /// The same from a connection, which needs no push about it.
    pub(crate) async fn mark_read_from(
        &self,
        named: ConversationRef,
        seq: Seq,
        from: Option<ConnectionId>,
    ) -> Result<Seq, ActionError> {
        let engine = self.engine();
        let scope = engine.authorise(ConversationAction::MarkRead, self.id(), named).await?;
        let seq = seq.min(scope.readable_upto());
        let marked = engine.write(engine.rooms.mark_read(scope.id(), self.id(), seq)).await;
        let marked = marked.map_err(|error| {
            tracing::warn!(error = %error, "a read position may not be stored");
            ActionError::from(&error)
        })?;
        let position = marked.ok_or_else(ActionError::forbidden)?;
        if position == seq {
            let conversation = EntryContext::of(scope.conversation()).key(scope.id());
            let marker = ReadMarker { conversation, user_id: self.id(), read_seq: position };
            let push = Push::ReadMarker(marker).encode();
            engine.hub.signal(EphemeralTarget::User { user: self.id(), but: from }, push.clone());
            if let Some(peer) = scope.conversation().pair().and_then(|pair| pair.peer_of(self.id())) {
                engine.hub.signal(EphemeralTarget::User { user: peer, but: None }, push);
            }
        }
        Ok(position)
    }

    /// Tells the other members that the user is typing. May be lost.
    ///
    /// # Errors
    /// `forbidden` or `not_found`.
    pub async fn typing(&self, conversation: impl Into<ConversationRef>) -> Result<(), ActionError> {
        let engine = self.engine();
        let scope = engine.authorise(ConversationAction::Type, self.id(), conversation.into()).await?;
        let conversation = EntryContext::of(scope.conversation()).key(scope.id());
        let push = Push::Typing(Typing { conversation, user_id: self.id() }).encode();
        let target = EphemeralTarget::Conversation { conversation: scope.id(), but: self.id() };
        engine.hub.signal(target, push);
        Ok(())
    }
}
