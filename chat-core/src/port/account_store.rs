//! Accounts and sessions as rows. What a password or a token is worth is decided
//! by `PasswordAuth`; a store only keeps and finds.

use std::fmt;

use async_trait::async_trait;

use crate::domain::{DeviceName, DisplayName, Email};
use crate::error::StoreError;
use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// A name in the forms by which it is found and must be unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsernameKeys {
    /// As it was registered; how it is shown.
    pub text: String,
    /// Folded by case, width and composition (RFC 8265 and full case folding): unique.
    pub folded: String,
    /// What it looks like (UTS #39 skeleton of `folded`): unique.
    pub skeleton: String,
}

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user_id: UserId,
    /// The unique name as registered.
    pub username: String,
    /// The name to show.
    pub display_name: DisplayName,
    /// Never verified, never shown.
    pub email: Option<Email>,
    /// The hash in PHC or modular crypt format (`$argon2id$…`, `$2y$…`).
    pub password_hash: String,
    /// A disabled account keeps everything and cannot sign in.
    pub disabled: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last signed in.
    pub last_login: Option<Timestamp>,
    /// When it was last online.
    pub last_seen: Option<Timestamp>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("user_id", &self.user_id)
            .field("username", &self.username)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// An account to create.
#[derive(Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The new user.
    pub user_id: UserId,
    /// The name in its three forms.
    pub username: UsernameKeys,
    /// The name to show.
    pub display_name: DisplayName,
    /// The address, if given.
    pub email: Option<Email>,
    /// The hash in PHC format.
    pub password_hash: String,
    /// Now.
    pub created_at: Timestamp,
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount")
            .field("user_id", &self.user_id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// An account with the keys of its name: all that a store keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAccount {
    /// The account.
    pub account: Account,
    /// Its name in the three forms in which it was created.
    pub username: UsernameKeys,
}

/// Why a password's hash is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PasswordWrite {
    /// The user has another password now; the old one is over.
    Changed,
    /// The password is the same, under better parameters.
    Rehashed,
}

/// What became of an account to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountCreation {
    /// It exists now.
    Created,
    /// Its folded name or its skeleton belongs to another account; nothing was stored.
    NameTaken,
}

/// SHA-256 of a token. Stores never see the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// The tokens that a session has at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTokens {
    /// Hash of the access token.
    pub access: TokenHash,
    /// When the access token ends.
    pub access_expires_at: Timestamp,
    /// Hash of the refresh token.
    pub refresh: TokenHash,
    /// When the refresh token ends if it is not used before.
    pub refresh_expires_at: Timestamp,
    /// When these tokens were made.
    pub issued_at: Timestamp,
}

/// A session: one signed-in device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The session; also the family of its refresh tokens.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// What the client called its device.
    pub device: Option<DeviceName>,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it last refreshed or authenticated.
    pub last_used_at: Timestamp,
    /// When it ends, whatever is refreshed.
    pub ends_at: Timestamp,
    /// Its tokens now.
    pub tokens: SessionTokens,
}

/// A session found by a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionMatch {
    /// The token is the session's current one.
    Current(Session),
    /// The token was replaced at this time.
    Replaced {
        /// The session.
        session: Session,
        /// When the token was replaced.
        replaced_at: Timestamp,
    },
}

/// What became of a rotation of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The session has the new tokens.
    Done,
    /// The session is gone, or its refresh token was not the expected one.
    Lost,
}

/// A session that ended, for the nodes that still serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// The session.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// Keeps accounts and sessions.
///
/// Unless said otherwise an error means what [`StoreError::retry`] says, and a
/// repeated call is harmless.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait AccountStore: fmt::Debug + Send + Sync + 'static {
    /// Creates an account.
    ///
    /// **Contract**: atomic; of any number of concurrent calls with one folded name or one
    /// skeleton exactly one answers `Created`. A call that is repeated with the same
    /// `user_id` and name after an unknown outcome answers `Created`.
    async fn create_account(&self, account: NewAccount) -> Result<AccountCreation, StoreError>;

    /// The account of a user.
    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError>;

    /// The account with this name: the one registered with exactly `text`, else the one
    /// with the same folded name. The skeleton finds nobody.
    async fn account_by_name(&self, name: &UsernameKeys) -> Result<Option<Account>, StoreError>;

    /// The accounts of up to 100 users, in any order; unknown users are left out.
    async fn accounts(&self, users: Vec<UserId>) -> Result<Vec<Account>, StoreError>;

    /// All accounts in the order of their user ids, those above `after` (`None`: from the first), whatever their
    /// state, each with the keys it was created with. At most `limit`. For copying a store; no client is answered with it.
    async fn all_accounts(&self, after: Option<UserId>, limit: u32)
    -> Result<Vec<StoredAccount>, StoreError>;

    /// Replaces the password's hash if it still is `expected`. Answers whether it did.
    ///
    /// **Contract**: `reason` changes nothing of that. A store that also keeps a hash which another system made and reads
    /// keeps it for `Rehashed` and removes it with `Changed`: the old password is worth nothing there either.
    async fn set_password(
        &self,
        user: UserId,
        expected: &str,
        hash: &str,
        reason: PasswordWrite,
    ) -> Result<bool, StoreError>;

    /// Replaces the display name. Does nothing for an unknown user.
    async fn set_display_name(&self, user: UserId, name: &DisplayName) -> Result<(), StoreError>;

    /// Notes that a user signed in.
    async fn record_login(&self, user: UserId, at: Timestamp) -> Result<(), StoreError>;

    /// Notes when users were last online; a time never goes backwards.
    async fn record_seen(&self, seen: Vec<(UserId, Timestamp)>) -> Result<(), StoreError>;

    /// Disables or enables an account. Answers whether the account exists.
    async fn set_disabled(&self, user: UserId, disabled: bool) -> Result<bool, StoreError>;

    /// Stores a new session.
    async fn create_session(&self, session: Session) -> Result<(), StoreError>;

    /// The session whose current access token has this hash.
    ///
    /// **Contract**: also finds sessions whose times are over; the caller judges time.
    async fn session_by_access(&self, access: TokenHash) -> Result<Option<Session>, StoreError>;

    /// The session that has, or had, a refresh token with this hash. The hashes of all
    /// replaced refresh tokens of a session are kept as long as the session.
    async fn session_by_refresh(&self, refresh: TokenHash) -> Result<Option<SessionMatch>, StoreError>;

    /// Replaces the tokens of a session whose current refresh token has the hash `expected`,
    /// and sets `last_used_at` to the tokens' `issued_at`. The old refresh hash is kept as replaced then.
    ///
    /// **Contract**: of concurrent calls with one `expected` exactly one answers `Done`.
    async fn rotate_session(
        &self,
        session: SessionId,
        expected: TokenHash,
        tokens: SessionTokens,
    ) -> Result<Rotation, StoreError>;

    /// Sets `last_used_at`. Does nothing for a session that is gone.
    async fn touch_session(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError>;

    /// All sessions of a user, the longest unused first.
    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>, StoreError>;

    /// Ends sessions: they are found no more, and each that existed leaves a revocation.
    /// Answers those that existed. Durable before it answers.
    async fn end_sessions(
        &self,
        sessions: Vec<SessionId>,
        at: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// The revocations from `since` on, the oldest first. Kept at least two days.
    async fn revocations_since(&self, since: Timestamp) -> Result<Vec<Revocation>, StoreError>;

    /// Whether this session ended (its revocation is still kept), by the hash of the access token
    /// or of the refresh token that it had at that time. This is how `ended` is told from `invalid`.
    async fn was_ended(&self, token: TokenHash) -> Result<bool, StoreError>;

    /// Removes sessions whose refresh time or end is before `now`, and revocations older than two days.
    async fn remove_expired(&self, now: Timestamp) -> Result<(), StoreError>;
}
