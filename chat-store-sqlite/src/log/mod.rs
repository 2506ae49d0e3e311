//! The logs: how entries are appended and what they change, and how they are read.

pub(crate) mod append;
pub(crate) mod conversation;
mod entry_ids;
pub(crate) mod read;
