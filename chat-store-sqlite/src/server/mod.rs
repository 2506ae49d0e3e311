//! The database as a service to the rest of this crate: opening the file, its lock, the thread that writes, the connections
//! that read, and the switch that stops them all. Nothing here knows what is stored.

pub(crate) mod failure;
pub(crate) mod lock;
pub(crate) mod open;
pub(crate) mod place;
pub(crate) mod reader;
mod replaced;
pub(crate) mod writer;
