//! Who is reachable now.

use serde::{Deserialize, Serialize};

use crate::id::UserId;
use crate::time::Timestamp;

/// A user's status. It belongs to the user, not to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Connected.
    Online,
    /// Connected, and says to be away.
    Away,
    /// Connected, and does not want to be disturbed.
    Busy,
    /// Not connected, or wants to look so.
    #[default]
    Offline,
}

/// What others see of a user's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// The user.
    pub user_id: UserId,
    /// The status.
    pub status: Status,
    /// When they were last online; `None` while they are, or if unknown.
    pub last_seen: Option<Timestamp>,
}
