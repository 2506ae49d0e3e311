//! What the engine knows of users and sessions, whoever keeps the accounts.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::{DeviceName, DisplayName, InvalidText};
use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// What other users may know of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The user.
    pub user_id: UserId,
    /// The unique name, as it was registered. Clients are shown 512 bytes of it at most.
    pub username: String,
    /// The name to show.
    pub display_name: DisplayName,
    /// When the user was last online; only shown to those who share a conversation.
    pub last_seen: Option<Timestamp>,
}

/// One session of a user, as `list_sessions` shows it to that user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session.
    pub session_id: SessionId,
    /// What the client called its device.
    pub device: Option<DeviceName>,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it last refreshed or authenticated.
    pub last_used_at: Timestamp,
}

/// An e-mail address: 3 to 254 bytes with one `@`, no spaces or control
/// characters. Kept as given, never verified, never shown or logged.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Email(String);

impl Email {
    /// Checks the shape of an address.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidText> {
        let text = text.into();
        let shaped = text.len() <= 254
            && !text.chars().any(|c| c.is_control() || c.is_whitespace())
            && text.split_once('@').is_some_and(|(local, host)| {
                !local.is_empty() && local.len() <= 64 && !host.is_empty() && !host.contains('@')
            });
        if shaped { Ok(Self(text)) } else { Err(InvalidText("must be an e-mail address".into())) }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Email {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

/// Whom a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// The session; several connections may belong to it.
    pub session_id: SessionId,
    /// The user's unique name.
    pub username: String,
    /// When the token ends; `None` if it does not.
    pub expires_at: Option<Timestamp>,
}

/// A session's tokens, given out once.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whom the access token stands for.
    pub identity: Identity,
    /// The access token.
    pub token: SecretString,
    /// The refresh token.
    pub refresh_token: SecretString,
    /// How long the access token is good.
    pub expires_in: Duration,
}
