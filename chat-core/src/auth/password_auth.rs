//! The `Auth` over an `AccountStore`: registration, login, passwords and accounts.
//!
//! What happens to a session after it was opened is in `sessions`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::events::{SecurityEvent, record};
use super::hashing::{HashPool, Verdict};
use super::password;
use super::queue::Applicant;
use super::settings::{AuthSettings, InvalidAuthSettings};
use super::throttle::{Origin, Target, Throttle};
use super::token::RecentPairs;
use super::username;
use crate::domain::{DeviceName, DisplayName, Grant, Identity, Profile, SessionInfo};
use crate::error::AuthError;
use crate::id::{SessionId, UserId};
use crate::port::{
    Account, AccountCreation, AccountStore, Auth, ClientContext, Credentials, NewAccount, PasswordWrite,
    Registration, UsernameKeys,
};
use crate::time::{Clock, Timestamp};

/// Accounts with passwords, kept in an [`AccountStore`].
///
/// Cheap to share behind an `Arc`; one per process, because it counts failed logins.
///
/// ```
/// use std::sync::Arc;
///
/// use chat_core::auth::{AuthSettings, PasswordAuth};
/// use chat_core::domain::Email;
/// use chat_core::memory::MemoryStore;
/// use chat_core::port::{Auth, ClientContext, Credentials, Registration};
/// use chat_core::time::SystemClock;
/// use secrecy::ExposeSecret;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(MemoryStore::new());
/// let auth = PasswordAuth::new(store, Arc::new(SystemClock), AuthSettings::default())?;
/// let (username, password) = ("ann".to_owned(), "correct horse");
/// let email = Email::new("ann@example.org")?;
/// let registration =
///     Registration { username: username.clone(), password: password.into(), email, display_name: None };
/// let client = ClientContext::default();
/// let ann = auth.register(registration, &client).await?;
///
/// let grant = auth.login(Credentials { username, password: password.into() }, &client).await?;
/// let identity = auth.authenticate(grant.token.expose_secret(), &client).await?;
/// assert_eq!(identity.user_id, ann);
/// # Ok(())
/// # }
/// ```
pub struct PasswordAuth {
    pub(super) store: Arc<dyn AccountStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: AuthSettings,
    pub(super) throttle: Throttle,
    pub(super) recent_pairs: RecentPairs,
    hashes: HashPool,
}

impl fmt::Debug for PasswordAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordAuth").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl PasswordAuth {
    /// Accounts that live in `store`.
    ///
    /// # Errors
    /// The settings cannot work.
    pub fn new(
        store: Arc<dyn AccountStore>,
        clock: Arc<dyn Clock>,
        settings: AuthSettings,
    ) -> Result<Self, InvalidAuthSettings> {
        settings.check()?;
        Ok(Self {
            hashes: HashPool::new(&settings)?,
            throttle: Throttle::new(&settings),
            recent_pairs: RecentPairs::new(settings.refresh_grace),
            store,
            clock,
            settings,
        })
    }

    /// Disables or enables an account. Disabling ends all its sessions; name and messages stay.
    /// Answers the ended sessions, whose connections the caller closes.
    ///
    /// # Errors
    /// `NotFound` if there is no such account; `Unavailable`; `Timeout` when some of it may have happened.
    pub async fn set_disabled(&self, user: UserId, disabled: bool) -> Result<Vec<SessionId>, AuthError> {
        if !self.store.set_disabled(user, disabled).await? {
            return Err(AuthError::NotFound);
        }
        if !disabled {
            record(SecurityEvent::AccountEnabled, Some(user), None);
            return Ok(Vec::new());
        }
        record(SecurityEvent::AccountDisabled, Some(user), None);
        self.end_all_but(user, None).await.map_err(AuthError::after_a_write)
    }

    /// Removes what is over: sessions past their time, old revocations, remembered tokens. Called now and then.
    ///
    /// # Errors
    /// `Unavailable`; nothing depends on it.
    pub async fn remove_expired(&self) -> Result<(), AuthError> {
        self.recent_pairs.forget_old();
        Ok(self.store.remove_expired(self.clock.now()).await?)
    }

    async fn try_register(&self, wanted: Registration, client: &ClientContext) -> Result<UserId, AuthError> {
        if let Err(retry_after) = self.throttle.register(Origin::of(client.address)) {
            record(SecurityEvent::RegistrationThrottled, None, client.address);
            return Err(AuthError::RateLimited { retry_after });
        }
        let username = username::registration_keys(&wanted.username)
            .map_err(|error| AuthError::InvalidField { field: "username", reason: error.0 })?;
        self.check_password("password", &wanted.password, &username, Some(wanted.email.as_str()))?;
        let display_name = match wanted.display_name {
            Some(name) => name,
            None => DisplayName::new(username.text.as_str())
                .map_err(|error| AuthError::InvalidField { field: "username", reason: error.0 })?,
        };
        let applicant = Applicant::new(Origin::of(client.address), Target::login(&username.folded));
        let password_hash = self.hashes.hash(applicant, &wanted.password).await?;
        let account = NewAccount {
            user_id: UserId::generate(),
            username,
            display_name,
            email: Some(wanted.email),
            password_hash,
            created_at: self.clock.now(),
        };
        let user_id = account.user_id;
        match self.store.create_account(account).await? {
            AccountCreation::Created => {
                record(SecurityEvent::Registered, Some(user_id), client.address);
                Ok(user_id)
            }
            AccountCreation::NameTaken => Err(AuthError::UsernameTaken),
        }
    }

    async fn try_login(&self, credentials: Credentials, client: &ClientContext) -> Result<Grant, AuthError> {
        let keys = username::lookup_keys(&credentials.username);
        let origin = Origin::of(client.address);
        let target = Target::login(keys.as_ref().map_or("", |keys| &keys.folded));
        let attempt = self.throttle.begin(target, origin).map_err(|retry_after| {
            record(SecurityEvent::LoginThrottled, None, client.address);
            AuthError::RateLimited { retry_after }
        })?;
        let verified =
            self.verified_account(keys, &credentials.password, Applicant::new(origin, target)).await;
        let verified = verified.inspect_err(|_| self.throttle.cancelled(attempt))?;
        let account = match verified {
            Verified::Yes(account) => account,
            Verified::No(user) => {
                self.throttle.failed(attempt);
                record(SecurityEvent::LoginFailed, user, client.address);
                return Err(AuthError::InvalidCredentials);
            }
        };
        self.throttle.succeeded(attempt);
        let grant = self.open_session(&account, client.device.clone()).await?;
        record(SecurityEvent::LoginSucceeded, Some(account.user_id), client.address);
        Ok(grant)
    }

    /// The account that is found by a typed name: by its exact text, else by what found it in former times, else by
    /// what finds it now.
    async fn account_named(&self, keys: &UsernameKeys) -> Result<Option<Account>, AuthError> {
        if let Some(former) = username::former_keys(keys)
            && let Some(account) = self.store.account_by_name(&former).await?
        {
            return Ok(Some(account));
        }
        Ok(self.store.account_by_name(keys).await?)
    }

    /// The account whose name and password these are. Every way to fail does the same work.
    async fn verified_account(
        &self,
        keys: Option<UsernameKeys>,
        password: &SecretString,
        applicant: Applicant,
    ) -> Result<Verified, AuthError> {
        let found = match keys {
            Some(keys) => self.account_named(&keys).await?,
            None => None,
        };
        let user = found.as_ref().map(|account| account.user_id);
        let enabled = found.filter(|account| !account.disabled);
        let stored = enabled.as_ref().map(|account| account.password_hash.as_str());
        match (self.hashes.verify(applicant, stored, password).await?, enabled) {
            (Verdict::Match { upgrade }, Some(account)) => {
                Ok(Verified::Yes(self.upgraded(account, upgrade).await?))
            }
            (Verdict::Unreadable, _) => {
                record(SecurityEvent::PasswordUnreadable, user, None);
                Ok(Verified::No(user))
            }
            (Verdict::Match { .. } | Verdict::NoMatch, _) => Ok(Verified::No(user)),
        }
    }

    /// The account with the better hash of the same password, if there is one.
    async fn upgraded(&self, account: Account, upgrade: Option<String>) -> Result<Account, AuthError> {
        let Some(better) = upgrade else { return Ok(account) };
        if !self
            .store
            .set_password(account.user_id, &account.password_hash, &better, PasswordWrite::Rehashed)
            .await?
        {
            // Somebody else renewed or changed it just now; opening the session finds out which.
            return Ok(account);
        }
        record(SecurityEvent::PasswordUpgraded, Some(account.user_id), None);
        Ok(Account { password_hash: better, ..account })
    }

    /// A new session of an account whose password was just verified.
    async fn open_session(&self, account: &Account, device: Option<DeviceName>) -> Result<Grant, AuthError> {
        self.store.record_login(account.user_id, self.clock.now()).await?;
        let grant = self.create_session(account, device).await?;
        // The password may have been changed, or the account disabled, after it was verified and before the
        // session was there to be ended with the others.
        let now = self.store.account(account.user_id).await.map_err(AuthError::after_a_write)?;
        let still_holds = now.is_some_and(|now| !now.disabled && now.password_hash == account.password_hash);
        if !still_holds {
            let ended = self.store.end_sessions(vec![grant.identity.session_id], self.clock.now()).await;
            ended.map_err(AuthError::after_a_write)?;
            return Err(AuthError::InvalidCredentials);
        }
        Ok(grant)
    }

    async fn try_change_password(
        &self,
        user: UserId,
        keep: SessionId,
        (old, new): (SecretString, SecretString),
    ) -> Result<Vec<SessionId>, AuthError> {
        let target = Target::confirmation(user);
        let applicant = Applicant::new(Origin::Local, target);
        let attempt = self
            .throttle
            .begin(target, Origin::Local)
            .map_err(|retry_after| AuthError::RateLimited { retry_after })?;
        let account = self.store.account(user).await?.filter(|account| !account.disabled);
        let stored = account.as_ref().map(|account| account.password_hash.as_str());
        let verdict = self
            .hashes
            .verify(applicant, stored, &old)
            .await
            .inspect_err(|_| self.throttle.cancelled(attempt))?;
        let (Verdict::Match { .. }, Some(account)) = (verdict, account) else {
            self.throttle.failed(attempt);
            record(SecurityEvent::PasswordChangeFailed, Some(user), None);
            return Err(AuthError::InvalidCredentials);
        };
        self.throttle.succeeded(attempt);
        let username = username::lookup_keys(&account.username).ok_or(AuthError::InvalidCredentials)?;
        let email = account.email.as_ref().map(|email| email.as_str());
        self.check_password("new_password", &new, &username, email)?;
        let hash = self.hashes.hash(applicant, &new).await?;
        // Sessions end before the password changes, so that a failure in between leaves none that should not be,
        // and after it, for those that were opened with the old password meanwhile.
        let mut ended = self.end_all_but(user, Some(keep)).await?;
        let set = self.store.set_password(user, &account.password_hash, &hash, PasswordWrite::Changed).await;
        let is_set = match set {
            Err(error) if ended.is_empty() => return Err(error.into()),
            set => set.map_err(AuthError::after_a_write)?,
        };
        if !is_set {
            return Err(AuthError::InvalidCredentials);
        }
        ended.extend(self.end_all_but(user, Some(keep)).await.map_err(AuthError::after_a_write)?);
        record(SecurityEvent::PasswordChanged, Some(user), None);
        Ok(ended)
    }

    fn check_password(
        &self,
        field: &'static str,
        password: &SecretString,
        username: &UsernameKeys,
        email: Option<&str>,
    ) -> Result<(), AuthError> {
        let context = password::Context { username, email };
        password::check(password.expose_secret(), self.settings.password_characters_min, context)
            .map_err(|error| AuthError::InvalidField { field, reason: error.0 })
    }

    /// Waits until a failure that arrived then may be answered.
    async fn wait_out(&self, arrived: Instant) {
        tokio::time::sleep_until(arrived + self.settings.failed_login_delay).await;
    }
}

/// What came of a name and a password.
enum Verified {
    /// They belong to this account.
    Yes(Account),
    /// They do not belong together; the user who has that name, if any.
    No(Option<UserId>),
}

#[async_trait]
impl Auth for PasswordAuth {
    async fn authenticate(&self, token: &str, client: &ClientContext) -> Result<Identity, AuthError> {
        self.authenticate_session(token, client).await
    }

    async fn find_user(&self, name: &str) -> Result<Option<UserId>, AuthError> {
        let Some(keys) = username::lookup_keys(name) else { return Ok(None) };
        Ok(self.account_named(&keys).await?.map(|account| account.user_id))
    }

    async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, AuthError> {
        let (accounts, now) = (self.store.accounts(users).await?, self.clock.now());
        Ok(accounts.into_iter().map(|account| profile(account, now)).collect())
    }

    async fn register(&self, wanted: Registration, client: &ClientContext) -> Result<UserId, AuthError> {
        self.try_register(wanted, client).await
    }

    async fn login(&self, credentials: Credentials, client: &ClientContext) -> Result<Grant, AuthError> {
        let arrived = Instant::now();
        let result = self.try_login(credentials, client).await;
        if result.is_err() {
            self.wait_out(arrived).await;
        }
        result
    }

    async fn refresh(
        &self,
        refresh_token: &SecretString,
        client: &ClientContext,
    ) -> Result<Grant, AuthError> {
        self.refresh_session(refresh_token, client).await
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<SessionInfo>, AuthError> {
        self.list_sessions(user).await
    }

    async fn end_session(&self, user: UserId, session: SessionId) -> Result<(), AuthError> {
        self.end_one(user, session).await
    }

    async fn change_password(
        &self,
        user: UserId,
        keep: SessionId,
        old: SecretString,
        new: SecretString,
    ) -> Result<Vec<SessionId>, AuthError> {
        let arrived = Instant::now();
        let result = self.try_change_password(user, keep, (old, new)).await;
        if result.is_err() {
            self.wait_out(arrived).await;
        }
        result
    }

    async fn set_display_name(&self, user: UserId, name: DisplayName) -> Result<(), AuthError> {
        Ok(self.store.set_display_name(user, &name).await?)
    }

    async fn record_seen(&self, seen: Vec<(UserId, Timestamp)>) -> Result<(), AuthError> {
        Ok(self.store.record_seen(seen).await?)
    }

    async fn record_used(&self, sessions: Vec<SessionId>, at: Timestamp) -> Result<(), AuthError> {
        for session in sessions {
            self.store.touch_session(session, at).await?;
        }
        Ok(())
    }

    async fn ended_since(&self, since: Timestamp) -> Result<Vec<(UserId, SessionId)>, AuthError> {
        let revocations = self.store.revocations_since(since).await?;
        Ok(revocations.into_iter().map(|one| (one.user_id, one.session_id)).collect())
    }
}

/// What others may know. A clock that was ahead when somebody was here makes nobody be seen in the future.
fn profile(account: Account, now: Timestamp) -> Profile {
    Profile {
        user_id: account.user_id,
        username: account.username,
        display_name: account.display_name,
        last_seen: account.last_seen.map(|seen| seen.min(now)),
    }
}
