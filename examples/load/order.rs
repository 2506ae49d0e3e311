//! What must be true of a conversation under load, whoever looks at it.

use anyhow::{Context, ensure};
use tokio::sync::watch;

/// One member's view: entries come in the order of their numbers, each once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    base: u64,
    last: u64,
}

impl Order {
    /// The load begins behind entry `base`.
    pub(crate) fn behind(base: u64) -> Self {
        Self { base, last: base }
    }

    /// Takes entry `seq`; answers whether it belongs to the load. What was there before may come first.
    pub(crate) fn take(&mut self, seq: u64) -> anyhow::Result<bool> {
        if seq <= self.base && self.last == self.base {
            return Ok(false);
        }
        ensure!(seq > self.last, "entry {seq} came after entry {}: twice, or out of order", self.last);
        ensure!(seq == self.last + 1, "entry {seq} came after entry {}: those between are lost", self.last);
        self.last = seq;
        Ok(true)
    }

    /// The last entry that came.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }
}

/// What a sender was told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Acknowledged {
    pub(crate) messages: u64,
    /// The sum of their numbers, which tells whether two got the same.
    pub(crate) seq_sum: u128,
    /// The largest of their numbers.
    pub(crate) head: u64,
}

impl Acknowledged {
    /// One more message.
    pub(crate) fn add(&mut self, seq: u64) {
        self.messages += 1;
        self.seq_sum += u128::from(seq);
        self.head = self.head.max(seq);
    }

    fn merge(&mut self, other: Self) {
        self.messages += other.messages;
        self.seq_sum += other.seq_sum;
        self.head = self.head.max(other.head);
    }
}

/// A conversation under load, which ends when its last sender has.
#[derive(Debug)]
pub(crate) struct Place {
    /// How its messages are addressed: the beginning of a request to send one.
    pub(crate) request: String,
    /// The entry behind which the load begins.
    pub(crate) base: u64,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    senders: u32,
    acknowledged: Acknowledged,
}

impl Place {
    pub(crate) fn new(request: String, base: u64, senders: u32) -> Self {
        let acknowledged = Acknowledged { head: base, ..Acknowledged::default() };
        Self { request, base, progress: watch::Sender::new(Progress { senders, acknowledged }) }
    }

    /// One sender has everything acknowledged and sends no more.
    pub(crate) fn sender_finished(&self, acknowledged: Acknowledged) {
        self.progress.send_modify(|progress| {
            progress.senders -= 1;
            progress.acknowledged.merge(acknowledged);
        });
    }

    /// The conversation's last entry, when all senders have finished.
    pub(crate) fn head(&self) -> Option<u64> {
        let progress = self.progress.borrow();
        (progress.senders == 0).then_some(progress.acknowledged.head)
    }

    /// Waits until all senders have finished. Cancel safe.
    pub(crate) async fn finished(&self) {
        let mut progress = self.progress.subscribe();
        let finished = progress.wait_for(|progress| progress.senders == 0).await;
        finished.map(drop).expect("the place itself holds the sender");
    }

    /// Checks that the entries of the load are those that were acknowledged; answers how many.
    pub(crate) fn check(&self) -> anyhow::Result<u64> {
        let head = self.head().context("not all senders have finished")?;
        let Acknowledged { messages, seq_sum, .. } = self.progress.borrow().acknowledged;
        let entries = head - self.base;
        ensure!(messages == entries, "{messages} messages were acknowledged, and {entries} are in the log");
        let expected = u128::from(self.base + 1 + head) * u128::from(entries) / 2;
        ensure!(entries == 0 || seq_sum == expected, "two messages were acknowledged as the same entry");
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_once_and_in_order() {
        let mut order = Order::behind(5);
        assert!(!order.take(3).unwrap() && !order.take(5).unwrap(), "what was there before does not count");
        assert!(order.take(6).unwrap() && order.take(7).unwrap());
        assert_eq!(order.last(), 7);
    }

    #[test]
    fn lost_doubled_and_swapped_entries_are_noticed() {
        for wrong in [[6, 8], [6, 6], [7, 6], [6, 5]] {
            let mut order = Order::behind(5);
            assert!(wrong.iter().any(|seq| order.take(*seq).is_err()), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_acknowledged_must_be_what_is_in_the_log() {
        let acknowledged = |seqs: &[u64]| {
            let place = Place::new(String::new(), 5, 1);
            let mut acknowledged = Acknowledged::default();
            seqs.iter().for_each(|seq| acknowledged.add(*seq));
            assert_eq!(place.head(), None);
            place.sender_finished(acknowledged);
            place.check()
        };
        assert_eq!(acknowledged(&[]).unwrap(), 0);
        assert_eq!(acknowledged(&[7, 6, 8]).unwrap(), 3);
        assert!(acknowledged(&[6, 8]).is_err(), "an entry that nobody was told of");
        assert!(acknowledged(&[6, 6, 8]).is_err(), "one entry for two messages");
    }
}
