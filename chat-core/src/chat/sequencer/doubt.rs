//! Writes whose outcome is not known.
//!
//! Whoever was answered `timeout` has been told that nobody knows. The write goes on: a disk that hangs, a
//! process that was stopped or a connection that is held let it commit long after. So the sequencer waits for
//! the call itself, which is the fence behind which its outcome is known; and if even that does not tell, the
//! conversation stays in memory *in doubt*, and its head is compared with the store's every second
//! (`chat/reconcile.rs`) until nothing can be on its way any more.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{RESYNC_WAITS, Sequencer};
use crate::chat::engine::Engine;
use crate::domain::Entry;
use crate::error::StoreError;
use crate::id::EntryId;

/// How long the call of a write is waited for after its deadline.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long after its end a write may still appear in the log: longer than servers and networks hold it back.
const DOUBT: Duration = Duration::from_secs(600);
/// Entries in doubt whose origin is remembered; the oldest are forgotten, and then are delivered like those
/// of another node.
const ENTRIES: usize = 4_096;

/// What was handed to the store and is not known to be in the log or not. If the log turns out to have it, it was
/// made here: observers and invitees are told.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// The entries of the call that is under way, or that panicked.
    under_way: Vec<EntryId>,
    /// The entries of calls that ended without telling.
    lost: VecDeque<EntryId>,
    /// Until when one of those may still appear.
    until: Option<Instant>,
}

impl Doubt {
    /// These are handed to the store now.
    pub(super) fn begin(&mut self, ids: Vec<EntryId>) {
        self.under_way = ids;
    }

    /// What became of them is known.
    pub(super) fn end(&mut self) {
        self.under_way.clear();
    }

    /// What became of them may never be known.
    fn lose(&mut self) {
        self.lost.extend(self.under_way.drain(..));
        let surplus = self.lost.len().saturating_sub(ENTRIES);
        self.lost.drain(..surplus);
        self.until = Some(Instant::now() + DOUBT);
    }

    /// Those of `entries` that were made here; they are known now.
    pub(super) fn resolve(&mut self, entries: &[Arc<Entry>]) -> Vec<Arc<Entry>> {
        let is_ours = |id: &EntryId| self.under_way.contains(id) || self.lost.contains(id);
        let ours: Vec<_> = entries.iter().filter(|entry| is_ours(&entry.id)).cloned().collect();
        self.lost.retain(|id| !ours.iter().any(|entry| entry.id == *id));
        ours
    }
}

impl Sequencer {
    pub(super) fn lock_doubt(&self) -> MutexGuard<'_, Doubt> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a write that nobody waits for may still appear in the log.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let mut doubt = self.lock_doubt();
        if doubt.until.is_some_and(|until| until <= Instant::now()) {
            doubt.until = None;
            doubt.lost = VecDeque::new();
        }
        doubt.until.is_some()
    }

    /// The call that is under way has ended and has not said what became of it.
    pub(super) fn fall_in_doubt(&self, engine: &Engine) {
        self.lock_doubt().lose();
        engine.doubtful.add(self.conversation);
    }

    /// Waits for a write. When its deadline is over, `late` tells those who wait for it that nobody knows, and
    /// whoever comes is refused until it has ended. `Timeout` if that takes too long, or the engine ends.
    pub(super) async fn until_known<T>(
        &self,
        engine: &Engine,
        call: impl Future<Output = Result<T, StoreError>>,
        late: impl FnOnce(&StoreError),
    ) -> Result<T, StoreError> {
        let mut call = pin!(call);
        let elapsed = match timeout(engine.limits.store_deadline, &mut call).await {
            Ok(outcome) => return outcome,
            Err(elapsed) => StoreError::timeout(elapsed),
        };
        tracing::warn!(conversation = %self.conversation, "a write takes too long; nothing is added until it has ended");
        metrics::counter!("chat_late_writes_total").increment(1);
        late(&elapsed);
        let patience = Instant::now() + PATIENCE;
        let (mut wait, longest) = RESYNC_WAITS;
        while Instant::now() < patience {
            self.refuse_waiting();
            tokio::select! {
                outcome = &mut call => return outcome,
                () = sleep(wait) => {}
                () = engine.draining.cancelled() => break,
            }
            wait = longest.min(wait * 2);
        }
        Err(elapsed)
    }
}
