//! The port `AccountStore`: each method as a read or a command. What takes more than one
//! statement is in `account`, statements are in `table`.

use async_trait::async_trait;
use chat_core::domain::DisplayName;
use chat_core::error::StoreError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{
    Account, AccountCreation, AccountStore, NewAccount, PasswordWrite, Revocation, Rotation, Session,
    SessionMatch, SessionTokens, StoredAccount, TokenHash, UsernameKeys,
};
use chat_core::time::Timestamp;

use crate::SqliteStore;
use crate::account::{name, session};
use crate::table::{accounts, revocations, sessions};

#[async_trait]
impl AccountStore for SqliteStore {
    async fn create_account(&self, account: NewAccount) -> Result<AccountCreation, StoreError> {
        self.write(move |connection| name::create(connection, &account)).await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        self.read(move |connection| accounts::account(connection, user)).await
    }

    async fn account_by_name(&self, name: &UsernameKeys) -> Result<Option<Account>, StoreError> {
        let name = name.clone();
        self.read(move |connection| name::by_name(connection, &name)).await
    }

    async fn accounts(&self, users: Vec<UserId>) -> Result<Vec<Account>, StoreError> {
        self.read(move |connection| name::accounts(connection, &users)).await
    }

    async fn all_accounts(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<StoredAccount>, StoreError> {
        self.read(move |connection| accounts::page(connection, after, limit)).await
    }

    async fn set_password(
        &self,
        user: UserId,
        expected: &str,
        hash: &str,
        _reason: PasswordWrite,
    ) -> Result<bool, StoreError> {
        let (expected, hash) = (expected.to_owned(), hash.to_owned());
        self.write(move |connection| accounts::set_password(connection, user, &expected, &hash)).await
    }

    async fn set_display_name(&self, user: UserId, name: &DisplayName) -> Result<(), StoreError> {
        let name = name.clone();
        self.write(move |connection| accounts::set_display_name(connection, user, &name)).await
    }

    async fn record_login(&self, user: UserId, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |connection| accounts::record_login(connection, user, at)).await
    }

    async fn record_seen(&self, seen: Vec<(UserId, Timestamp)>) -> Result<(), StoreError> {
        self.write(move |connection| accounts::record_seen(connection, &seen)).await
    }

    async fn set_disabled(&self, user: UserId, disabled: bool) -> Result<bool, StoreError> {
        self.write(move |connection| accounts::set_disabled(connection, user, disabled)).await
    }

    async fn create_session(&self, session: Session) -> Result<(), StoreError> {
        self.write(move |connection| sessions::insert(connection, &session)).await
    }

    async fn session_by_access(&self, access: TokenHash) -> Result<Option<Session>, StoreError> {
        self.read(move |connection| sessions::by_access(connection, access)).await
    }

    async fn session_by_refresh(&self, refresh: TokenHash) -> Result<Option<SessionMatch>, StoreError> {
        self.read(move |connection| session::by_refresh(connection, refresh)).await
    }

    async fn rotate_session(
        &self,
        session: SessionId,
        expected: TokenHash,
        tokens: SessionTokens,
    ) -> Result<Rotation, StoreError> {
        self.write(move |connection| session::rotate(connection, session, expected, &tokens)).await
    }

    async fn touch_session(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |connection| sessions::touch(connection, session, at)).await
    }

    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        self.read(move |connection| sessions::of_user(connection, user)).await
    }

    async fn end_sessions(
        &self,
        sessions: Vec<SessionId>,
        at: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.write(move |connection| session::end(connection, &sessions, at)).await
    }

    async fn revocations_since(&self, since: Timestamp) -> Result<Vec<Revocation>, StoreError> {
        self.read(move |connection| revocations::since(connection, since)).await
    }

    async fn was_ended(&self, token: TokenHash) -> Result<bool, StoreError> {
        self.read(move |connection| revocations::has_token(connection, token)).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        while self.write(move |connection| session::remove_expired(connection, now)).await? {}
        Ok(())
    }
}
