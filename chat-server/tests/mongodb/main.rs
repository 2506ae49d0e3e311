//! The real binary on MongoDB, and what is different there from an embedded store: databases that cannot be opened,
//! a database that is away for a while, rights, and the commands that the documentation tells.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod mongodb_absent;
mod mongodb_documents;
mod mongodb_refused;
mod mongodb_rights;
mod place;
