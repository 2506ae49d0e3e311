//! Who is this? The port that applications replace to bring their own accounts.

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::domain::{DeviceName, DisplayName, Email, Grant, Identity, Profile, SessionInfo};
use crate::error::AuthError;
use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// Where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientContext {
    /// The client's address; `None` for calls from the same process.
    pub address: Option<IpAddr>,
    /// What the client called its device.
    pub device: Option<DeviceName>,
}

/// An account that somebody asks for.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The name as typed.
    pub username: String,
    /// The password as typed.
    pub password: SecretString,
    /// The address.
    pub email: Email,
    /// The name to show; `None`: the user name.
    pub display_name: Option<DisplayName>,
}

/// What somebody signs in with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The name as typed.
    pub username: String,
    /// The password as typed.
    pub password: SecretString,
}

/// Accounts, sessions and tokens.
///
/// Only [`authenticate`](Auth::authenticate), [`find_user`](Auth::find_user) and
/// [`profiles`](Auth::profiles) must be written; everything else answers
/// [`AuthError::Unsupported`] until it is. Whatever fails, the engine denies.
///
/// [`AuthError::Unavailable`] promises that nothing was stored; whoever cannot promise it answers
/// [`AuthError::Timeout`].
///
/// An application whose users live elsewhere derives their ids, and needs no account here:
///
/// ```
/// use async_trait::async_trait;
/// use chat_core::domain::{DisplayName, Profile};
/// use chat_core::error::AuthError;
/// use chat_core::id::{SessionId, UserId};
/// use chat_core::port::{Auth, ClientContext, Identity};
///
/// /// Believes nobody but the users of one application.
/// #[derive(Debug)]
/// struct HostAuth;
///
/// impl HostAuth {
///     /// Asks the application whose token this is.
///     fn name_of(&self, token: &str) -> Option<String> {
///         (token == "a token of ann's").then(|| "ann".to_owned())
///     }
/// }
///
/// #[async_trait]
/// impl Auth for HostAuth {
///     async fn authenticate(&self, token: &str, _: &ClientContext) -> Result<Identity, AuthError> {
///         let username = self.name_of(token).ok_or(AuthError::InvalidToken)?;
///         let user_id = UserId::from_external("host", &username);
///         Ok(Identity { user_id, session_id: SessionId::generate(), username, expires_at: None })
///     }
///
///     async fn find_user(&self, name: &str) -> Result<Option<UserId>, AuthError> {
///         Ok((name == "ann").then(|| UserId::from_external("host", name)))
///     }
///
///     async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, AuthError> {
///         let ann = UserId::from_external("host", "ann");
///         let display_name = DisplayName::new("Ann").map_err(|error| AuthError::Internal(error.into()))?;
///         let profile = Profile { user_id: ann, username: "ann".into(), display_name, last_seen: None };
///         Ok(users.into_iter().filter(|user| *user == ann).map(|_| profile.clone()).collect())
///     }
/// }
/// ```
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Auth: fmt::Debug + Send + Sync + 'static {
    /// Whom `token` stands for.
    ///
    /// **Errors**: `InvalidToken`, `ExpiredToken`, `SessionEnded`; `Unavailable` denies too.
    /// **Retry**: harmless.
    async fn authenticate(&self, token: &str, client: &ClientContext) -> Result<Identity, AuthError>;

    /// The user with this name, as a person would type it; `None` if there is none.
    async fn find_user(&self, name: &str) -> Result<Option<UserId>, AuthError>;

    /// The profiles of up to 100 users, in any order; unknown users are left out.
    async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, AuthError>;

    /// Creates an account.
    ///
    /// **Errors**: `UsernameTaken`, `InvalidField`, `RateLimited`.
    async fn register(
        &self,
        _registration: Registration,
        _client: &ClientContext,
    ) -> Result<UserId, AuthError> {
        Err(AuthError::Unsupported)
    }

    /// Signs in: always a new session.
    ///
    /// **Errors**: `InvalidCredentials` whatever was wrong, `RateLimited`.
    async fn login(&self, _credentials: Credentials, _client: &ClientContext) -> Result<Grant, AuthError> {
        Err(AuthError::Unsupported)
    }

    /// New tokens for a refresh token.
    ///
    /// **Errors**: `InvalidToken`, `ExpiredToken`, `SessionEnded` (also when the token was used before).
    async fn refresh(
        &self,
        _refresh_token: &SecretString,
        _client: &ClientContext,
    ) -> Result<Grant, AuthError> {
        Err(AuthError::Unsupported)
    }

    /// The sessions of a user, the latest used first.
    async fn sessions(&self, _user: UserId) -> Result<Vec<SessionInfo>, AuthError> {
        Err(AuthError::Unsupported)
    }

    /// Ends a session of a user. The engine closes its connections afterwards.
    ///
    /// **Errors**: `NotFound` if the user has no such session.
    async fn end_session(&self, _user: UserId, _session: SessionId) -> Result<(), AuthError> {
        Err(AuthError::Unsupported)
    }

    /// Replaces the password, which needs the present one, and ends all sessions of the
    /// user but `keep`. Answers the ended ones.
    ///
    /// **Errors**: `InvalidCredentials`, `InvalidField`, `RateLimited`.
    async fn change_password(
        &self,
        _user: UserId,
        _keep: SessionId,
        _old: SecretString,
        _new: SecretString,
    ) -> Result<Vec<SessionId>, AuthError> {
        Err(AuthError::Unsupported)
    }

    /// Replaces what others see of the user.
    async fn set_display_name(&self, _user: UserId, _name: DisplayName) -> Result<(), AuthError> {
        Err(AuthError::Unsupported)
    }

    /// Notes when users were last online. Losing it is harmless.
    async fn record_seen(&self, _seen: Vec<(UserId, Timestamp)>) -> Result<(), AuthError> {
        Ok(())
    }

    /// Notes that these sessions have connections now, so that the longest unused ones can be told from those in
    /// use. The engine says it every few minutes. Losing it is harmless.
    async fn record_used(&self, _sessions: Vec<SessionId>, _at: Timestamp) -> Result<(), AuthError> {
        Ok(())
    }

    /// The sessions that ended from `since` on, wherever that was said. The engine asks every
    /// two seconds and closes their connections. An `Auth` whose sessions end only through this
    /// engine, or whose tokens only expire, has none.
    async fn ended_since(&self, _since: Timestamp) -> Result<Vec<(UserId, SessionId)>, AuthError> {
        Ok(Vec::new())
    }
}
