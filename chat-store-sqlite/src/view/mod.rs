//! What a user is shown of the logs: lists of conversations, what is unread, who shares what, rooms to discover.

pub(crate) mod discovery;
pub(crate) mod lists;
pub(crate) mod sharing;
pub(crate) mod unread;
