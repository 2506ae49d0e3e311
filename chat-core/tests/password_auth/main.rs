//! `PasswordAuth` over the in-memory store, on paused time. Names begin with the security requirement
//! that they hold.

// These are tests from the first line to the last, the helpers too.
#![allow(clippy::unwrap_used)]

mod accounts;
mod events;
mod failures;
mod fixture;
mod guessing;
mod sessions;
