//! The security events: one log line and one count each.
//!
//! A line carries the user's id and the client's address, never a password, a token,
//! an e-mail address or what somebody typed as a name.

use std::net::IpAddr;

use crate::id::UserId;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecurityEvent {
    Registered,
    RegistrationThrottled,
    LoginSucceeded,
    LoginFailed,
    LoginThrottled,
    PasswordUpgraded,
    PasswordUnreadable,
    PasswordChanged,
    PasswordChangeFailed,
    RefreshTokenReused,
    SessionsEnded,
    AccountDisabled,
    AccountEnabled,
}

impl SecurityEvent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::RegistrationThrottled => "registration_throttled",
            Self::LoginSucceeded => "login_succeeded",
            Self::LoginFailed => "login_failed",
            Self::LoginThrottled => "login_throttled",
            Self::PasswordUpgraded => "password_upgraded",
            Self::PasswordUnreadable => "password_unreadable",
            Self::PasswordChanged => "password_changed",
            Self::PasswordChangeFailed => "password_change_failed",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::SessionsEnded => "sessions_ended",
            Self::AccountDisabled => "account_disabled",
            Self::AccountEnabled => "account_enabled",
        }
    }

    fn is_suspicious(self) -> bool {
        match self {
            Self::RegistrationThrottled
            | Self::LoginThrottled
            | Self::PasswordUnreadable
            | Self::RefreshTokenReused => true,
            Self::Registered
            | Self::LoginSucceeded
            | Self::LoginFailed
            | Self::PasswordUpgraded
            | Self::PasswordChanged
            | Self::PasswordChangeFailed
            | Self::SessionsEnded
            | Self::AccountDisabled
            | Self::AccountEnabled => false,
        }
    }
}

/// Logs and counts an event. `user` is `None` where nobody is known to be meant.
pub(super) fn record(event: SecurityEvent, user: Option<UserId>, address: Option<IpAddr>) {
    let name = event.as_str();
    metrics::counter!("chat_security_events_total", "event" => name).increment(1);
    let user_id = user.map(tracing::field::display);
    let address = address.map(tracing::field::display);
    if event.is_suspicious() {
        tracing::warn!(target: "chat_core::security", event = name, user_id, address, "security event");
    } else {
        tracing::info!(target: "chat_core::security", event = name, user_id, address, "security event");
    }
}
