//! What is known of logs that this process writes: how far each has come. Only heads that a majority has are ever put
//! here, so that what is numbered after them leaves no hole.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_core::domain::Head;
use chat_core::id::ConversationId;

use crate::conversation::ConversationRow;
use crate::entry::Place;

/// How many logs are known at a time. Those that are forgotten are read again.
const KNOWN: usize = 65_536;

/// What is known of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) head: Head,
    pub(crate) place: Place,
}

#[derive(Debug, Default)]
pub(crate) struct Heads {
    known: Mutex<HashMap<ConversationId, Known>>,
}

impl Heads {
    pub(crate) fn get(&self, id: ConversationId) -> Option<Known> {
        self.lock().get(&id).copied()
    }

    /// The log was read up to its head.
    pub(crate) fn learn(&self, row: &ConversationRow) -> Known {
        let known = Known { head: row.conversation.head, place: row.place() };
        let mut all = self.lock();
        if all.len() >= KNOWN {
            all.clear();
        }
        all.insert(row.conversation.id, known);
        known
    }

    /// The log was written up to here.
    pub(crate) fn advance(&self, id: ConversationId, head: Head) {
        if let Some(known) = self.lock().get_mut(&id) {
            known.head = head;
        }
    }

    /// The log may have come further.
    pub(crate) fn forget(&self, id: ConversationId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
