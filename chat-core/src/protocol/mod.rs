//! Wire protocol v1: JSON objects in text frames.
//!
//! Only this module knows names of actions and fields. Decoding has two stages,
//! the envelope first, so that every error still carries the `request_id`.
//! What the actions do, and who may do what, is the engine's business.

mod envelope;
pub mod event;
mod field;
pub mod reply;
pub mod request;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub use envelope::{DecodeError, Envelope, RequestId};
pub use event::{EntryContext, Push, entry_push};
pub use reply::{failure, success};
pub use request::Request;

// What a refusal says: named in the signatures of this module.
pub use crate::error::{ActionError, Code, UnauthenticatedReason};

/// The version of the protocol that this module speaks.
pub const VERSION: u32 = 1;
