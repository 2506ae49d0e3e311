//! Requests about accounts, sessions, profiles and presence.

use secrecy::SecretString;
use serde::Deserialize;

use super::value::{self, PageLimit, UserIds, WireId};
use crate::domain::{DeviceName, DisplayName, Email, Status};
use crate::error::ActionError;
use crate::id::SessionId;
use crate::protocol::Envelope;

/// Creates an account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The name as typed.
    #[serde(deserialize_with = "value::username")]
    pub username: String,
    /// The password as typed.
    #[serde(deserialize_with = "value::password")]
    pub password: SecretString,
    /// The address.
    pub email: Email,
    /// The name to show; absent: the user name.
    pub display_name: Option<DisplayName>,
}

/// Begins a session and binds the connection to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The name as typed.
    #[serde(deserialize_with = "value::username")]
    pub username: String,
    /// The password as typed.
    #[serde(deserialize_with = "value::password")]
    pub password: SecretString,
    /// A label for the session.
    pub device: Option<DeviceName>,
}

/// Binds the connection to the session of a token. The token is the envelope's.
#[derive(Debug, Clone)]
pub struct Authenticate {
    /// The access token.
    pub token: SecretString,
}

impl Authenticate {
    pub(in crate::protocol) fn decode(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
        let Nothing {} = crate::protocol::field::read(envelope)?;
        let token = envelope.token().ok_or_else(|| ActionError::invalid("token", "is required"))?;
        Ok(Self { token: SecretString::from(token) })
    }
}

/// Takes new tokens for a refresh token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    /// The refresh token.
    #[serde(deserialize_with = "value::token")]
    pub refresh_token: SecretString,
}

/// The caller's sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSessions {
    /// Those behind this one in the list; absent: from the first.
    pub after: Option<WireId<SessionId>>,
    /// At most so many; absent: as many as fit.
    pub limit: Option<PageLimit>,
}

/// Ends one of the caller's sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeSession {
    /// The session.
    pub session_id: WireId<SessionId>,
}

/// Replaces the password and ends all other sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The present password as typed.
    #[serde(deserialize_with = "value::password")]
    pub old_password: SecretString,
    /// The next password as typed.
    #[serde(deserialize_with = "value::password")]
    pub new_password: SecretString,
}

/// Replaces what others see of the caller.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateProfile {
    /// The name to show; absent: it stays.
    pub display_name: Option<DisplayName>,
}

/// Sets the status that others see.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetStatus {
    /// The status; `offline` is invisible.
    #[serde(deserialize_with = "value::name")]
    pub status: Status,
}

/// Some users.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// The users, up to 100.
    pub user_ids: UserIds,
}

/// No fields at all.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}
