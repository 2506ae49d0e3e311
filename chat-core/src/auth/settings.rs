//! What an operator may set about accounts, with secure defaults.
//!
//! Where the values come from (files, environment) is the server's business.

use std::time::Duration;

use crate::limits::hard;

/// The longest time that an access token may be good.
const ACCESS_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The settings of `PasswordAuth`. 0 turns a limit off where that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSettings {
    /// Memory of one argon2id hash, in KiB. Hashes made with less are renewed at the next login.
    pub argon2_memory_kib: u32,
    /// Passes of one argon2id hash.
    pub argon2_passes: u32,
    /// Lanes of one argon2id hash.
    pub argon2_lanes: u32,
    /// Passwords that are hashed at once; by default one per core.
    pub hashes_at_once: usize,
    /// Passwords that wait to be hashed; one more is refused.
    pub hashes_waiting: usize,
    /// Characters that a new password has at least.
    pub password_characters_min: usize,
    /// How long an access token is good; at most 7 days.
    pub access_lifetime: Duration,
    /// How long a session lives, however often it is refreshed.
    pub session_lifetime: Duration,
    /// How long a refresh token is good if it is not used.
    pub refresh_lifetime: Duration,
    /// How long after its use a refresh token still answers with tokens: for tabs and lost replies.
    pub refresh_grace: Duration,
    /// Sessions of a user; one more ends the longest unused. 0 is off.
    pub user_sessions: usize,
    /// How long after its arrival a failed login is answered, whatever failed.
    pub failed_login_delay: Duration,
    /// Failed logins of an address in a minute. 0 is off.
    pub failed_logins_per_minute: u32,
    /// Logins of an address in a minute, successful or not: each costs a hash. 0 is off.
    pub logins_per_minute: u32,
    /// Successful logins to an account in a minute. 0 is off.
    pub account_logins_per_minute: u32,
    /// Registrations of an address in a minute. 0 is off.
    pub registrations_per_minute: u32,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            argon2_memory_kib: 19 * 1_024,
            argon2_passes: 2,
            argon2_lanes: 1,
            hashes_at_once: std::thread::available_parallelism().map_or(1, usize::from),
            hashes_waiting: 100,
            password_characters_min: 8,
            access_lifetime: Duration::from_secs(3_600),
            session_lifetime: Duration::from_secs(30 * 24 * 3_600),
            refresh_lifetime: Duration::from_secs(7 * 24 * 3_600),
            refresh_grace: Duration::from_secs(30),
            user_sessions: 20,
            failed_login_delay: Duration::from_millis(250),
            failed_logins_per_minute: 30,
            logins_per_minute: 240,
            account_logins_per_minute: 60,
            registrations_per_minute: 60,
        }
    }
}

/// A setting that cannot work; the message names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAuthSettings(pub(super) String);

impl AuthSettings {
    /// Checks the values against each other.
    ///
    /// # Errors
    /// Names the first setting that cannot work.
    pub fn check(&self) -> Result<(), InvalidAuthSettings> {
        let lifetimes = [self.access_lifetime, self.session_lifetime, self.refresh_lifetime];
        let problem = if self.hashes_at_once == 0 {
            "hashes_at_once must be at least 1"
        } else if !(1..=hard::PASSWORD_CHARACTERS).contains(&self.password_characters_min) {
            "password_characters_min must be 1 to 128"
        } else if lifetimes.contains(&Duration::ZERO) {
            "lifetimes of tokens and sessions must be longer than nothing"
        } else if self.access_lifetime > ACCESS_LIFETIME_MAX {
            "access_lifetime must be at most 7 days"
        } else if self.refresh_grace >= self.refresh_lifetime {
            "refresh_grace must be shorter than refresh_lifetime"
        } else {
            return Ok(());
        };
        Err(InvalidAuthSettings(problem.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_work_and_impossible_values_are_named() {
        assert_eq!(AuthSettings::default().check(), Ok(()));
        let too_long =
            AuthSettings { access_lifetime: Duration::from_secs(8 * 86_400), ..Default::default() };
        assert!(too_long.check().unwrap_err().0.contains("access_lifetime"));
        let nobody_hashes = AuthSettings { hashes_at_once: 0, ..Default::default() };
        assert!(nobody_hashes.check().unwrap_err().0.contains("hashes_at_once"));
    }
}
