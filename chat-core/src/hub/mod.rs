//! Live delivery inside one process: outboxes, channels with their rings, and the
//! hub that a single node needs.

mod channel;
mod frame;
mod local;
mod outbox;

pub use frame::{ConnectionId, DisconnectReason, Frame};
pub use local::LocalHub;
pub use outbox::{Batch, Outbox};
