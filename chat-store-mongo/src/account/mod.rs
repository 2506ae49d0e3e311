//! Accounts and sessions.

pub(crate) mod account_store;
pub(crate) mod accounts;
pub(crate) mod revocation;
pub(crate) mod session;
