//! Databases of a PHP chat are migrated: each of their flaws by its rule, nothing lost, however often the work
//! is broken off.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

#[path = "../support/mod.rs"]
mod support;

mod php_chat;

mod mongodb_accounts;
mod mongodb_back;
mod mongodb_conversations;
mod mongodb_extremes;
mod mongodb_finish;
mod mongodb_interruptions;
mod mongodb_messages;
mod mongodb_whole;
