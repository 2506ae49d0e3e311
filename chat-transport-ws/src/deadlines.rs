//! What has to happen on a connection by when. Reads no clock: the loop says what time
//! it is.

use std::time::Duration;

use chat_core::hub::DisconnectReason;
use tokio::time::Instant;

use crate::Config;

/// How long after the server began to stop a connection may go on sending what is queued.
const STOPPING: Duration = Duration::from_secs(10);

/// The deadlines of one connection; `None` where there is none.
#[derive(Debug)]
pub(crate) struct Deadlines {
    ping_interval: Option<Duration>,
    pong_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    authentication_timeout: Option<Duration>,
    ping_at: Option<Instant>,
    pong_by: Option<Instant>,
    authenticate_by: Option<Instant>,
    stop_by: Option<Instant>,
}

/// What a connection looks like when a deadline has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    pub now: Instant,
    /// Since when the client takes no bytes.
    pub blocked_since: Option<Instant>,
    /// Something came from the client since the last ping.
    pub heard: bool,
    /// Nothing was read on purpose, or the ping itself has not left: silence proves nothing.
    pub deaf: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    End(DisconnectReason),
}

impl Deadlines {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let unless_off = |duration: Duration| (!duration.is_zero()).then_some(duration);
        let ping_interval = unless_off(config.ping_interval);
        Self {
            ping_interval,
            pong_timeout: unless_off(config.pong_timeout),
            write_timeout: unless_off(config.write_timeout),
            authentication_timeout: unless_off(config.authentication_timeout),
            ping_at: ping_interval.map(|interval| now + interval),
            pong_by: None,
            authenticate_by: None,
            stop_by: None,
        }
    }

    /// Somebody signed in, or out.
    pub(crate) fn set_authenticated(&mut self, authenticated: bool, now: Instant) {
        let timeout = self.authentication_timeout.filter(|_| !authenticated);
        self.authenticate_by = timeout.map(|timeout| now + timeout);
    }

    /// The server is stopping; what is queued may still be sent for a while.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.stop_by = Some(now + STOPPING);
    }

    /// When to look again.
    pub(crate) fn next(&self, blocked_since: Option<Instant>) -> Option<Instant> {
        let deadlines =
            [self.ping_at, self.pong_by, self.authenticate_by, self.stop_by, self.write_by(blocked_since)];
        deadlines.into_iter().flatten().min()
    }

    /// What has to be done now.
    pub(crate) fn due(&mut self, situation: Situation) -> Due {
        let Situation { now, blocked_since, heard, deaf } = situation;
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if passed(self.stop_by) {
            return Due::End(DisconnectReason::Shutdown);
        }
        if passed(self.write_by(blocked_since)) {
            return Due::End(DisconnectReason::TooSlow);
        }
        if passed(self.authenticate_by) {
            return Due::End(DisconnectReason::NotAuthenticated);
        }
        if passed(self.pong_by) {
            if !heard && !deaf {
                return Due::End(DisconnectReason::PingTimeout);
            }
            self.pong_by = self.pong_timeout.filter(|_| !heard).map(|timeout| now + timeout);
        }
        if passed(self.ping_at) {
            self.ping_at = self.ping_interval.map(|interval| now + interval);
            if self.pong_by.is_none() {
                self.pong_by = self.pong_timeout.map(|timeout| now + timeout);
                return Due::Ping;
            }
        }
        Due::Nothing
    }

    fn write_by(&self, blocked_since: Option<Instant>) -> Option<Instant> {
        Some(blocked_since? + self.write_timeout?)
    }
}
