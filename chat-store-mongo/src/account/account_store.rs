//! The port `AccountStore`. Commands are in the files beside this one, rows in `table/`.

use async_trait::async_trait;
use chat_core::domain::DisplayName;
use chat_core::error::StoreError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{
    Account, AccountCreation, AccountStore, NewAccount, PasswordWrite, Revocation, Rotation, Session,
    SessionMatch, SessionTokens, StoredAccount, TokenHash, UsernameKeys,
};
use chat_core::time::Timestamp;

use super::{accounts, revocation, session};
use crate::MongoStore;

#[async_trait]
impl AccountStore for MongoStore {
    async fn create_account(&self, account: NewAccount) -> Result<AccountCreation, StoreError> {
        accounts::create(&self.inner.database, &account).await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        accounts::account(&self.inner.database, user).await
    }

    async fn account_by_name(&self, name: &UsernameKeys) -> Result<Option<Account>, StoreError> {
        accounts::by_name(&self.inner.database, name).await
    }

    async fn accounts(&self, users: Vec<UserId>) -> Result<Vec<Account>, StoreError> {
        accounts::accounts(&self.inner.database, &users).await
    }

    async fn all_accounts(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<StoredAccount>, StoreError> {
        accounts::all(&self.inner.database, after, limit).await
    }

    async fn set_password(
        &self,
        user: UserId,
        expected: &str,
        hash: &str,
        reason: PasswordWrite,
    ) -> Result<bool, StoreError> {
        accounts::set_password(&self.inner.database, user, expected, hash, reason).await
    }

    async fn set_display_name(&self, user: UserId, name: &DisplayName) -> Result<(), StoreError> {
        accounts::set_display_name(&self.inner.database, user, name).await
    }

    async fn record_login(&self, user: UserId, at: Timestamp) -> Result<(), StoreError> {
        accounts::record_login(&self.inner.database, user, at).await
    }

    async fn record_seen(&self, seen: Vec<(UserId, Timestamp)>) -> Result<(), StoreError> {
        accounts::record_seen(&self.inner.database, &seen).await
    }

    async fn set_disabled(&self, user: UserId, disabled: bool) -> Result<bool, StoreError> {
        accounts::set_disabled(&self.inner.database, user, disabled).await
    }

    async fn create_session(&self, session: Session) -> Result<(), StoreError> {
        session::create(&self.inner.database, &session).await
    }

    async fn session_by_access(&self, access: TokenHash) -> Result<Option<Session>, StoreError> {
        session::by_access(&self.inner.database, access).await
    }

    async fn session_by_refresh(&self, refresh: TokenHash) -> Result<Option<SessionMatch>, StoreError> {
        session::by_refresh(&self.inner.database, refresh).await
    }

    async fn rotate_session(
        &self,
        session: SessionId,
        expected: TokenHash,
        tokens: SessionTokens,
    ) -> Result<Rotation, StoreError> {
        session::rotate(&self.inner.database, session, expected, &tokens).await
    }

    async fn touch_session(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        session::touch(&self.inner.database, session, at).await
    }

    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        session::of_user(&self.inner.database, user).await
    }

    async fn end_sessions(
        &self,
        sessions: Vec<SessionId>,
        at: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        revocation::end(&self.inner.database, &sessions, at).await
    }

    async fn revocations_since(&self, since: Timestamp) -> Result<Vec<Revocation>, StoreError> {
        revocation::since(&self.inner.database, since).await
    }

    async fn was_ended(&self, token: TokenHash) -> Result<bool, StoreError> {
        revocation::was_ended(&self.inner.database, token).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        revocation::remove_expired(&self.inner.database, now).await
    }
}
