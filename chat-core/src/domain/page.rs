//! What users see of their conversations a page at a time: messages, and lists of conversations.

use super::{Conversation, Entry, Member, Seq};

/// Where a page of messages begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageAnchor {
    /// The newest messages, so many of the newest skipped.
    Newest {
        /// Messages to skip.
        offset: u32,
    },
    /// The newest messages below this entry.
    Before(Seq),
    /// The oldest messages above this entry.
    After(Seq),
}

/// Messages, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessagePage {
    /// The entries; all are messages.
    pub entries: Vec<Entry>,
    /// Whether there are more in the direction that was asked for: older ones for
    /// `Newest` and `Before`, newer ones for `After`.
    pub has_more: bool,
}

/// How many messages by others a user has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Exactly so many.
    Exactly(u64),
    /// So many or more.
    AtLeast(u64),
}

/// One of a user's conversations, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyConversation {
    /// The conversation.
    pub conversation: Conversation,
    /// The user's row in it.
    pub member: Member,
    /// Its newest message; `None` for invitees and where there is none (in a private room: none since the latest join).
    pub last_message: Option<Entry>,
    /// Messages by others above the read position (at least the latest join); `Exactly(0)` for invitees.
    pub unread: Unread,
}
