//! Proof that a user may do something in one conversation.
//!
//! Only the engine's `authorise` makes a [`ConversationScope`]. What works on a
//! conversation takes a scope and no conversation: it cannot touch another one.

use std::sync::Arc;

use crate::domain::{Conversation, ConversationKind, Member, Seq, Visibility};
use crate::id::{ConversationId, UserId};

/// A user in a conversation, as authorised at one moment.
#[derive(Debug, Clone)]
pub struct ConversationScope {
    user: UserId,
    conversation: Arc<Conversation>,
    member: Member,
}

impl ConversationScope {
    pub(crate) fn new(user: UserId, conversation: Arc<Conversation>, member: Member) -> Self {
        Self { user, conversation, member }
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The conversation's id.
    #[must_use]
    pub fn id(&self) -> ConversationId {
        self.conversation.id
    }

    /// The conversation at the head up to which the user was authorised.
    #[must_use]
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// The user's row at that head.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The last entry that may be read under this authorisation.
    #[must_use]
    pub fn readable_upto(&self) -> Seq {
        self.conversation.head.seq
    }

    /// The first entry that the user may read.
    #[must_use]
    pub fn readable_from(&self) -> Seq {
        readable_from(&self.conversation, &self.member)
    }
}

/// The first entry that a member may read: in a private room their latest join, else the first.
pub(crate) fn readable_from(conversation: &Conversation, member: &Member) -> Seq {
    match conversation.kind {
        ConversationKind::Room { visibility: Visibility::Private, .. } => member.since_seq,
        ConversationKind::Room { visibility: Visibility::Public, .. } | ConversationKind::Private(_) => {
            Seq::ZERO.next()
        }
    }
}
