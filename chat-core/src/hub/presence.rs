//! What others see of the users who are connected here, and when they are told.
//!
//! Changes are gathered and settle before they are told: a reconnect within the grace time is no change.
//! Who is told is the registry's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{Presence, Status};
use crate::id::UserId;
use crate::time::Timestamp;

/// The users who are connected, or were until a moment ago.
#[derive(Debug)]
pub(super) struct PresenceBook {
    grace: Duration,
    gather: Duration,
    users: HashMap<UserId, Shown>,
    /// Users whose last connection ended, in the order of time, and when.
    leaving: VecDeque<(Instant, UserId)>,
    /// Users whom others may have to be told of, since the first of these changes.
    changed: HashSet<UserId>,
    changed_since: Option<Instant>,
    /// Users who went offline and were not reported yet.
    went_offline: HashSet<UserId>,
}

/// What is shown of a user.
#[derive(Debug)]
struct Shown {
    /// The status that the user chose.
    chosen: Status,
    /// What others were told last.
    told: Status,
    connection: ConnectionState,
    /// From when on the user seems to be offline.
    offline_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    Connected,
    /// Since this moment, and nobody has been told.
    Leaving(Instant),
    Gone,
}

impl Shown {
    fn status(&self) -> Status {
        match self.connection {
            ConnectionState::Connected | ConnectionState::Leaving(_) => self.chosen,
            ConnectionState::Gone => Status::Offline,
        }
    }

    fn last_seen(&self, instant: Instant, now: Timestamp) -> Timestamp {
        self.offline_since.map_or(now, |since| now.minus(instant.saturating_duration_since(since)))
    }
}

impl PresenceBook {
    pub(super) fn new(grace: Duration, gather: Duration) -> Self {
        Self {
            grace,
            gather,
            users: HashMap::new(),
            leaving: VecDeque::new(),
            changed: HashSet::new(),
            changed_since: None,
            went_offline: HashSet::new(),
        }
    }

    /// The user has a connection.
    pub(super) fn connected(&mut self, user: UserId, instant: Instant) {
        let shown = self.users.entry(user).or_insert(Shown {
            chosen: Status::Online,
            told: Status::Offline,
            connection: ConnectionState::Gone,
            offline_since: None,
        });
        if shown.connection == ConnectionState::Gone {
            shown.chosen = Status::Online;
        }
        shown.connection = ConnectionState::Connected;
        if shown.chosen != Status::Offline {
            shown.offline_since = None;
        }
        self.note_change(user, instant);
    }

    /// The user's last connection has ended.
    pub(super) fn disconnected(&mut self, user: UserId, instant: Instant) {
        if let Some(shown) = self.users.get_mut(&user) {
            shown.connection = ConnectionState::Leaving(instant);
            shown.offline_since.get_or_insert(instant);
            self.leaving.push_back((instant, user));
        }
    }

    /// The user chose a status; nothing for a user who is not here.
    pub(super) fn choose(&mut self, user: UserId, status: Status, instant: Instant) {
        let Some(shown) = self.users.get_mut(&user) else { return };
        if shown.connection == ConnectionState::Gone {
            return;
        }
        let was = std::mem::replace(&mut shown.chosen, status);
        if status == Status::Offline && was != Status::Offline {
            shown.offline_since.get_or_insert(instant);
            self.went_offline.insert(user);
        } else if status != Status::Offline && shown.connection == ConnectionState::Connected {
            shown.offline_since = None;
        }
        self.note_change(user, instant);
    }

    /// What others see of the user.
    pub(super) fn status(&self, user: UserId) -> Status {
        self.users.get(&user).map_or(Status::Offline, Shown::status)
    }

    /// Lets those go whose grace time is over. Answers who went offline since the last call, and when they
    /// were last seen.
    pub(super) fn settle(&mut self, instant: Instant, now: Timestamp) -> Vec<(UserId, Timestamp)> {
        while let Some((since, user)) = self.leaving.front().copied() {
            if instant.saturating_duration_since(since) < self.grace {
                break;
            }
            self.leaving.pop_front();
            let Some(shown) = self.users.get_mut(&user) else { continue };
            if shown.connection != ConnectionState::Leaving(since) {
                continue;
            }
            if shown.status() != Status::Offline {
                self.went_offline.insert(user);
            }
            shown.connection = ConnectionState::Gone;
            self.note_change(user, instant);
        }
        let offline = std::mem::take(&mut self.went_offline).into_iter();
        let still_offline = offline.filter_map(|user| {
            let shown = self.users.get(&user)?;
            (shown.status() == Status::Offline).then(|| (user, shown.last_seen(instant, now)))
        });
        still_offline.collect()
    }

    /// What others have to be told now: nothing until changes have been gathered for long enough, and
    /// nothing of users who are not `ready`: their turn comes later.
    pub(super) fn changes(
        &mut self,
        instant: Instant,
        now: Timestamp,
        ready: impl Fn(UserId) -> bool,
    ) -> Vec<Presence> {
        let is_due =
            self.changed_since.is_some_and(|since| instant.saturating_duration_since(since) >= self.gather);
        if !is_due {
            return Vec::new();
        }
        let (due, later): (HashSet<_>, HashSet<_>) =
            std::mem::take(&mut self.changed).into_iter().partition(|user| ready(*user));
        self.changed_since = if later.is_empty() { None } else { Some(instant) };
        self.changed = later;
        due.into_iter().filter_map(|user| self.tell(user, instant, now)).collect()
    }

    /// Whether the user has a connection, or others still take them to have one.
    pub(super) fn knows(&self, user: UserId) -> bool {
        self.users.contains_key(&user)
    }

    fn tell(&mut self, user: UserId, instant: Instant, now: Timestamp) -> Option<Presence> {
        let shown = self.users.get_mut(&user)?;
        let status = shown.status();
        let is_news = std::mem::replace(&mut shown.told, status) != status;
        let last_seen = (status == Status::Offline).then(|| shown.last_seen(instant, now));
        if shown.connection == ConnectionState::Gone {
            self.users.remove(&user);
        }
        is_news.then_some(Presence { user_id: user, status, last_seen })
    }

    fn note_change(&mut self, user: UserId, instant: Instant) {
        self.changed.insert(user);
        self.changed_since.get_or_insert(instant);
    }
}
