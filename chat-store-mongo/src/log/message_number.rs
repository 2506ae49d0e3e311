//! Finding messages of a log by their number among its messages, in few steps.
//!
//! How many messages there are up to an entry is known of two entries at first, and can be looked up for any other.
//! That number grows by at most one with each entry. So where it grows by one with each, all entries are messages, and
//! where it does not grow, none is: only stretches that have both need a closer look. All of them are looked at in one
//! round, in many places, so that the number of rounds grows with the logarithm of the longest run of events.

use std::ops::RangeInclusive;

use chat_core::domain::{Head, Seq};

/// Entries that are looked up in one round.
const PROBES: u64 = 64;

/// A search for the messages with these numbers.
#[derive(Debug)]
pub(crate) struct Search {
    wanted: RangeInclusive<u64>,
    /// How many messages there are up to entries: the first is before all wanted messages, the last at or behind all.
    known: Vec<Head>,
}

/// A stretch of entries in which wanted messages are.
struct Gap {
    /// The messages: from this one to that one.
    first: u64,
    last: u64,
    /// The entries that can be the first of them, or the last.
    lowest: u64,
    highest: u64,
}

impl Gap {
    /// Whether every entry of it is a message.
    fn is_dense(&self) -> bool {
        self.highest - self.lowest == self.last - self.first
    }
}

impl Search {
    /// A search between an entry before the first wanted message and one that is the last or behind it. `None` if no
    /// log can count so.
    pub(crate) fn new(wanted: RangeInclusive<u64>, low: Head, high: Head) -> Option<Self> {
        let is_between = low.messages < *wanted.start() && *wanted.end() <= high.messages;
        (is_between && counts_on(low, high)).then(|| Self { wanted, known: vec![low, high] })
    }

    /// The entries to look up next; none when all messages are found.
    pub(crate) fn probes(&self) -> Vec<Seq> {
        let open: Vec<Gap> = self.gaps().filter(|gap| !gap.is_dense()).collect();
        let each = (PROBES / open.len().max(1) as u64).max(1);
        let mut probes: Vec<u64> = Vec::new();
        for gap in open {
            // Never the highest: how many messages there are up to there is known or follows.
            let width = gap.highest - gap.lowest;
            probes.extend((1..=each).map(|place| gap.lowest + width * place / (each + 1)));
        }
        probes.dedup();
        probes.into_iter().filter_map(Seq::new).collect()
    }

    /// Takes what was looked up. Answers whether a log can count so.
    pub(crate) fn learn(&mut self, head: Head) -> bool {
        let place = self.known.partition_point(|known| known.seq < head.seq);
        let before = place.checked_sub(1).and_then(|place| self.known.get(place));
        let (Some(before), Some(after)) = (before, self.known.get(place)) else { return false };
        let is_possible = counts_on(*before, head) && counts_on(head, *after);
        self.known.insert(place, head);
        is_possible
    }

    /// The entries that are the wanted messages, when there is nothing left to look up.
    pub(crate) fn found(&self) -> Vec<Seq> {
        self.gaps().flat_map(|gap| gap.lowest..=gap.highest).filter_map(Seq::new).collect()
    }

    fn gaps(&self) -> impl Iterator<Item = Gap> {
        self.known.windows(2).filter_map(|ends| {
            let [low, high] = ends else { return None };
            let first = (low.messages + 1).max(*self.wanted.start());
            let last = high.messages.min(*self.wanted.end());
            (first <= last).then(|| Gap {
                first,
                last,
                lowest: low.seq.get() + (first - low.messages),
                highest: high.seq.get() - (high.messages - last),
            })
        })
    }
}

/// Whether a log that counts `low` can count `high` later: one more at most with each entry.
fn counts_on(low: Head, high: Head) -> bool {
    low.seq <= high.seq
        && low.messages <= high.messages
        && high.messages - low.messages <= high.seq.since(low.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log: up to each of its entries, how many are messages.
    struct Log(Vec<u64>);

    impl Log {
        fn new(is_message: impl IntoIterator<Item = bool>) -> Self {
            let count = |messages: &mut u64, is_message| {
                *messages += u64::from(is_message);
                Some(*messages)
            };
            Self(is_message.into_iter().scan(0, count).collect())
        }

        fn head(&self, seq: u64) -> Head {
            let index = usize::try_from(seq).unwrap().checked_sub(1);
            Head { seq: Seq::new(seq).unwrap(), messages: index.map_or(0, |index| self.0[index]) }
        }

        /// The numbers of the entries that are these messages.
        fn expected(&self, wanted: RangeInclusive<u64>) -> Vec<u64> {
            wanted.map(|number| self.0.partition_point(|upto| *upto < number) as u64 + 1).collect()
        }

        /// Searches the whole log. Answers in how many rounds, and how many entries were looked up.
        fn search(&self, wanted: RangeInclusive<u64>) -> (usize, usize) {
            let end = self.head(self.0.len() as u64);
            let mut search = Search::new(wanted.clone(), Head::default(), end).unwrap();
            let (mut rounds, mut looked_up) = (0, 0);
            loop {
                let probes = search.probes();
                if probes.is_empty() {
                    break;
                }
                rounds += 1;
                looked_up += probes.len();
                for probe in probes {
                    assert!(search.learn(self.head(probe.get())), "{probe} in {:?}", search.known);
                }
            }
            let found: Vec<u64> = search.found().into_iter().map(Seq::get).collect();
            assert_eq!(found, self.expected(wanted));
            (rounds, looked_up)
        }
    }

    fn run(length: usize) -> impl Iterator<Item = bool> {
        std::iter::repeat_n(false, length)
    }

    #[test]
    fn every_stretch_of_every_short_log_is_found() {
        for length in 1..=9_u32 {
            for bits in 0..1_u32 << length {
                let log = Log::new((0..length).map(|place| bits >> place & 1 == 1));
                let messages = u64::from(bits.count_ones());
                for first in 1..=messages {
                    for last in first..=messages {
                        log.search(first..=last);
                    }
                }
            }
        }
    }

    #[test]
    fn a_log_of_messages_alone_is_not_looked_into() {
        let log = Log::new([true; 1_000]);
        assert_eq!(log.search(400..=500), (0, 0));
    }

    #[test]
    fn a_long_run_of_events_is_jumped_over_in_few_rounds() {
        let log = Log::new([true; 60].into_iter().chain(run(100_000)).chain([true; 40]));
        for wanted in [1..=1, 60..=60, 61..=61, 100..=100, 11..=100, 60..=61] {
            let (rounds, looked_up) = log.search(wanted);
            assert!(rounds <= 4 && looked_up <= 256, "{looked_up} entries in {rounds} rounds");
        }
    }

    #[test]
    fn messages_that_are_all_far_apart_are_found_together() {
        let log = Log::new((0..100).flat_map(|_| run(2_000).chain([true])));
        let (rounds, looked_up) = log.search(1..=100);
        assert!(rounds <= 14 && looked_up <= 1_400, "{looked_up} entries in {rounds} rounds");
    }

    #[test]
    fn numbers_that_no_log_has_are_refused() {
        let head = |seq, messages| Head { seq: Seq::new(seq).unwrap(), messages };
        assert!(Search::new(1..=1, head(0, 0), head(5, 6)).is_none(), "more messages than entries");
        assert!(Search::new(1..=3, head(0, 0), head(5, 2)).is_none(), "not so many messages");
        assert!(Search::new(2..=3, head(3, 2), head(5, 3)).is_none(), "the second is not above");
        let mut search = Search::new(2..=2, head(0, 0), head(10, 4)).unwrap();
        assert!(search.learn(head(5, 2)));
        assert!(!search.learn(head(6, 1)), "fewer than before");
        let mut search = Search::new(2..=2, head(0, 0), head(10, 4)).unwrap();
        assert!(!search.learn(head(9, 1)), "too few for what follows");
    }
}
