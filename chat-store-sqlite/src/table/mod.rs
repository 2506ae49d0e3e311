//! The tables, one file for each: its columns as values of the domain, and its statements. No rules, and no table
//! knows another; what belongs together is put together in `log`, `view` and `account`.

pub(crate) mod accounts;
pub(crate) mod column;
pub(crate) mod conversations;
pub(crate) mod entries;
pub(crate) mod entry_ids;
pub(crate) mod members;
pub(crate) mod meta;
pub(crate) mod replaced_tokens;
pub(crate) mod revocations;
pub(crate) mod sessions;
