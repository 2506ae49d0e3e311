//! How many connections there may be: in all, from one address, and with nobody
//! signed in. Knows nothing of sockets.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::Config;

/// Counts the connections of all listeners of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Counts>);

/// The connection may not be opened because there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many connections")]
pub struct TooMany;

/// The right to accept one more connection.
#[derive(Debug)]
pub struct Permit {
    _held: OwnedSemaphorePermit,
}

/// One connection's place in the counts; given back when its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Seat(Arc<Place>);

impl Gate {
    /// A gate with the limits of `config`.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let unless_off = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        Self(Arc::new(Counts {
            permits: Arc::new(Semaphore::new(unless_off(config.connections).min(Semaphore::MAX_PERMITS))),
            of_address: unless_off(config.address_connections),
            of_unauthenticated: unless_off(config.unauthenticated_connections),
            next: AtomicU64::new(1),
            state: Mutex::default(),
        }))
    }

    /// Waits until there may be one more connection. Taken before `accept`, it leaves those that are too many in
    /// the kernel's queue. Cancel safe.
    pub async fn permit(&self) -> Permit {
        let permit = Arc::clone(&self.0.permits).acquire_owned().await;
        Permit { _held: permit.expect("the semaphore is never closed") }
    }

    /// A seat for a connection that is there already.
    ///
    /// # Errors
    /// [`TooMany`] in all or from that address.
    pub fn seat(&self, address: Option<IpAddr>) -> Result<Seat, TooMany> {
        let permit = Arc::clone(&self.0.permits).try_acquire_owned().map_err(|_| TooMany)?;
        self.take(Permit { _held: permit }, address)
    }

    /// The seat of a connection that was accepted with `permit`. `address` is who it counts for; `None` if that is
    /// not known yet, or nobody.
    ///
    /// # Errors
    /// [`TooMany`] from that address.
    pub fn take(&self, permit: Permit, address: Option<IpAddr>) -> Result<Seat, TooMany> {
        let seat = Seat(Arc::new(Place {
            number: self.0.next.fetch_add(1, Ordering::Relaxed),
            gate: self.clone(),
            address: Mutex::new(None),
            evicted: Notify::new(),
            _permit: permit,
        }));
        match address {
            Some(address) => seat.assign(address).map(|()| seat),
            None => Ok(seat),
        }
    }
}

impl Seat {
    /// Whom this connection counts for.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        *lock(&self.0.address)
    }

    /// Counts this connection for `address`, and no longer for another.
    ///
    /// # Errors
    /// [`TooMany`] from that address; nothing has changed then.
    pub fn assign(&self, address: IpAddr) -> Result<(), TooMany> {
        let mut current = lock(&self.0.address);
        let counts = &self.0.gate.0;
        let mut state = lock(&counts.state);
        let (before, after) = (current.and_then(counted), counted(address));
        if before != after {
            if let Some(key) = after {
                let count = state.addresses.entry(key).or_default();
                if *count >= counts.of_address {
                    return Err(TooMany);
                }
                *count += 1;
            }
            state.leave(before);
        }
        *current = Some(address);
        Ok(())
    }

    /// Nobody is signed in on this connection. If there are too many such, the oldest is evicted.
    pub(crate) fn wait_for_authentication(&self) {
        let counts = &self.0.gate.0;
        let evicted = {
            let mut state = lock(&counts.state);
            state.unauthenticated.insert(self.0.number, Arc::downgrade(&self.0));
            let too_many = state.unauthenticated.len() > counts.of_unauthenticated;
            too_many.then(|| state.unauthenticated.pop_first()).flatten()
        };
        // Upgraded only now: dropping the last clone of a seat takes the lock.
        if let Some(place) = evicted.and_then(|(_, place)| place.upgrade()) {
            place.evicted.notify_one();
        }
    }

    /// Somebody is signed in.
    pub(crate) fn authenticated(&self) {
        lock(&self.0.gate.0.state).unauthenticated.remove(&self.0.number);
    }

    /// Waits until this connection must make room for a younger one. Cancel safe.
    pub(crate) async fn evicted(&self) {
        self.0.evicted.notified().await;
    }
}

#[derive(Debug)]
struct Counts {
    permits: Arc<Semaphore>,
    of_address: usize,
    of_unauthenticated: usize,
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    addresses: HashMap<IpAddr, usize>,
    unauthenticated: BTreeMap<u64, Weak<Place>>,
}

impl State {
    fn leave(&mut self, key: Option<IpAddr>) {
        let Some(key) = key else { return };
        if let Some(count) = self.addresses.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&key);
            }
        }
    }
}

#[derive(Debug)]
struct Place {
    number: u64,
    gate: Gate,
    address: Mutex<Option<IpAddr>>,
    evicted: Notify,
    _permit: Permit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let address = *lock(&self.address);
        let mut state = lock(&self.gate.0.state);
        state.leave(address.and_then(counted));
        state.unauthenticated.remove(&self.number);
    }
}

/// What an address counts as: itself, or its network where a single host has a whole one. Loopback is not counted.
fn counted(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
        address => Some(address),
    }
}

/// The counts are valid after each statement, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn gate(connections: usize, of_address: usize, unauthenticated: usize) -> Gate {
        Gate::new(&Config {
            connections,
            address_connections: of_address,
            unauthenticated_connections: unauthenticated,
            ..Config::default()
        })
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn sec_51_one_connection_above_the_cap_waits_until_another_ends() {
        let gate = gate(2, 0, 0);
        let (first, _second) = (gate.seat(None).unwrap(), gate.seat(None).unwrap());
        assert_eq!(gate.seat(None).unwrap_err(), TooMany);
        assert!(gate.permit().now_or_never().is_none());
        drop(first);
        assert!(gate.permit().now_or_never().is_some());
    }

    #[test]
    fn sec_51_an_address_has_its_own_cap_and_an_ipv6_host_cannot_choose_another() {
        let gate = gate(0, 2, 0);
        let seats = [gate.seat(ip("203.0.113.9")).unwrap(), gate.seat(ip("::ffff:203.0.113.9")).unwrap()];
        assert!(gate.seat(ip("203.0.113.9")).is_err());
        assert!(gate.seat(ip("203.0.113.8")).is_ok());
        drop(seats);
        assert!(gate.seat(ip("203.0.113.9")).is_ok());
        let _seats = [gate.seat(ip("2001:db8::1")).unwrap(), gate.seat(ip("2001:db8::ffff:2")).unwrap()];
        assert!(gate.seat(ip("2001:db8::3")).is_err());
        assert!(gate.seat(ip("2001:db8:0:1::3")).is_ok());
        assert!(lock(&gate.0.state).addresses.len() == 1, "addresses without connections are forgotten");
    }

    #[test]
    fn sec_51_loopback_is_exempt_until_a_proxy_names_the_client() {
        let gate = gate(0, 1, 0);
        let seats: Vec<_> = (0..100).map(|_| gate.seat(ip("127.0.0.1")).unwrap()).collect();
        seats[0].assign("203.0.113.9".parse().unwrap()).unwrap();
        seats[0].assign("203.0.113.9".parse().unwrap()).unwrap();
        assert!(seats[1].assign("203.0.113.9".parse().unwrap()).is_err());
        assert_eq!(seats[1].address(), ip("127.0.0.1"));
        seats[0].assign("203.0.113.8".parse().unwrap()).unwrap();
        assert!(seats[1].assign("203.0.113.9".parse().unwrap()).is_ok());
    }

    #[test]
    fn sec_51_the_oldest_unauthenticated_connection_makes_room() {
        let gate = gate(0, 0, 2);
        let seats: Vec<_> = (0..4).map(|_| gate.seat(None).unwrap()).collect();
        let evicted = |seat: &Seat| seat.evicted().now_or_never().is_some();
        seats[0].wait_for_authentication();
        seats[1].wait_for_authentication();
        seats[0].authenticated();
        seats[2].wait_for_authentication();
        assert!(!seats.iter().any(evicted));
        seats[3].wait_for_authentication();
        assert!(evicted(&seats[1]));
        assert!(!seats.iter().any(evicted));
        drop(seats);
        assert!(lock(&gate.0.state).unauthenticated.is_empty());
    }
}
