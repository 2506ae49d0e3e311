//! Stand-ins for the world around the engine: stores that fail on command, a clock that
//! stands still, an `Auth` without hashing, and the mocks of the four ports.

mod auth;
mod clock;
mod fault;

pub use auth::FakeAuth;
pub use clock::ManualClock;
pub use fault::{Fault, Faults, FaultyAccountStore, FaultyRoomStore, Gate};

pub use chat_core::port::{MockAccountStore, MockAuth, MockPresenceHub, MockRoomStore};
