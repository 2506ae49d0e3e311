//! The engine as a client sees it: JSON in, JSON out, over the in-memory store and without sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod client_model;
mod delivery;
mod dialogue;
mod histories;
mod rooms;
mod sending;
mod support;
mod syncing;
