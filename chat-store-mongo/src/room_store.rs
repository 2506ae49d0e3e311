//! The port for conversations, put together from what the other files do.

use async_trait::async_trait;
use chat_core::domain::{Conversation, Draft, Entry, Head, Member, Seq};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{
    Append, Creation, EntryPage, EntryRange, MembershipPage, MessagePage, MessageQuery, MyConversation,
    NewConversation, RoomQuery, RoomStore, Standing,
};

use crate::MongoStore;
use crate::log::{creation, messages, projection, read};
use crate::view::{discovery, lists, membership, moment};

#[async_trait]
impl RoomStore for MongoStore {
    async fn epoch(&self) -> Result<String, StoreError> {
        Ok(self.inner.epoch.clone())
    }

    async fn create(&self, new: NewConversation) -> Result<Creation, StoreError> {
        creation::create(self.database(), new).await
    }

    async fn conversation(&self, conversation: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.database().barrier().await?;
        let found = projection::load(self.database(), conversation).await?;
        self.database().flush().await?;
        Ok(found)
    }

    async fn heads(
        &self,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<(ConversationId, Head)>, StoreError> {
        moment::heads(self.database(), conversations).await
    }

    async fn append(
        &self,
        conversation: ConversationId,
        expected: Head,
        drafts: Vec<Draft>,
    ) -> Result<Append, StoreError> {
        self.inner.appender.append(conversation, expected, drafts).await
    }

    async fn entry(&self, conversation: ConversationId, id: EntryId) -> Result<Option<Entry>, StoreError> {
        read::entry(self.database(), conversation, id).await
    }

    async fn entries(
        &self,
        conversation: ConversationId,
        range: EntryRange,
    ) -> Result<EntryPage, StoreError> {
        read::entries(self.database(), conversation, range).await
    }

    async fn messages(
        &self,
        conversation: ConversationId,
        query: MessageQuery,
    ) -> Result<MessagePage, StoreError> {
        messages::messages(self.database(), conversation, query).await
    }

    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError> {
        membership::member(self.database(), conversation, user).await
    }

    async fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError> {
        membership::members(self.database(), conversation, after, limit).await
    }

    async fn my_conversations(
        &self,
        user: UserId,
        page: MembershipPage,
    ) -> Result<Vec<MyConversation>, StoreError> {
        lists::my_conversations(self.database(), user, page).await
    }

    async fn standings(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Standing>, StoreError> {
        lists::standings(self.database(), user, after, limit).await
    }

    async fn all_conversations(
        &self,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        lists::all_conversations(self.database(), after, limit).await
    }

    async fn room_count(&self, user: UserId) -> Result<u32, StoreError> {
        membership::room_count(self.database(), user).await
    }

    async fn discover(&self, query: RoomQuery) -> Result<Vec<Conversation>, StoreError> {
        discovery::discover(self.database(), query).await
    }

    async fn mark_read(
        &self,
        conversation: ConversationId,
        user: UserId,
        seq: Seq,
    ) -> Result<Option<Seq>, StoreError> {
        membership::mark_read(self.database(), conversation, user, seq).await
    }

    async fn sharing(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<UserId>, StoreError> {
        membership::sharing(self.database(), user, others).await
    }
}
