//! Wire protocol v1: JSON objects in text frames.
//!
//! Only this module knows names of actions and fields. Decoding has two stages,
//! the envelope first, so that every error still carries the `request_id`.

mod code;

pub use code::{ActionError, Code, UnauthenticatedReason};
