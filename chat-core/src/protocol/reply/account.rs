//! Results about accounts, sessions, profiles and presence.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

use super::{seconds, username};
use crate::domain::{DeviceName, DisplayName, Grant, Identity, Presence, Profile, SessionInfo, Status};
use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// `register`, `update_profile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UserReply {
    /// The user.
    pub user_id: UserId,
}

/// `login`, `refresh_token`: the only places where tokens are given out.
#[derive(Debug, Clone, Serialize)]
pub struct LoginReply {
    /// The access token.
    #[serde(serialize_with = "secret")]
    pub token: SecretString,
    /// The token for the next pair.
    #[serde(serialize_with = "secret")]
    pub refresh_token: SecretString,
    /// How long the access token is good; in seconds.
    #[serde(serialize_with = "seconds")]
    pub expires_in: Duration,
    /// The user.
    pub user_id: UserId,
    /// The user's name.
    #[serde(serialize_with = "username")]
    pub username: String,
}

impl From<Grant> for LoginReply {
    fn from(grant: Grant) -> Self {
        Self {
            token: grant.token,
            refresh_token: grant.refresh_token,
            expires_in: grant.expires_in,
            user_id: grant.identity.user_id,
            username: grant.identity.username,
        }
    }
}

/// `authenticate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthenticateReply {
    /// The user.
    pub user_id: UserId,
    /// The user's name.
    #[serde(serialize_with = "username")]
    pub username: String,
    /// How much longer the access token is good, in seconds; absent if it does not end.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_seconds")]
    pub expires_in: Option<Duration>,
}

impl AuthenticateReply {
    /// The reply to a token that stands for `identity`.
    #[must_use]
    pub fn new(identity: &Identity, now: Timestamp) -> Self {
        Self {
            user_id: identity.user_id,
            username: identity.username.clone(),
            expires_in: identity.expires_at.map(|end| end.since(now)),
        }
    }
}

/// `list_sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionsReply {
    /// The caller's sessions, the latest used first.
    pub sessions: Vec<SessionView>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_after: Option<SessionId>,
}

/// A session of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// The session.
    pub session_id: SessionId,
    /// Its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it last refreshed or authenticated.
    pub last_used_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl SessionView {
    /// How `session` is shown to the session `current`.
    #[must_use]
    pub fn new(session: SessionInfo, current: SessionId) -> Self {
        Self {
            session_id: session.session_id,
            device: session.device,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            current: session.session_id == current,
        }
    }
}

/// `get_users`. Unknown users are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsersReply {
    /// The users.
    pub users: Vec<UserView>,
}

/// A user as another sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserView {
    /// The user.
    pub user_id: UserId,
    /// The unique name.
    #[serde(serialize_with = "username")]
    pub username: String,
    /// The name to show.
    pub display_name: DisplayName,
    /// When they were last online, if the caller may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

impl From<Profile> for UserView {
    fn from(profile: Profile) -> Self {
        Self {
            user_id: profile.user_id,
            username: profile.username,
            display_name: profile.display_name,
            last_seen: profile.last_seen,
        }
    }
}

/// `get_presence`. Users who share nothing with the caller are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PresenceReply {
    /// The users.
    pub users: Vec<PresenceView>,
}

/// A user's presence, in replies and pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PresenceView {
    /// The user.
    pub user_id: UserId,
    /// The status.
    pub status: Status,
    /// When they were last online; absent while they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

impl From<Presence> for PresenceView {
    fn from(Presence { user_id, status, last_seen }: Presence) -> Self {
        Self { user_id, status, last_seen }
    }
}

fn secret<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn some_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(serializer)
}
