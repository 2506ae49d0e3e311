//! Whether it is worth asking: after a failure that says that the database is not there, calls are refused at
//! once, and one probe a second finds out when it is back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long to wait between two probes.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// One for reads and one for writes: a primary without its majority still answers reads.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    probe_at: Instant,
}

/// What to do with a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Make it.
    Go,
    /// Refuse it.
    Refuse,
    /// Refuse it, and probe beside it.
    Probe,
}

impl Breaker {
    /// What to do with a call that comes now. Who is told to probe has to tell of it.
    pub(crate) fn advice(&self) -> Advice {
        let now = Instant::now();
        match &mut *self.lock() {
            None => Advice::Go,
            Some(open) if now < open.probe_at => Advice::Refuse,
            Some(open) => {
                open.probe_at = now + PROBE_PAUSE;
                Advice::Probe
            }
        }
    }

    /// A call or a probe was answered.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    /// A call showed that the database is not there. Answers whether nobody knew that.
    pub(crate) fn open(&self) -> bool {
        let mut open = self.lock();
        let is_news = open.is_none();
        open.get_or_insert_with(|| Open { probe_at: Instant::now() + PROBE_PAUSE });
        is_news
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_refuses_and_probes_once_a_second() {
        let breaker = Breaker::default();
        assert_eq!(breaker.advice(), Advice::Go);
        assert!(breaker.open());
        assert!(!breaker.open(), "it is known");
        assert_eq!(breaker.advice(), Advice::Refuse);
        tokio::time::advance(PROBE_PAUSE).await;
        assert_eq!(breaker.advice(), Advice::Probe);
        assert_eq!(breaker.advice(), Advice::Refuse, "one probe at a time");
        tokio::time::advance(PROBE_PAUSE).await;
        assert_eq!(breaker.advice(), Advice::Probe);
        breaker.close();
        assert_eq!(breaker.advice(), Advice::Go);
    }
}
