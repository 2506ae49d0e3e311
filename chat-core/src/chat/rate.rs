//! How often a user or a connection may ask.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::limits::Rate;

/// A rate for each key. Keys that have recovered are forgotten by [`forget_recovered`](Self::forget_recovered).
pub(crate) struct RateLimit<K: Hash + Eq + Clone> {
    limiter: Option<RateLimiter<K, DashMapStateStore<K>, governor::clock::DefaultClock>>,
}

impl<K: Hash + Eq + Clone> std::fmt::Debug for RateLimit<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit").field("on", &self.limiter.is_some()).finish()
    }
}

impl<K: Hash + Eq + Clone> RateLimit<K> {
    /// A limit of `rate` for each key; a zero turns it off.
    pub(crate) fn new(rate: Rate) -> Self {
        let quota = NonZeroU32::new(rate.per_second)
            .zip(NonZeroU32::new(rate.burst))
            .map(|(per_second, burst)| Quota::per_second(per_second).allow_burst(burst));
        Self { limiter: quota.map(RateLimiter::dashmap) }
    }

    /// Counts one; if that is too many, says how long to wait.
    pub(crate) fn check(&self, key: &K) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|refused| refused.wait_time_from(limiter.clock().now()))
    }

    /// Frees the memory of keys that may do all again.
    pub(crate) fn forget_recovered(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_next_waits() {
        let limit = RateLimit::new(Rate { per_second: 1, burst: 3 });
        for _ in 0..3 {
            assert!(limit.check(&"a").is_ok());
        }
        assert!(limit.check(&"a").is_err_and(|wait| wait <= Duration::from_secs(1)));
        assert!(limit.check(&"b").is_ok(), "each key has its own");
    }

    #[test]
    fn zero_is_off() {
        let limit = RateLimit::new(Rate { per_second: 0, burst: 0 });
        assert!((0..100_000).all(|_| limit.check(&1).is_ok()));
    }
}
