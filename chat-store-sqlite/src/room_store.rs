//! The port `RoomStore`: each method as a read or a command. What they do is in
//! `log` and `view`, statements are in `table`.

use async_trait::async_trait;
use chat_core::domain::{Conversation, Draft, Entry, Head, Member, Seq};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{
    Append, Creation, EntryPage, EntryRange, MembershipPage, MessagePage, MessageQuery, MyConversation,
    NewConversation, RoomQuery, RoomStore, Standing,
};

use crate::SqliteStore;
use crate::log::{append, conversation, read};
use crate::server::writer::Size;
use crate::table::{members, meta};
use crate::view::{discovery, lists, sharing, unread};

/// What an entry takes beside its content.
const ENTRY_BYTES: usize = 128;

#[async_trait]
impl RoomStore for SqliteStore {
    async fn epoch(&self) -> Result<String, StoreError> {
        self.read(meta::epoch).await
    }

    async fn create(&self, new: NewConversation) -> Result<Creation, StoreError> {
        self.write(move |connection| conversation::create(connection, &new)).await
    }

    async fn conversation(&self, conversation: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.read(move |connection| conversation::conversation(connection, conversation)).await
    }

    async fn heads(
        &self,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<(ConversationId, Head)>, StoreError> {
        self.read(move |connection| read::heads(connection, &conversations)).await
    }

    async fn append(
        &self,
        conversation: ConversationId,
        expected: Head,
        drafts: Vec<Draft>,
    ) -> Result<Append, StoreError> {
        let bytes = drafts.iter().map(|draft| ENTRY_BYTES + draft.body.content_bytes()).sum();
        let size = Size { entries: drafts.len(), bytes };
        self.write_sized(size, move |connection| append::append(connection, conversation, expected, &drafts))
            .await
    }

    async fn entry(&self, conversation: ConversationId, id: EntryId) -> Result<Option<Entry>, StoreError> {
        self.read(move |connection| read::entry_with_id(connection, conversation, id)).await
    }

    async fn entries(
        &self,
        conversation: ConversationId,
        range: EntryRange,
    ) -> Result<EntryPage, StoreError> {
        self.read(move |connection| read::entries(connection, conversation, range)).await
    }

    async fn messages(
        &self,
        conversation: ConversationId,
        query: MessageQuery,
    ) -> Result<MessagePage, StoreError> {
        self.read(move |connection| read::messages(connection, conversation, query)).await
    }

    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError> {
        self.read(move |connection| members::find(connection, conversation, user)).await
    }

    async fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError> {
        self.read(move |connection| members::members(connection, conversation, after, limit)).await
    }

    async fn my_conversations(
        &self,
        user: UserId,
        page: MembershipPage,
    ) -> Result<Vec<MyConversation>, StoreError> {
        self.read(move |connection| lists::my_conversations(connection, user, page)).await
    }

    async fn standings(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Standing>, StoreError> {
        self.read(move |connection| lists::standings(connection, user, after, limit)).await
    }

    async fn room_count(&self, user: UserId) -> Result<u32, StoreError> {
        self.read(move |connection| members::room_count(connection, user)).await
    }

    async fn discover(&self, query: RoomQuery) -> Result<Vec<Conversation>, StoreError> {
        self.read(move |connection| discovery::discover(connection, &query)).await
    }

    async fn all_conversations(
        &self,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        self.read(move |connection| conversation::all(connection, after, limit)).await
    }

    async fn mark_read(
        &self,
        conversation: ConversationId,
        user: UserId,
        seq: Seq,
    ) -> Result<Option<Seq>, StoreError> {
        self.write(move |connection| unread::mark_read(connection, conversation, user, seq)).await
    }

    async fn sharing(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<UserId>, StoreError> {
        self.read(move |connection| sharing::sharing(connection, user, others)).await
    }
}
