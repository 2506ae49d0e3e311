//! The newest entries of a conversation, encoded, and the bound that all of them share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::Seq;
use crate::frame::Frame;
use crate::limits::hard;

/// The newest entries, encoded, without holes; the last one is `head`.
#[derive(Debug)]
pub(super) struct Ring {
    frames: VecDeque<Frame>,
    bytes: usize,
    head: Seq,
}

/// The bytes that all rings of a hub hold together, and may hold.
#[derive(Debug)]
pub(super) struct RingBudget {
    used_bytes: AtomicUsize,
    max_bytes: usize,
}

impl RingBudget {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { used_bytes: AtomicUsize::new(0), max_bytes }
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Whether it is time to give up rings that nobody waits for.
    pub(super) fn is_tight(&self) -> bool {
        self.used_bytes() > self.max_bytes / 4 * 3
    }

    fn is_exceeded(&self) -> bool {
        self.used_bytes() > self.max_bytes
    }
}

impl Ring {
    /// An empty ring of a log that has come to `head`.
    pub(super) fn new(head: Seq) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, head }
    }

    /// The newest entry that is known.
    pub(super) fn head(&self) -> Seq {
        self.head
    }

    /// Adds an entry, unless it is not above the head, and drops the oldest ones that do not fit.
    /// A gap empties the ring, so that what it holds has no holes.
    pub(super) fn push(&mut self, seq: Seq, frame: &Frame, budget: &RingBudget) {
        if seq <= self.head {
            return;
        }
        if seq != self.head.next() {
            self.clear(budget);
        }
        self.head = seq;
        self.bytes += frame.len();
        budget.used_bytes.fetch_add(frame.len(), Ordering::Relaxed);
        self.frames.push_back(frame.clone());
        while self.frames.len() > hard::RING_ENTRIES || self.bytes > hard::RING_BYTES || budget.is_exceeded()
        {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.len();
            budget.used_bytes.fetch_sub(oldest.len(), Ordering::Relaxed);
        }
    }

    /// Gives up all frames; the head stays.
    pub(super) fn clear(&mut self, budget: &RingBudget) {
        budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
        self.frames = VecDeque::new();
    }

    /// The entry before the oldest frame.
    pub(super) fn start(&self) -> Seq {
        Seq::new(self.head.get() - self.frames.len() as u64).unwrap_or(self.head)
    }

    /// The frames of the entries above `after` up to `end`, which it holds.
    pub(super) fn frames(&self, after: Seq, end: Seq) -> impl Iterator<Item = &Frame> {
        let start = self.start();
        self.frames.range(after.since(start) as usize..end.since(start) as usize)
    }
}
