//! What is known of logs that this process writes: how far each has come. Only heads that a majority has are ever put
//! here, so that what is numbered after them leaves no hole.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_core::domain::Head;
use chat_core::id::ConversationId;

use crate::table::conversations::ConversationRow;
use crate::table::entries::Place;

/// How many logs are known at least, if so many were written. Those that are forgotten are read again.
const KNOWN: usize = 65_536;

/// What is known of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) head: Head,
    pub(crate) place: Place,
}

#[derive(Debug, Default)]
pub(crate) struct Heads {
    generations: Mutex<Generations>,
}

/// Logs that were used of late, and those that were used before so many others that they go next.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<ConversationId, Known>,
    old: HashMap<ConversationId, Known>,
}

impl Heads {
    pub(crate) fn get(&self, id: ConversationId) -> Option<Known> {
        self.lock().get(id).copied()
    }

    /// The log was read up to its head.
    pub(crate) fn learn(&self, row: &ConversationRow) -> Known {
        let known = Known { head: row.conversation.head, place: row.place() };
        self.insert(row.conversation.id, known);
        known
    }

    /// This is known of the log now.
    pub(crate) fn insert(&self, id: ConversationId, known: Known) {
        self.lock().insert(id, known);
    }

    /// The log was written up to here.
    pub(crate) fn advance(&self, id: ConversationId, head: Head) {
        if let Some(known) = self.lock().get(id) {
            known.head = head;
        }
    }

    /// The log may have come further.
    pub(crate) fn forget(&self, id: ConversationId) {
        self.lock().remove(id);
    }

    /// Any log may have come further.
    pub(crate) fn forget_all(&self) {
        *self.lock() = Generations::default();
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    /// What is known of a log, which is used now.
    fn get(&mut self, id: ConversationId) -> Option<&mut Known> {
        if let Some(known) = self.old.remove(&id) {
            self.insert(id, known);
        }
        self.young.get_mut(&id)
    }

    fn insert(&mut self, id: ConversationId, known: Known) {
        if self.young.len() >= KNOWN {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&id);
        self.young.insert(id, known);
    }

    fn remove(&mut self, id: ConversationId) {
        self.young.remove(&id);
        self.old.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use chat_core::domain::Seq;

    use super::*;

    fn known(seq: u64) -> Known {
        Known { head: Head { seq: Seq::new(seq).unwrap(), messages: seq }, place: Place::Room }
    }

    #[test]
    fn of_very_many_logs_those_in_use_stay_known() {
        let heads = Heads::default();
        let (busy, quiet) = (ConversationId::generate(), ConversationId::generate());
        heads.insert(busy, known(1));
        heads.insert(quiet, known(1));
        for _ in 0..2 * KNOWN {
            heads.insert(ConversationId::generate(), known(1));
            assert_eq!(heads.get(busy), Some(known(1)));
        }
        assert_eq!(heads.get(quiet), None);
        let kept = heads.lock();
        assert!(kept.young.len() + kept.old.len() <= 2 * KNOWN);
    }

    #[test]
    fn a_log_has_one_head_whatever_was_known_before() {
        let heads = Heads::default();
        let id = ConversationId::generate();
        heads.insert(id, known(1));
        let mut all = heads.lock();
        all.old = std::mem::take(&mut all.young);
        all.insert(id, known(2));
        drop(all);
        assert_eq!(heads.get(id), Some(known(2)));
        heads.advance(id, known(3).head);
        assert_eq!(heads.get(id), Some(known(3)));
        heads.forget(id);
        assert_eq!(heads.get(id), None);
    }
}
