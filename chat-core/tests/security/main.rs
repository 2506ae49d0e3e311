//! The security requirements as a client meets them: JSON in, JSON out, over the in-memory store and without
//! sockets. What sockets, TLS and passwords add is tested where they are.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

#[allow(dead_code, reason = "shared with the target `engine`")]
#[path = "../engine/support.rs"]
mod support;

mod bounds;
mod device;
mod double;
mod failures;
mod frames;
mod hooks;
mod input;
mod late_writes;
mod matrix;
mod ownership;
mod panics;
mod races;
mod resume;
mod stage;
