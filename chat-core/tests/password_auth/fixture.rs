//! An auth, its store, and a clock that follows tokio's paused time.

use std::sync::Arc;
use std::time::Duration;

use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::domain::{DeviceName, DisplayName, Email};
use chat_core::error::AuthError;
use chat_core::id::UserId;
use chat_core::memory::MemoryStore;
use chat_core::port::{
    AccountCreation, AccountStore, Auth, ClientContext, Credentials, Grant, NewAccount, Registration,
};
use chat_core::time::{Clock, Timestamp};
use secrecy::SecretString;
use tokio::time::Instant;

pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_795_248_930_000).plus(self.0.elapsed())
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock(Instant::now()))
}

/// Hashes that cost nothing, all else as it is by default.
pub(crate) fn settings() -> AuthSettings {
    AuthSettings { argon2_memory_kib: 8, argon2_passes: 1, ..AuthSettings::default() }
}

#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) auth: Arc<PasswordAuth>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: AuthSettings) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), clock());
        let auth = Arc::new(PasswordAuth::new(store.clone(), clock.clone(), settings).unwrap());
        Self { store, clock, auth }
    }

    /// Another node, or the same after a restart: the same accounts, no memory.
    pub(crate) fn restarted(&self, settings: AuthSettings) -> PasswordAuth {
        PasswordAuth::new(self.store.clone(), self.clock.clone(), settings).unwrap()
    }

    pub(crate) async fn register(&self, name: &str) -> UserId {
        register(&*self.auth, name, PASSWORD).await.unwrap()
    }

    pub(crate) async fn login(&self, name: &str) -> Grant {
        login(&*self.auth, name, PASSWORD, &local()).await.unwrap()
    }

    /// An account as a migration leaves it: any name, any hash.
    pub(crate) async fn import(&self, name: &str, password_hash: &str) -> UserId {
        let user_id = UserId::generate();
        let account = NewAccount {
            user_id,
            username: chat_core::auth::username::lookup_keys(name).unwrap(),
            display_name: DisplayName::new("somebody").unwrap(),
            email: None,
            password_hash: password_hash.to_owned(),
            created_at: self.clock.now(),
        };
        assert_eq!(self.store.create_account(account).await.unwrap(), AccountCreation::Created);
        user_id
    }

    pub(crate) async fn password_hash(&self, user: UserId) -> String {
        self.store.account(user).await.unwrap().unwrap().password_hash
    }
}

pub(crate) fn local() -> ClientContext {
    ClientContext::default()
}

pub(crate) fn from(address: &str) -> ClientContext {
    ClientContext { address: Some(address.parse().unwrap()), device: Some(DeviceName::new("phone").unwrap()) }
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

pub(crate) fn registration(name: &str, password: &str) -> Registration {
    Registration {
        username: name.to_owned(),
        password: secret(password),
        email: Email::new("someone@example.org").unwrap(),
        display_name: None,
    }
}

pub(crate) async fn register(auth: &dyn Auth, name: &str, password: &str) -> Result<UserId, AuthError> {
    auth.register(registration(name, password), &local()).await
}

pub(crate) async fn login(
    auth: &dyn Auth,
    name: &str,
    password: &str,
    client: &ClientContext,
) -> Result<Grant, AuthError> {
    let credentials = Credentials { username: name.to_owned(), password: secret(password) };
    auth.login(credentials, client).await
}
