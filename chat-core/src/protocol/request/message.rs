//! Requests that send and read messages.

use serde::Deserialize;

use super::value::{self, ConversationSelector, Cursors, PageLimit, WireId};
use crate::domain::{ClientId, Content, MessageAnchor, MessageKind, Seq};
use crate::error::ActionError;
use crate::id::{ConversationId, UserId};
use crate::protocol::{Envelope, field};

/// A message to send.
#[derive(Debug, Clone)]
pub struct SendMessage {
    /// The room or private chat, as the action says.
    pub to: ConversationSelector,
    /// If it is given, it must be the other one of the two. Only in private chats.
    pub receiver_id: Option<WireId<UserId>>,
    /// What it says.
    pub content: Content,
    /// What that is.
    pub kind: MessageKind,
    /// The sender's key for it: sent again under the same key it is stored once.
    pub client_id: Option<ClientId>,
}

impl SendMessage {
    /// The name of the action.
    #[must_use]
    pub fn action_name(&self) -> &'static str {
        match self.to {
            ConversationSelector::Room(_) => "send_room_message",
            ConversationSelector::Chat(_) => "send_private_message",
        }
    }

    pub(in crate::protocol) fn decode_room(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            room_id: WireId<ConversationId>,
            content: Content,
            #[serde(rename = "type", default, deserialize_with = "value::name")]
            kind: MessageKind,
            client_id: Option<ClientId>,
        }
        let Fields { room_id, content, kind, client_id } = field::read(envelope)?;
        Ok(Self { to: ConversationSelector::Room(room_id), receiver_id: None, content, kind, client_id })
    }

    pub(in crate::protocol) fn decode_private(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            chat_id: WireId<ConversationId>,
            receiver_id: Option<WireId<UserId>>,
            content: Content,
            #[serde(rename = "type", default, deserialize_with = "value::name")]
            kind: MessageKind,
            client_id: Option<ClientId>,
        }
        let Fields { chat_id, receiver_id, content, kind, client_id } = field::read(envelope)?;
        Ok(Self { to: ConversationSelector::Chat(chat_id), receiver_id, content, kind, client_id })
    }
}

/// A page of messages of one conversation.
#[derive(Debug, Clone)]
pub struct History {
    /// The room, or the private chat: which of them, the action says.
    pub conversation: WireId<ConversationId>,
    /// Where the page begins.
    pub anchor: MessageAnchor,
    /// At most so many messages.
    pub limit: PageLimit,
}

/// Where a page of history may begin, as it is written: at most one of the three.
struct Anchors {
    before_seq: Option<Seq>,
    after_seq: Option<Seq>,
    offset: Option<u32>,
}

impl Anchors {
    fn one(self) -> Result<MessageAnchor, ActionError> {
        match self {
            Self { before_seq: Some(seq), after_seq: None, offset: None } => Ok(MessageAnchor::Before(seq)),
            Self { before_seq: None, after_seq: Some(seq), offset: None } => Ok(MessageAnchor::After(seq)),
            Self { before_seq: None, after_seq: None, offset } => {
                Ok(MessageAnchor::Newest { offset: offset.unwrap_or(0) })
            }
            Self { offset: Some(_), .. } => {
                Err(ActionError::invalid("offset", "must not stand beside before_seq or after_seq"))
            }
            Self { .. } => Err(ActionError::invalid("after_seq", "must not stand beside before_seq")),
        }
    }
}

impl History {
    pub(in crate::protocol) fn decode_room(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            room_id: WireId<ConversationId>,
            before_seq: Option<Seq>,
            after_seq: Option<Seq>,
            #[serde(default, deserialize_with = "value::offset")]
            offset: Option<u32>,
            #[serde(default)]
            limit: PageLimit,
        }
        let Fields { room_id, before_seq, after_seq, offset, limit } = field::read(envelope)?;
        let anchor = Anchors { before_seq, after_seq, offset }.one()?;
        Ok(Self { conversation: room_id, anchor, limit })
    }

    pub(in crate::protocol) fn decode_private(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            chat_id: WireId<ConversationId>,
            before_seq: Option<Seq>,
            after_seq: Option<Seq>,
            #[serde(default, deserialize_with = "value::offset")]
            offset: Option<u32>,
            #[serde(default)]
            limit: PageLimit,
        }
        let Fields { chat_id, before_seq, after_seq, offset, limit } = field::read(envelope)?;
        let anchor = Anchors { before_seq, after_seq, offset }.one()?;
        Ok(Self { conversation: chat_id, anchor, limit })
    }
}

/// What is missed of many conversations at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// How far the client has each conversation that it knows.
    pub cursors: Cursors,
    /// The epoch in which it got there.
    #[serde(default, deserialize_with = "value::epoch")]
    pub epoch: Option<String>,
}
