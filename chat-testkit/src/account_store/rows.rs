//! Accounts and sessions as the cases make them.

use std::time::Duration;

use chat_core::domain::{DeviceName, DisplayName, Email};
use chat_core::id::UserId;
use chat_core::port::{AccountCreation, AccountStore, NewAccount, Session, SessionTokens, UsernameKeys};
use chat_core::time::Timestamp;

use crate::random;

/// The time at which everything here begins.
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_790_000_000_042);

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// So many seconds after [`START`].
pub(crate) fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// The keys of a name whose skeleton looks like nothing else.
pub(crate) fn keys(text: &str) -> UsernameKeys {
    let folded = text.to_lowercase();
    UsernameKeys { text: text.to_owned(), skeleton: format!("skeleton of {folded}"), folded }
}

pub(crate) fn display_name(text: &str) -> DisplayName {
    DisplayName::new(text).expect("a display name")
}

pub(crate) fn new_account(username: UsernameKeys) -> NewAccount {
    NewAccount {
        user_id: random::user(),
        display_name: display_name(&format!("{} the Great", username.text)),
        username,
        email: Some(Email::new("someone@example.org").expect("an address")),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(),
        created_at: START,
    }
}

/// Registers an account under `name`, which is free.
pub(crate) async fn register(store: &dyn AccountStore, name: &str) -> NewAccount {
    let account = new_account(keys(name));
    let creation = store.create_account(account.clone()).await.expect("a registration");
    assert_eq!(creation, AccountCreation::Created);
    account
}

pub(crate) fn tokens(issued_at: Timestamp) -> SessionTokens {
    SessionTokens {
        access: random::token(),
        access_expires_at: issued_at.plus(HOUR),
        refresh: random::token(),
        refresh_expires_at: issued_at.plus(DAY * 7),
        issued_at,
    }
}

pub(crate) fn session(user_id: UserId, created_at: Timestamp) -> Session {
    Session {
        session_id: random::session(),
        user_id,
        device: Some(DeviceName::new("a phone 📱").expect("a device name")),
        created_at,
        last_used_at: created_at,
        ends_at: created_at.plus(DAY * 30),
        tokens: tokens(created_at),
    }
}

/// Stores a new session of `user_id`.
pub(crate) async fn sign_in(store: &dyn AccountStore, user_id: UserId, created_at: Timestamp) -> Session {
    let session = session(user_id, created_at);
    store.create_session(session.clone()).await.expect("a session");
    session
}
