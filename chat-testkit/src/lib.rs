//! What tests of a chat need: conformance suites for the four ports, faulty doubles,
//! a clock that stands still, and a WebSocket client.

pub mod account_store;
pub mod auth;
#[cfg(feature = "client")]
pub mod client;
pub mod double;
pub mod harness;
pub mod model;
pub mod presence_hub;
pub mod room_store;
pub mod suite;

mod random;

pub use harness::{Harness, Subject};
