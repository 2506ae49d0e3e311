//! Sending commands to servers, and what their answers mean. Knows no row but the one that barriers write.

pub(crate) mod breaker;
pub(crate) mod database;
pub(crate) mod error;
pub(crate) mod explain;
pub(crate) mod query;
pub(crate) mod reply;
