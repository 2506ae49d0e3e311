//! The reference stores: both store ports in memory, behind one mutex.
//!
//! They are simple so that they are obviously right, and every other store is
//! compared with them. They keep nothing beyond the process.

mod account_store;
mod room_store;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::ConversationId;

/// Rooms, accounts and sessions in memory: for tests and for chats that may forget.
///
/// One value is both a [`RoomStore`](crate::port::RoomStore) and an
/// [`AccountStore`](crate::port::AccountStore); the two share nothing but the mutex.
#[derive(Debug)]
pub struct MemoryStore {
    epoch: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: room_store::Rooms,
    accounts: account_store::Accounts,
}

impl MemoryStore {
    /// An empty store with an epoch of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { epoch: ConversationId::generate().to_string(), state: Mutex::default() }
    }

    /// Every change below is made by code that cannot panic half-way, so a
    /// poisoned mutex still guards a consistent state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}
