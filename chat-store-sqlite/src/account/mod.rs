//! Accounts and sessions: what takes more than one statement.

pub(crate) mod name;
pub(crate) mod session;
