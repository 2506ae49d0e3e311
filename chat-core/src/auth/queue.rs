//! A queue in which nobody waits longer because of others' many requests: whose turn it is goes round between
//! addresses, and for each address between what its requests are for.
//!
//! If it is full, the newest request of the address that has most makes room for one of an address that has fewer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::throttle::{Origin, Target};

/// Who wants a turn, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Applicant {
    /// From where; of an IPv6 address the widest network that is counted.
    from: Origin,
    target: Target,
}

impl Applicant {
    pub(super) fn new(from: Origin, target: Target) -> Self {
        Self { from: from.networks().last().map_or(from, |(widest, _)| widest), target }
    }
}

/// The queue. So many have their turn at once, so many wait.
#[derive(Clone)]
pub(super) struct FairQueue(Arc<Inner>);

struct Inner {
    turns_max: usize,
    waiting_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    turns: usize,
    /// The next address in front. None is empty.
    addresses: VecDeque<Address>,
}

struct Address {
    from: Origin,
    /// The next target in front. None is empty.
    targets: VecDeque<(Target, VecDeque<Waiter>)>,
}

type Waiter = oneshot::Sender<Turn>;

/// The right to work until it is dropped.
pub(super) struct Turn(Option<Arc<Inner>>);

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            inner.pass_on();
        }
    }
}

impl fmt::Debug for FairQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("FairQueue").field("turns", &state.turns).field("waiting", &state.waiting()).finish()
    }
}

impl FairQueue {
    pub(super) fn new(turns_max: usize, waiting_max: usize) -> Self {
        Self(Arc::new(Inner { turns_max, waiting_max, state: Mutex::default() }))
    }

    /// Waits for a turn. `None` if too many wait, at once or when somebody else needs the place more.
    pub(super) async fn turn(&self, applicant: Applicant) -> Option<Turn> {
        let waits = {
            let mut state = self.0.lock();
            if state.turns < self.0.turns_max {
                state.turns += 1;
                return Some(Turn(Some(Arc::clone(&self.0))));
            }
            state.forget_who_left();
            if state.waiting() >= self.0.waiting_max && !state.make_room_for(applicant) {
                return None;
            }
            let (waiter, waits) = oneshot::channel();
            state.add(applicant, waiter);
            waits
        };
        waits.await.ok()
    }
}

impl Inner {
    /// The turn of one who is done becomes the next one's.
    fn pass_on(self: Arc<Self>) {
        let mut state = self.lock();
        while let Some(waiter) = state.next() {
            // Whoever drops a turn that was sent passes it on; here it is taken back, because the lock is held.
            match waiter.send(Turn(Some(Arc::clone(&self)))) {
                Ok(()) => return,
                Err(mut unwanted) => drop(unwanted.0.take()),
            }
        }
        state.turns = state.turns.saturating_sub(1);
    }

    /// Every change under this lock is complete in itself.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.addresses.iter().map(Address::waiting).sum()
    }

    fn add(&mut self, applicant: Applicant, waiter: Waiter) {
        let known = self.addresses.iter_mut().find(|address| address.from == applicant.from);
        let Some(address) = known else {
            let targets = VecDeque::from([(applicant.target, VecDeque::from([waiter]))]);
            self.addresses.push_back(Address { from: applicant.from, targets });
            return;
        };
        match address.targets.iter_mut().find(|(target, _)| *target == applicant.target) {
            Some((_, waiters)) => waiters.push_back(waiter),
            None => address.targets.push_back((applicant.target, VecDeque::from([waiter]))),
        }
    }

    /// Takes the next one out; its address and target go to the end.
    fn next(&mut self) -> Option<Waiter> {
        let mut address = self.addresses.pop_front()?;
        let taken = address.next();
        if !address.targets.is_empty() {
            self.addresses.push_back(address);
        }
        taken
    }

    /// Turns one away of whoever waits most, if that is not the applicant; answers whether it did.
    fn make_room_for(&mut self, applicant: Applicant) -> bool {
        let own = self.addresses.iter().find(|address| address.from == applicant.from);
        let (own_waiting, own_for_target) =
            own.map_or((0, 0), |address| (address.waiting(), address.waiting_for(applicant.target)));
        let Some(most) = self.addresses.iter_mut().max_by_key(|address| address.waiting()) else {
            return false;
        };
        // With one more the applicant's address must not be the one that waits most; or among its own targets.
        let has_more = most.waiting() > own_waiting + 1
            || (most.from == applicant.from && most.most_for_a_target() > own_for_target + 1);
        if has_more {
            most.turn_away();
            self.addresses.retain(|address| !address.targets.is_empty());
        }
        has_more
    }

    fn forget_who_left(&mut self) {
        for address in &mut self.addresses {
            for (_, waiters) in &mut address.targets {
                waiters.retain(|waiter| !waiter.is_closed());
            }
            address.targets.retain(|(_, waiters)| !waiters.is_empty());
        }
        self.addresses.retain(|address| !address.targets.is_empty());
    }
}

impl Address {
    fn waiting(&self) -> usize {
        self.targets.iter().map(|(_, waiters)| waiters.len()).sum()
    }

    fn waiting_for(&self, wanted: Target) -> usize {
        self.targets.iter().filter(|(target, _)| *target == wanted).map(|(_, waiters)| waiters.len()).sum()
    }

    fn most_for_a_target(&self) -> usize {
        self.targets.iter().map(|(_, waiters)| waiters.len()).max().unwrap_or(0)
    }

    fn next(&mut self) -> Option<Waiter> {
        let (target, mut waiters) = self.targets.pop_front()?;
        let taken = waiters.pop_front();
        if !waiters.is_empty() {
            self.targets.push_back((target, waiters));
        }
        taken
    }

    /// Drops the newest waiter of the target with most, who is told by that.
    fn turn_away(&mut self) {
        if let Some((_, waiters)) = self.targets.iter_mut().max_by_key(|(_, waiters)| waiters.len()) {
            waiters.pop_back();
        }
        self.targets.retain(|(_, waiters)| !waiters.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    type Waits = Pin<Box<dyn Future<Output = Option<Turn>>>>;

    fn applicant(address: u8, account: u8) -> Applicant {
        Applicant::new(Origin::V4([192, 0, 2, address]), Target::login(&account.to_string()))
    }

    /// Asks for a turn and waits if it does not come at once.
    fn ask(queue: &FairQueue, applicant: Applicant) -> Result<Option<Turn>, Waits> {
        let queue = queue.clone();
        let mut waits: Waits = Box::pin(async move { queue.turn(applicant).await });
        waits.as_mut().now_or_never().ok_or(waits)
    }

    #[test]
    fn sec_18_turns_go_round_between_addresses_and_their_accounts() {
        let queue = FairQueue::new(1, 100);
        let mut turn = ask(&queue, applicant(1, 1)).ok().flatten().unwrap();
        let order = [(1, 1), (1, 1), (1, 1), (1, 2), (2, 3), (2, 3), (3, 1)];
        let mut waiting: Vec<_> =
            order.iter().map(|one| (*one, ask(&queue, applicant(one.0, one.1)).unwrap_err())).collect();
        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(turn);
            let mut ready: Vec<_> = waiting
                .iter_mut()
                .enumerate()
                .filter_map(|(index, (who, waits))| Some((index, *who, waits.now_or_never()?.unwrap())))
                .collect();
            assert_eq!(ready.len(), 1, "one at a time");
            let (index, who, next) = ready.remove(0);
            drop(waiting.remove(index));
            served.push(who);
            turn = next;
        }
        assert_eq!(served, [(1, 1), (2, 3), (3, 1), (1, 2), (2, 3), (1, 1), (1, 1)]);
        drop(turn);
        assert!(ask(&queue, applicant(1, 1)).is_ok_and(|turn| turn.is_some()));
    }

    #[test]
    fn sec_18_a_full_queue_turns_those_away_who_fill_it() {
        let queue = FairQueue::new(1, 10);
        let turn = ask(&queue, applicant(1, 0)).ok().flatten().unwrap();
        let mut flood: Vec<Waits> =
            (0..10).map(|number| ask(&queue, applicant(1, number)).unwrap_err()).collect();
        assert!(matches!(ask(&queue, applicant(1, 99)), Ok(None)), "who fills it waits no more often");
        let others: Vec<Waits> =
            (2..7).map(|address| ask(&queue, applicant(address, 0)).unwrap_err()).collect();
        let turned_away =
            flood.extract_if(.., |waits| waits.now_or_never().is_some_and(|turn| turn.is_none()));
        assert_eq!(turned_away.count(), 5);
        drop(turn);
        let count = others.len();
        let mut waiting: Vec<Waits> = others.into_iter().chain(flood).collect();
        let mut served = Vec::new();
        while let Some((index, turn)) =
            waiting.iter_mut().enumerate().find_map(|(index, waits)| Some((index, waits.now_or_never()??)))
        {
            served.push(index < count);
            waiting[index] = Box::pin(std::future::pending());
            drop(turn);
        }
        assert_eq!(served.len(), 10);
        assert_eq!(served.iter().take(6).filter(|is_other| **is_other).count(), 5, "{served:?}");
    }

    #[test]
    fn turns_of_those_who_left_are_passed_on() {
        let queue = FairQueue::new(2, 2);
        let turns =
            [ask(&queue, applicant(1, 1)), ask(&queue, applicant(1, 1))].map(|turn| turn.ok().flatten());
        let (left, stays) = (ask(&queue, applicant(1, 1)), ask(&queue, applicant(1, 1)));
        drop(left);
        let mut late = ask(&queue, applicant(1, 1)).expect_err("the place of one who left is free");
        let mut stays = stays.unwrap_err();
        drop(turns);
        // The first to be given a turn leaves before it looks.
        drop(std::mem::replace(&mut stays, Box::pin(std::future::pending())));
        let turn = late.as_mut().now_or_never().flatten();
        assert!(turn.is_some());
        assert!(ask(&queue, applicant(1, 1)).is_ok_and(|turn| turn.is_some()));
        drop(turn);
        assert_eq!(queue.0.lock().turns, 0);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let of = |text: &str| Applicant::new(Origin::of(Some(text.parse().unwrap())), Target::login("x"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:ffff::1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:1:1::1"));
    }
}
