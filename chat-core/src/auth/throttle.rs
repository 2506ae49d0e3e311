//! How often somebody may guess.
//!
//! Three counts of failures stand before a login: those of an address, those of an address at one account
//! (with a growing pause), and those at one account from everywhere else. The last never stands
//! before an address that has signed in to the account: a stranger slows down strangers, not the owner.
//! Those addresses are kept for each account by itself, so that nobody pushes out what they did not put in.
//! Whoever has an IPv6 network has all networks in it: addresses of it are counted together, too.
//! Names that nobody has are counted like all others.
//!
//! Successes are counted as well, because they cost as much: with the failures for each address, and by themselves
//! for each account. The latter only an owner can bring about.
//!
//! The `governor` crate, which limits requests elsewhere, can neither give an attempt back when it turns
//! out to be the owner's nor bound the number of its keys, so the counting is done here.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::settings::AuthSettings;
use crate::id::UserId;

/// Entries of each count, of which at least half are the latest used.
const ENTRIES: usize = 65_536;

/// Failures in a row from one address at one account before it has to pause.
const FREE_FAILURES: u32 = 5;

/// The longest pause after a failure; the first is a second, each further one twice as long.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// A row of failures is forgotten when none came for so long.
const ROW_FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// Addresses of an account from which its owner signed in last.
const KNOWN_PLACES: usize = 16;

/// How much more an IPv6 network of 56 and of 48 bits may do than one of 64: the first is a large household, the second
/// an office, or what anybody can rent.
const WIDER: u32 = 4;
const WIDEST: u32 = 16;

/// Failures at one account from addresses that never signed in to it: so many at once …
const STRANGER_FAILURES: u32 = 100;

/// … and then one more in so long.
const STRANGER_INTERVAL: Duration = Duration::from_secs(30);

/// Where somebody is, as far as one household or office can be told from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// The same process or the same machine.
    Local,
    /// An IPv4 address.
    V4([u8; 4]),
    /// An IPv6 network: the first 64 bits.
    V6([u8; 8]),
    /// The first 56 bits; only counted.
    Wider([u8; 7]),
    /// The first 48 bits; only counted.
    Widest([u8; 6]),
}

impl Origin {
    pub(super) fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Local,
            Some(address) if address.is_loopback() => Self::Local,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl Origin {
    /// What is counted for this origin, and how many times as much it may do: itself, then what it lies in.
    pub(super) fn networks(self) -> impl Iterator<Item = (Self, u32)> {
        let wider = match self {
            Self::V6([a, b, c, d, e, f, g, _]) => [
                Some((Self::Wider([a, b, c, d, e, f, g]), WIDER)),
                Some((Self::Widest([a, b, c, d, e, f]), WIDEST)),
            ],
            Self::Local | Self::V4(_) | Self::Wider(_) | Self::Widest(_) => [None, None],
        };
        std::iter::once((self, 1)).chain(wider.into_iter().flatten())
    }
}

/// What is guessed at: a digest, so that no typed name is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Target([u8; 16]);

impl Target {
    /// Signing in under a name, given in its folded form; whether somebody has it does not matter.
    pub(super) fn login(folded_name: &str) -> Self {
        Self::digest(&[b"login", folded_name.as_bytes()])
    }

    /// Confirming the password of a user who is signed in.
    pub(super) fn confirmation(user: UserId) -> Self {
        Self::digest(&[b"confirmation", user.as_bytes()])
    }

    fn digest(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize()[..16]);
        Self(short)
    }
}

/// An attempt that may go on. It counts as a failure until it is said to have succeeded or been cancelled.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(super) struct Attempt {
    target: Target,
    origin: Origin,
    is_known: bool,
}

impl Attempt {
    /// What it counts for. The owner's own network may have bad neighbours: with those it is not counted.
    fn networks(self) -> impl Iterator<Item = (Origin, u32)> {
        self.origin.networks().take(if self.is_known { 1 } else { usize::MAX })
    }
}

/// The rule, unless somebody is on the same machine.
fn of_address(rule: Option<Rule>, origin: Origin) -> Option<Rule> {
    rule.filter(|_| origin != Origin::Local)
}

/// Takes one of all of these, or of none. `Err`: how long to wait.
fn take(
    paces: &mut RecentMap<Origin, Pace>,
    networks: impl Iterator<Item = (Origin, u32)>,
    rule: Rule,
    now: Instant,
) -> Result<(), Duration> {
    let networks: Vec<(Origin, u32)> = networks.collect();
    for (index, (network, times)) in networks.iter().enumerate() {
        if let Err(wait) = paces.entry(*network).take(rule.times(*times), now) {
            give_back(paces, networks.into_iter().take(index), rule);
            return Err(wait);
        }
    }
    Ok(())
}

fn give_back(paces: &mut RecentMap<Origin, Pace>, networks: impl Iterator<Item = (Origin, u32)>, rule: Rule) {
    for (network, times) in networks {
        paces.entry(network).give_back(rule.times(times));
    }
}

/// Where somebody was, as often as is kept.
#[derive(Debug, Default)]
struct Places(VecDeque<Origin>);

impl Places {
    fn add(&mut self, origin: Origin) {
        if self.0.back() == Some(&origin) {
            return;
        }
        self.0.retain(|place| *place != origin);
        if self.0.len() >= KNOWN_PLACES {
            self.0.pop_front();
        }
        self.0.push_back(origin);
    }
}

/// The counts.
#[derive(Debug)]
pub(super) struct Throttle {
    registrations: Option<Rule>,
    failures: Option<Rule>,
    logins: Option<Rule>,
    account_logins: Option<Rule>,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    registrations: RecentMap<Origin, Pace>,
    failures: RecentMap<Origin, Pace>,
    logins: RecentMap<Origin, Pace>,
    account_logins: RecentMap<Target, Pace>,
    strangers: RecentMap<Target, Pace>,
    rows: RecentMap<(Target, Origin), Row>,
    /// From where the owner of each account signed in, the latest last.
    known: RecentMap<Target, Places>,
}

impl Throttle {
    pub(super) fn new(settings: &AuthSettings) -> Self {
        Self {
            registrations: Rule::per_minute(settings.registrations_per_minute),
            failures: Rule::per_minute(settings.failed_logins_per_minute),
            logins: Rule::per_minute(settings.logins_per_minute),
            account_logins: Rule::per_minute(settings.account_logins_per_minute),
            counts: Mutex::new(Counts {
                registrations: RecentMap::new(ENTRIES),
                failures: RecentMap::new(ENTRIES),
                logins: RecentMap::new(ENTRIES),
                account_logins: RecentMap::new(ENTRIES),
                strangers: RecentMap::new(ENTRIES),
                rows: RecentMap::new(ENTRIES),
                known: RecentMap::new(ENTRIES),
            }),
        }
    }

    /// Counts a registration. `Err`: too many; how long to wait.
    pub(super) fn register(&self, origin: Origin) -> Result<(), Duration> {
        of_address(self.registrations, origin).map_or(Ok(()), |rule| {
            take(&mut self.lock().registrations, origin.networks(), rule, Instant::now())
        })
    }

    /// Begins an attempt to give the password of `target`. `Err`: too many failed; how long to wait.
    pub(super) fn begin(&self, target: Target, origin: Origin) -> Result<Attempt, Duration> {
        let now = Instant::now();
        let counts = &mut *self.lock();
        let is_known = counts.known.get(&target).is_some_and(|places| places.0.contains(&origin));
        let attempt = Attempt { target, origin, is_known };
        if let Some(row) = counts.rows.get(&(target, origin)) {
            row.check(now)?;
        }
        if let Some(rule) = self.account_logins
            && let Some(pace) = counts.account_logins.get(&target)
        {
            pace.check(rule, now)?;
        }
        if let Some(rule) = of_address(self.logins, origin) {
            take(&mut counts.logins, attempt.networks(), rule, now)?;
        }
        if let Some(rule) = of_address(self.failures, origin)
            && let Err(wait) = take(&mut counts.failures, attempt.networks(), rule, now)
        {
            self.give_back_login(counts, attempt);
            return Err(wait);
        }
        if !attempt.is_known
            && let Err(wait) = counts.strangers.entry(target).take(STRANGERS, now)
        {
            self.give_back_failure(counts, attempt);
            self.give_back_login(counts, attempt);
            return Err(wait);
        }
        Ok(attempt)
    }

    /// The password was wrong.
    pub(super) fn failed(&self, attempt: Attempt) {
        self.lock().rows.entry((attempt.target, attempt.origin)).add(Instant::now());
    }

    /// The password was right: the attempt is no failure, and its address is known from now on.
    pub(super) fn succeeded(&self, attempt: Attempt) {
        let counts = &mut *self.lock();
        self.forgive(counts, attempt);
        counts.rows.remove(&(attempt.target, attempt.origin));
        counts.known.entry(attempt.target).add(attempt.origin);
        if let Some(rule) = self.account_logins {
            counts.account_logins.entry(attempt.target).add(rule, Instant::now());
        }
    }

    /// The password was not looked at.
    pub(super) fn cancelled(&self, attempt: Attempt) {
        let counts = &mut *self.lock();
        self.forgive(counts, attempt);
        self.give_back_login(counts, attempt);
    }

    fn forgive(&self, counts: &mut Counts, attempt: Attempt) {
        self.give_back_failure(counts, attempt);
        if !attempt.is_known {
            counts.strangers.entry(attempt.target).give_back(STRANGERS);
        }
    }

    /// Somebody proved at this address to be the owner of `target`.
    pub(super) fn known(&self, target: Target, origin: Origin) {
        self.lock().known.entry(target).add(origin);
    }

    fn give_back_failure(&self, counts: &mut Counts, attempt: Attempt) {
        if let Some(rule) = of_address(self.failures, attempt.origin) {
            give_back(&mut counts.failures, attempt.networks(), rule);
        }
    }

    fn give_back_login(&self, counts: &mut Counts, attempt: Attempt) {
        if let Some(rule) = of_address(self.logins, attempt.origin) {
            give_back(&mut counts.logins, attempt.networks(), rule);
        }
    }

    /// Every change under this lock is complete in itself: a poisoned one is still consistent.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `burst` at once, then one in each `interval`.
#[derive(Debug, Clone, Copy)]
struct Rule {
    interval: Duration,
    burst: u32,
}

const STRANGERS: Rule = Rule { interval: STRANGER_INTERVAL, burst: STRANGER_FAILURES };

impl Rule {
    fn per_minute(count: u32) -> Option<Self> {
        (count > 0).then(|| Self { interval: Duration::from_secs(60) / count, burst: count })
    }

    /// As much for so many together.
    fn times(self, count: u32) -> Self {
        Self { interval: self.interval / count, burst: self.burst.saturating_mul(count) }
    }
}

/// When what was taken so far is paid back at the rule's rate.
#[derive(Debug, Default)]
struct Pace(Option<Instant>);

impl Pace {
    fn take(&mut self, rule: Rule, now: Instant) -> Result<(), Duration> {
        self.check(rule, now)?;
        self.add(rule, now);
        Ok(())
    }

    /// Whether one more may be taken. `Err`: how long to wait.
    fn check(&self, rule: Rule, now: Instant) -> Result<(), Duration> {
        let too_far =
            self.after_one_more(rule, now).duration_since(now).saturating_sub(rule.interval * rule.burst);
        if too_far.is_zero() { Ok(()) } else { Err(too_far) }
    }

    /// Takes one more, even if that is too much.
    fn add(&mut self, rule: Rule, now: Instant) {
        self.0 = Some(self.after_one_more(rule, now));
    }

    fn after_one_more(&self, rule: Rule, now: Instant) -> Instant {
        self.0.map_or(now, |at| at.max(now)) + rule.interval
    }

    fn give_back(&mut self, rule: Rule) {
        self.0 = self.0.and_then(|at| at.checked_sub(rule.interval));
    }
}

/// Failures in a row, and the last of them.
#[derive(Debug, Default)]
struct Row {
    failures: u32,
    last: Option<Instant>,
}

impl Row {
    fn check(&self, now: Instant) -> Result<(), Duration> {
        let Some(doublings) = self.failures.checked_sub(FREE_FAILURES) else { return Ok(()) };
        let pause = Duration::from_secs(1 << doublings.min(10)).min(LONGEST_PAUSE);
        let passed = self.last.map_or(pause, |last| now.duration_since(last));
        if passed < pause { Err(pause - passed) } else { Ok(()) }
    }

    fn add(&mut self, now: Instant) {
        if self.last.is_some_and(|last| now.duration_since(last) > ROW_FORGOTTEN) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
    }
}

/// A map that forgets what was not used for longest: when the young half is full it becomes the old
/// half, and what nobody asked for since is gone.
#[derive(Debug)]
struct RecentMap<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Copy, V: Default> RecentMap<K, V> {
    fn new(entries: usize) -> Self {
        Self { half: entries / 2, young: HashMap::new(), old: HashMap::new() }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn entry(&mut self, key: K) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_default())
    }

    fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests;
