//! The engine as a client sees it: JSON in, JSON out, over the in-memory store and without sockets.

mod delivery;
mod dialogue;
mod rooms;
mod sending;
mod support;
mod syncing;
