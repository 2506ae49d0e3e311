//! One error type per port, with what a caller may do next.
//!
//! Each keeps its source for the log. What a client sees of them is decided in
//! one place, `protocol::code`.

use std::error::Error as StdError;

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
        retry_after: std::time::Duration,
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

/// Why a hub could not do what it was asked. What it lost is repaired from the log.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The bus between the nodes cannot be reached.
    #[error("the hub is unavailable: {0}")]
    Unavailable(Source),
    /// The other node did not answer in time.
    #[error("the other node did not answer in time")]
    Timeout,
}
