//! Conversations, their logs and their members.
//!
//! The log decides; members and the conversation's name and topic are its projection.
//! The engine numbers nothing itself: it proposes drafts to follow a head that it
//! knows, and the store refuses when the log has moved on.

use std::fmt;

use async_trait::async_trait;

use crate::domain::{
    Conversation, ConversationKind, Draft, Entry, Head, Member, MessageAnchor, MessagePage, MyConversation,
    Seq,
};
use crate::error::StoreError;
use crate::id::{ConversationId, EntryId, UserId};
use crate::time::Timestamp;

/// A conversation to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConversation {
    /// Its id.
    pub id: ConversationId,
    /// Room or private chat.
    pub kind: ConversationKind,
    /// Who creates it. Of a private chat this is one of the pair.
    pub created_by: UserId,
    /// Now.
    pub created_at: Timestamp,
    /// The id of entry 1, `Created`.
    pub entry_id: EntryId,
}

/// What became of a conversation to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It exists now, with entry 1 and its first members.
    New(Conversation),
    /// The pair has this private chat already.
    Existing(Conversation),
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Append {
    /// Every draft is in the log, durably; one outcome for each, in the order of the drafts.
    Done(Vec<Appended>),
    /// The log has another head than was expected. Drafts up to some point may be in it:
    /// read on from the head you know, and look for them by id.
    Conflict(Head),
}

/// What became of one draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is this new entry.
    New(Entry),
    /// An entry with its id is in the log already, durably: this one. Nothing was added,
    /// and what it says may differ from the draft.
    Duplicate(Entry),
}

/// A stretch of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRange {
    /// Entries above this one.
    pub after: Seq,
    /// Up to and including this one.
    pub upto: Seq,
    /// At most so many entries.
    pub limit: u32,
    /// A page ends before the entry that would bring its contents above so many bytes,
    /// but has at least one entry.
    pub max_bytes: usize,
}

/// Entries in the order of their numbers, without holes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether the range goes on.
    pub more: bool,
}

/// A page of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageQuery {
    /// Where it begins.
    pub anchor: MessageAnchor,
    /// Only messages from this entry on.
    pub from: Seq,
    /// Only messages up to this entry.
    pub upto: Seq,
    /// At most so many messages.
    pub limit: u32,
    /// As in [`EntryRange`].
    pub max_bytes: usize,
}

/// Which of a user's conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MembershipPage {
    /// Rooms (joined or invited) or else private chats.
    pub rooms: bool,
    /// Only those whose id is above this one. Pages are in the order of ids.
    pub after: Option<ConversationId>,
    /// At most so many.
    pub limit: u32,
}

/// Where a user stands in a conversation, read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The conversation.
    pub conversation: Conversation,
    /// The user's row in it.
    pub member: Member,
}

/// A search among public rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomQuery {
    /// Part of the name, whatever its case ([`search_folded`](crate::domain::search_folded)); empty finds all.
    pub text: String,
    /// Only rooms whose id is above this one. Pages are in the order of ids.
    pub after: Option<ConversationId>,
    /// At most so many.
    pub limit: u32,
}

/// Keeps conversations, logs and members.
///
/// ```
/// use chat_core::domain::{ConversationKind, Draft, EntryBody, Event, RoomName, Topic, Visibility};
/// use chat_core::id::{ConversationId, EntryId, UserId};
/// use chat_core::memory::MemoryStore;
/// use chat_core::port::{Append, Creation, NewConversation, RoomStore};
/// use chat_core::time::{Clock, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, ann) = (MemoryStore::new(), UserId::generate());
/// let (name, topic) = (RoomName::new("Garden")?, Topic::new("")?);
/// let new = NewConversation {
///     id: ConversationId::generate(),
///     kind: ConversationKind::Room { name, topic, visibility: Visibility::Public },
///     created_by: ann,
///     created_at: SystemClock.now(),
///     entry_id: EntryId::generate(),
/// };
/// let Creation::New(garden) = store.create(new).await? else { panic!("its id is new") };
///
/// let draft = Draft {
///     id: EntryId::generate(),
///     by: ann,
///     timestamp: SystemClock.now(),
///     body: EntryBody::Event(Event::Joined { user: UserId::generate() }),
/// };
/// let first = store.append(garden.id, garden.head, vec![draft.clone()]).await?;
/// assert!(matches!(first, Append::Done(outcomes) if outcomes.len() == 1));
/// // The log has moved on: whoever decided on the old head has to decide again.
/// let second = store.append(garden.id, garden.head, vec![draft]).await?;
/// assert!(matches!(second, Append::Conflict(head) if head.seq.get() == 2));
/// # Ok(())
/// # }
/// ```
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait RoomStore: fmt::Debug + Send + Sync + 'static {
    /// Names the history that this store holds. Changes only when an older state was
    /// restored; then clients drop what they have.
    async fn epoch(&self) -> Result<String, StoreError>;

    /// Creates a conversation with entry 1 (`Created`) and its first members: the creator
    /// as owner of a room, both users of a private chat as members.
    ///
    /// **Contract**: atomic and durable; of any number of concurrent calls for one pair exactly one
    /// answers `New`, all others `Existing` with the same conversation.
    /// **Retry**: with the same ids after an unknown outcome answers the conversation, as `New` or `Existing`.
    async fn create(&self, new: NewConversation) -> Result<Creation, StoreError>;

    /// The conversation at its head.
    ///
    /// **Contract**: sees every append and creation that was acknowledged, through whatever node; members
    /// and the conversation reflect every entry up to `head`.
    async fn conversation(&self, conversation: ConversationId) -> Result<Option<Conversation>, StoreError>;

    /// How far each of these logs has come, in no order; unknown ones are left out. For comparing many at
    /// once: whoever finds one ahead reads the [`conversation`](Self::conversation). Up to
    /// [`hard::HEADS`](crate::limits::hard::HEADS) ids.
    async fn heads(
        &self,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<(ConversationId, Head)>, StoreError>;

    /// Writes drafts behind `expected`, in their order, numbered without a hole.
    ///
    /// **Contract**: when it answers `Done` the entries are durable for ever, and members and conversation
    /// reflect them. A draft whose id the log has (or an earlier draft of the same call) is a `Duplicate` and
    /// takes no number. Up to [`hard::BATCH_ENTRIES`](crate::limits::hard::BATCH_ENTRIES) drafts; only the last may be an event.
    /// An unknown conversation is `Corrupt`.
    /// **Errors**: `Unavailable`: nothing was written. `Timeout`: unknown; read the log before the next append.
    /// **Retry**: harmless, as the ids stay the same.
    async fn append(
        &self,
        conversation: ConversationId,
        expected: Head,
        drafts: Vec<Draft>,
    ) -> Result<Append, StoreError>;

    /// The entry with this id in this conversation, if it is durable.
    async fn entry(&self, conversation: ConversationId, id: EntryId) -> Result<Option<Entry>, StoreError>;

    /// A stretch of the log, in order and without holes. Empty for an unknown conversation.
    ///
    /// **Contract**: costs the same wherever in the log it is.
    async fn entries(&self, conversation: ConversationId, range: EntryRange)
    -> Result<EntryPage, StoreError>;

    /// A page of messages. Empty for an unknown conversation.
    async fn messages(
        &self,
        conversation: ConversationId,
        query: MessageQuery,
    ) -> Result<MessagePage, StoreError>;

    /// A user's row in a conversation.
    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError>;

    /// Joined members in the order of their user ids, those above `after` (`None`: from the first).
    async fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError>;

    /// A page of the user's conversations with what a list shows of them. Closed rooms are left out.
    async fn my_conversations(
        &self,
        user: UserId,
        page: MembershipPage,
    ) -> Result<Vec<MyConversation>, StoreError>;

    /// A page of the conversations that the user is joined in, rooms and private chats together, in the order of
    /// their ids, for live delivery and `sync`: `after` and `limit` as in [`MembershipPage`].
    async fn standings(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Standing>, StoreError>;

    /// How many rooms the user is joined in.
    async fn room_count(&self, user: UserId) -> Result<u32, StoreError>;

    /// A page of public rooms that are not closed, by part of their name.
    async fn discover(&self, query: RoomQuery) -> Result<Vec<Conversation>, StoreError>;

    /// All conversations in the order of their ids, those above `after` (`None`: from the first): rooms, closed ones too,
    /// and private chats, each at its head. At most `limit`. For copying a store; no client is answered with it.
    async fn all_conversations(
        &self,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError>;

    /// Moves the user's read position up to `seq`, never backwards and not above the head.
    /// Answers the position that holds now; `None` if the user is not joined.
    async fn mark_read(
        &self,
        conversation: ConversationId,
        user: UserId,
        seq: Seq,
    ) -> Result<Option<Seq>, StoreError>;

    /// Whether the two users share a conversation that both are joined in. Asked for up to 100 `others`;
    /// answers those who share one.
    async fn sharing(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<UserId>, StoreError>;
}
