//! Live delivery inside one process: outboxes, channels with their rings, and the
//! hub that a single node needs.
//!
//! Locks are taken in one order, and never held across an await:
//! the registry of the hub → a channel → an outbox. Tasks are woken with no lock held.

mod channel;
mod disconnect;
mod local;
mod outbox;
mod presence;
mod registry;
mod ring;
#[cfg(test)]
mod tests;

pub use disconnect::DisconnectReason;
pub use local::LocalHub;
pub use outbox::{Behind, Outbox, Taken};

// What a hub delivers, and to whom: named in its signatures.
pub use crate::frame::{ConnectionId, Frame};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. A panic elsewhere does not spread: every critical section here leaves what it guards whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
