//! Logs: appending to them, reading them, and what they make of conversations and members.

pub(crate) mod append;
pub(crate) mod creation;
pub(crate) mod heads;
pub(crate) mod lane;
pub(crate) mod message_number;
pub(crate) mod messages;
pub(crate) mod projection;
pub(crate) mod read;
