//! The conformance suite of [`Auth`]: what the engine relies on, whoever keeps the accounts.
//!
//! Only three methods of the port must be written. A case of another method passes where that method
//! answers `Unsupported`.

mod accounts;
mod identity;
mod passwords;
mod sessions;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::error::AuthError;
use chat_core::id::UserId;
use chat_core::port::Auth;

/// Makes an `Auth` for one conformance case, and users in it.
#[async_trait]
pub trait AuthHarness: Send {
    /// One without users.
    async fn start(&mut self) -> Arc<dyn Auth>;

    /// A valid token of a new session of the user called `name`, who is made if there is none. Names are
    /// lower-case letters. A token stays valid for as long as a case runs.
    async fn sign_in(&mut self, name: &str) -> SignedIn;
}

/// A user with a session.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The user.
    pub user_id: UserId,
    /// An access token.
    pub token: String,
}

/// What a case tests: it derefs to the port.
pub struct Accounts {
    harness: Box<dyn AuthHarness>,
    auth: Arc<dyn Auth>,
}

impl Accounts {
    async fn sign_in(&mut self, name: &str) -> SignedIn {
        self.harness.sign_in(name).await
    }
}

impl Deref for Accounts {
    type Target = dyn Auth;

    fn deref(&self) -> &Self::Target {
        &*self.auth
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// Starts an `Auth` for one case.
pub async fn start(mut harness: impl AuthHarness + 'static) -> Accounts {
    let auth = harness.start().await;
    Accounts { harness: Box::new(harness), auth }
}

/// What a method answered; `None` if this `Auth` does not offer it.
fn offered<T>(answer: Result<T, AuthError>) -> Option<Result<T, AuthError>> {
    (!matches!(answer, Err(AuthError::Unsupported))).then_some(answer)
}

crate::suite::suite! {
    $
    /// Makes a test of every case of the suite for [`Auth`](chat_core::port::Auth), in a module `auth`. The
    /// argument is an expression that makes an [`AuthHarness`](crate::auth::AuthHarness); it is evaluated once
    /// per test.
    macro auth_tests, mod auth, start start, subject Accounts;

    identity {
        a_token_stands_for_its_user,
        every_sign_in_is_a_session_of_its_own,
        an_unknown_token_is_invalid,
        a_changed_token_is_invalid,
    }
    accounts {
        a_user_is_found_by_name,
        an_unknown_name_finds_nobody,
        profiles_agree_with_names,
        unknown_users_have_no_profile,
        a_display_name_is_shown,
        notes_of_the_last_time_seen_are_taken,
        notes_of_sessions_in_use_are_taken,
    }
    sessions {
        sessions_are_listed_the_latest_used_first,
        an_ended_session_is_over_and_others_are_not,
        only_own_sessions_can_be_ended,
        ended_sessions_are_told_if_anybody_asks,
        a_refresh_keeps_the_session,
        an_unknown_refresh_token_is_invalid,
    }
    passwords {
        who_registers_can_sign_in,
        a_name_is_given_once,
        a_failed_login_does_not_tell_why,
        a_new_password_ends_other_sessions,
        a_password_is_changed_only_with_the_present_one,
    }
}
