//! One error type per port that can fail, with what a caller may do next, and the one of actions.
//!
//! Errors of ports keep their source for the log. What a user is told of them is decided here and
//! nowhere else, where they become an [`ActionError`]. How that is written is the protocol's business.

use std::error::Error as StdError;
use std::time::Duration;

/// The error that a driver reported.
pub type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What a caller may do after a store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call will fail again.
    Never,
    /// Nothing was stored; the same call may succeed later.
    Safe,
    /// The write may or may not have happened; only its key tells.
    OutcomeUnknown,
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or refuses work. Nothing was stored.
    #[error("the store is unavailable: {0}")]
    Unavailable(Source),
    /// The store did not answer in time. The write may have happened.
    #[error("the store did not answer in time: {0}")]
    Timeout(Source),
    /// What is stored contradicts itself, or cannot be read by this version.
    #[error("stored data is damaged: {0}")]
    Corrupt(Source),
}

impl StoreError {
    /// The store cannot be reached or refuses work.
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(source.into())
    }

    /// The store did not answer in time.
    pub fn timeout(source: impl Into<Source>) -> Self {
        Self::Timeout(source.into())
    }

    /// What is stored contradicts itself.
    pub fn corrupt(source: impl Into<Source>) -> Self {
        Self::Corrupt(source.into())
    }

    /// What the caller may do next.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unavailable(_) => Retry::Safe,
            Self::Timeout(_) => Retry::OutcomeUnknown,
            Self::Corrupt(_) => Retry::Never,
        }
    }
}

/// Why an `Auth` refused or could not answer.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token is unknown or malformed.
    #[error("invalid token")]
    InvalidToken,
    /// The token was valid and its time is over.
    #[error("expired token")]
    ExpiredToken,
    /// The session was signed out or revoked, or its account is disabled.
    #[error("session ended")]
    SessionEnded,
    /// User name and password do not match. Says nothing about which was wrong.
    #[error("invalid username or password")]
    InvalidCredentials,
    /// The user name is taken, or looks like one that is.
    #[error("username already exists")]
    UsernameTaken,
    /// A field has a value that is not allowed.
    #[error("{field}: {reason}")]
    InvalidField {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it, for a person.
        reason: String,
    },
    /// Too many attempts; try again after this time.
    #[error("too many attempts")]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// There is no such session or user among those that the caller may name.
    #[error("not found")]
    NotFound,
    /// This `Auth` does not offer the operation.
    #[error("not supported by this server")]
    Unsupported,
    /// The accounts cannot be reached. Nothing was stored. Callers deny.
    #[error("accounts are unavailable: {0}")]
    Unavailable(Source),
    /// The accounts did not answer in time. What was to be changed may have changed. Callers deny.
    #[error("accounts did not answer in time: {0}")]
    Timeout(Source),
    /// Something is wrong on this side. Callers deny.
    #[error("internal error: {0}")]
    Internal(Source),
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        match error.retry() {
            Retry::Safe => Self::Unavailable(Box::new(error)),
            Retry::OutcomeUnknown => Self::Timeout(Box::new(error)),
            Retry::Never => Self::Internal(Box::new(error)),
        }
    }
}

#[cfg(feature = "password")]
impl AuthError {
    /// A failure after something was stored: it does not mean that nothing was.
    pub(crate) fn after_a_write(error: impl Into<Self>) -> Self {
        match error.into() {
            Self::Unavailable(source) => Self::Timeout(source),
            other => other,
        }
    }
}

/// What a refused request answers as `code`. Codes are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The frame is no JSON object as protocol v1 wants it.
    InvalidJson,
    /// There is no such action.
    UnknownAction,
    /// A field is missing, unknown or has a value that is not allowed; `field` names it.
    InvalidParams,
    /// Nobody is signed in; `reason` says why.
    Unauthenticated,
    /// User name and password do not match.
    InvalidCredentials,
    /// The user may not do this.
    Forbidden,
    /// There is no such thing, or the user may not know of it.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// It contradicts what is there: the same `client_id` with another content, the last owner leaving.
    Conflict,
    /// A count would be above its limit.
    LimitExceeded,
    /// Too often; re-send after `retry_after_ms`.
    RateLimited,
    /// Nothing was stored; re-send after `retry_after_ms`.
    Unavailable,
    /// Unknown whether it happened; re-send with the same `client_id` after `retry_after_ms`.
    Timeout,
    /// Something is wrong on the server; unknown whether it happened.
    Internal,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::InvalidJson,
        Self::UnknownAction,
        Self::InvalidParams,
        Self::Unauthenticated,
        Self::InvalidCredentials,
        Self::Forbidden,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::LimitExceeded,
        Self::RateLimited,
        Self::Unavailable,
        Self::Timeout,
        Self::Internal,
    ];

    /// The code as a word: on the wire, in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::UnknownAction => "unknown_action",
            Self::InvalidParams => "invalid_params",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidCredentials => "invalid_credentials",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::LimitExceeded => "limit_exceeded",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}

/// Why nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnauthenticatedReason {
    /// No token was given and the connection has not signed in.
    Missing,
    /// The token is not valid.
    Invalid,
    /// The token's time is over: refresh, and keep unsent work.
    Expired,
    /// The session was signed out or revoked, or the account disabled: drop unsent work.
    Ended,
}

impl UnauthenticatedReason {
    /// The reason as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }
}

/// Why an action was refused: what its reply says.
///
/// The message is for a person and safe to show: nothing internal and nothing of other users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ActionError {
    /// The code.
    pub code: Code,
    /// For a person.
    pub message: String,
    /// The field that is wrong.
    pub field: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// Only with [`Code::Unauthenticated`].
    pub reason: Option<UnauthenticatedReason>,
}

/// When a client should try again after a store or a hook failed.
const RETRY_AFTER: Duration = Duration::from_millis(1_000);

impl ActionError {
    /// A refusal with `code` and `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, retry_after: None, reason: None }
    }

    /// `field` has a value that is not allowed.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Code::InvalidParams, message) }
    }

    /// Nobody is signed in.
    #[must_use]
    pub fn unauthenticated(reason: UnauthenticatedReason) -> Self {
        let message = match reason {
            UnauthenticatedReason::Missing => "Authentication required",
            UnauthenticatedReason::Invalid => "Invalid token",
            UnauthenticatedReason::Expired => "Token expired",
            UnauthenticatedReason::Ended => "Session ended",
        };
        Self { reason: Some(reason), ..Self::new(Code::Unauthenticated, message) }
    }

    /// The user may not do this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(Code::Forbidden, "You are not allowed to do this")
    }

    /// There is no such thing for this user. Always the same, whatever the reason.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "Not found")
    }

    /// It contradicts what is there.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Code::Conflict, message)
    }

    /// A count would be above its limit.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(Code::LimitExceeded, message)
    }

    /// Too often.
    #[must_use]
    pub fn rate_limited(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(Code::RateLimited, "Too many requests") }
    }

    /// Nothing was stored; try again.
    #[must_use]
    pub fn unavailable() -> Self {
        Self { retry_after: Some(RETRY_AFTER), ..Self::new(Code::Unavailable, "Temporarily unavailable") }
    }

    /// Unknown whether it happened; re-send with the same `client_id`.
    #[must_use]
    pub fn timeout() -> Self {
        Self { retry_after: Some(RETRY_AFTER), ..Self::new(Code::Timeout, "No answer in time") }
    }

    /// Something is wrong on the server.
    #[must_use]
    pub fn internal() -> Self {
        Self { retry_after: Some(RETRY_AFTER), ..Self::new(Code::Internal, "Internal error") }
    }

    /// Whether the request may have taken effect although it was refused.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self.code, Code::Timeout | Code::Internal)
    }
}

impl From<&StoreError> for ActionError {
    fn from(error: &StoreError) -> Self {
        match error.retry() {
            Retry::Safe => Self::unavailable(),
            Retry::OutcomeUnknown => Self::timeout(),
            Retry::Never => Self::internal(),
        }
    }
}

impl From<&AuthError> for ActionError {
    fn from(error: &AuthError) -> Self {
        match error {
            AuthError::InvalidToken => Self::unauthenticated(UnauthenticatedReason::Invalid),
            AuthError::ExpiredToken => Self::unauthenticated(UnauthenticatedReason::Expired),
            AuthError::SessionEnded => Self::unauthenticated(UnauthenticatedReason::Ended),
            AuthError::InvalidCredentials => {
                Self::new(Code::InvalidCredentials, "Invalid username or password")
            }
            AuthError::UsernameTaken => Self::new(Code::AlreadyExists, "Username already exists"),
            AuthError::InvalidField { field, reason } => Self::invalid(*field, reason.clone()),
            AuthError::RateLimited { retry_after } => Self::rate_limited(*retry_after),
            AuthError::NotFound => Self::not_found(),
            AuthError::Unsupported => Self::new(Code::UnknownAction, "Not supported by this server"),
            AuthError::Unavailable(_) => Self::unavailable(),
            AuthError::Timeout(_) => Self::timeout(),
            AuthError::Internal(_) => Self::internal(),
        }
    }
}
