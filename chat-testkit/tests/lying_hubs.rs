//! The suite for hubs is itself tested: each hub here tells one lie, and the case named beside it must find out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::domain::{Seq, Status};
use chat_core::hub::{ConnectionId, DisconnectReason, Frame, LocalHub};
use chat_core::id::{ConversationId, SessionId, UserId};
use chat_core::port::{
    Connection, Delivery, EphemeralTarget, HubListener, Membership, PresenceHub, Publication, Subscription,
};
use chat_core::time::Timestamp;
use chat_testkit::{Harness, presence_hub, suite};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    EveryEntryTwice,
    LastEntriesLost,
    EndsIgnored,
    BeginsIgnored,
    EndsBeforeEnterForgotten,
    HeadsOfEverything,
    CorrectionsIgnored,
    EntersAtTheHead,
    EntersAtTheBeginning,
    DetachIgnored,
    CountsEverybody,
    DisconnectsEverySession,
    DisconnectsEveryConnection,
    SignalsToTheSender,
    SignalsToEveryConnection,
    StatusesSorted,
    StatusForgotten,
    NobodyGoesOffline,
    PresenceInLargeRooms,
    ListenerKept,
}

/// Each lie with the case that must find it out.
const LIES: &[(Lie, &str)] = &[
    (Lie::EveryEntryTwice, "every_device_gets_every_entry_in_order"),
    (Lie::LastEntriesLost, "every_device_gets_every_entry_in_order"),
    (Lie::EndsIgnored, "a_join_is_the_first_entry_and_a_leave_the_last"),
    (Lie::BeginsIgnored, "many_may_begin_with_one_entry"),
    (Lie::EndsBeforeEnterForgotten, "nothing_past_an_end_between_attach_and_enter_is_delivered"),
    (Lie::HeadsOfEverything, "what_is_delivered_is_told"),
    (Lie::CorrectionsIgnored, "delivery_is_corrected"),
    (Lie::EntersAtTheHead, "entries_between_attach_and_enter_are_not_missed"),
    (Lie::EntersAtTheBeginning, "delivery_begins_above_the_position_entered"),
    (Lie::DetachIgnored, "a_detached_connection_gets_nothing"),
    (Lie::CountsEverybody, "connections_of_a_user_are_counted"),
    (Lie::DisconnectsEverySession, "a_session_is_disconnected_with_its_connections"),
    (Lie::DisconnectsEveryConnection, "a_user_is_disconnected_but_for_one_connection"),
    (Lie::SignalsToTheSender, "signals_reach_members_but_one"),
    (Lie::SignalsToEveryConnection, "signals_reach_a_users_other_connections"),
    (Lie::StatusesSorted, "statuses_are_answered_in_their_order"),
    (Lie::StatusForgotten, "a_status_belongs_to_the_user"),
    (Lie::NobodyGoesOffline, "a_user_goes_offline_with_the_last_connection"),
    (Lie::PresenceInLargeRooms, "presence_is_pushed_in_small_conversations"),
    (Lie::ListenerKept, "a_listener_may_be_gone"),
];

/// A case that waits in vain takes long, so all run at once.
#[test]
fn every_lie_is_found_out() {
    let run = |(lie, case): &(Lie, &'static str)| {
        let (lie, case) = (*lie, *case);
        std::thread::spawn(move || {
            suite::run(presence_hub::CASES, case, || presence_hub::start(LyingHarness(lie)));
        })
    };
    let runs: Vec<_> = LIES.iter().map(run).collect();
    for ((lie, case), run) in LIES.iter().zip(runs) {
        assert!(run.join().is_err(), "{lie:?} is not found out by {case}");
    }
}

struct LyingHarness(Lie);

#[async_trait]
impl Harness<dyn PresenceHub> for LyingHarness {
    async fn start(&mut self) -> Arc<dyn PresenceHub> {
        let honest = LocalHub::new(Duration::from_millis(20), Duration::from_millis(5));
        Arc::new(Lying { lie: self.0, honest, memory: Mutex::default() })
    }

    async fn restart(&mut self) -> Option<Arc<dyn PresenceHub>> {
        None
    }
}

/// An honest hub that lies in one point.
#[derive(Debug)]
struct Lying {
    lie: Lie,
    honest: LocalHub,
    memory: Mutex<Memory>,
}

/// What the liar keeps in mind.
#[derive(Debug, Default)]
struct Memory {
    connections: HashMap<ConnectionId, Connection>,
    entered: HashSet<(UserId, ConversationId)>,
    heads: HashMap<ConversationId, Seq>,
    listener: Option<Arc<dyn HubListener>>,
}

impl Lying {
    fn tells(&self, lie: Lie) -> bool {
        self.lie == lie
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().expect("not poisoned")
    }
}

impl PresenceHub for Lying {
    fn listen(&self, listener: Weak<dyn HubListener>) {
        if self.tells(Lie::ListenerKept) {
            self.memory().listener = listener.upgrade();
        }
        self.honest.listen(listener);
    }

    fn attach(&self, connection: Connection) -> usize {
        let mut memory = self.memory();
        memory.connections.insert(connection.id, connection.clone());
        let count = self.honest.attach(connection);
        if self.tells(Lie::CountsEverybody) { memory.connections.len() } else { count }
    }

    fn enter(&self, connection: ConnectionId, mut subscriptions: Vec<Subscription>) {
        let mut memory = self.memory();
        let user = memory.connections.get(&connection).map(|connection| connection.user_id);
        for subscription in &mut subscriptions {
            let conversation = subscription.conversation;
            memory.entered.extend(user.map(|user| (user, conversation)));
            match self.lie {
                Lie::EntersAtTheHead => {
                    let head = memory.heads.get(&conversation).copied().unwrap_or_default();
                    subscription.after = subscription.after.max(head);
                }
                Lie::EntersAtTheBeginning => subscription.after = Seq::ZERO,
                Lie::PresenceInLargeRooms => subscription.member_count = 1,
                _ => {}
            }
        }
        self.honest.enter(connection, subscriptions);
    }

    fn detach(&self, connection: ConnectionId) {
        if !self.tells(Lie::DetachIgnored) {
            self.honest.detach(connection);
        }
    }

    fn publish(&self, mut publication: Publication) {
        let mut memory = self.memory();
        let conversation = publication.conversation;
        for entry in &mut publication.entries {
            memory.heads.insert(conversation, entry.entry.seq);
            let is_forgotten = match (&entry.membership, self.lie) {
                (Membership::Ends(_), Lie::EndsIgnored) | (Membership::Begins(_), Lie::BeginsIgnored) => true,
                (Membership::Ends(user), Lie::EndsBeforeEnterForgotten) => {
                    !memory.entered.contains(&(*user, conversation))
                }
                _ => false,
            };
            if is_forgotten {
                entry.membership = Membership::Unchanged;
            }
            if self.tells(Lie::EveryEntryTwice) {
                for connection in memory.connections.values() {
                    connection.outbox.signal(entry.frame.clone());
                }
            }
        }
        if self.tells(Lie::LastEntriesLost) {
            publication.entries.retain(|entry| entry.entry.seq.get() < 50);
        }
        if !publication.entries.is_empty() {
            self.honest.publish(publication);
        }
    }

    fn head(&self, conversation: ConversationId) -> Option<Seq> {
        let known = self.memory().heads.get(&conversation).copied();
        if self.tells(Lie::HeadsOfEverything) { known } else { self.honest.head(conversation) }
    }

    fn heads(&self) -> Vec<(ConversationId, Seq)> {
        self.honest.heads()
    }

    fn deliveries(&self, user: UserId) -> Vec<(ConversationId, bool)> {
        self.honest.deliveries(user)
    }

    fn correct(&self, user: UserId, conversation: ConversationId, delivery: Option<Delivery>) {
        if !self.tells(Lie::CorrectionsIgnored) {
            self.honest.correct(user, conversation, delivery);
        }
    }

    fn signal(&self, target: EphemeralTarget, frame: Frame) {
        let target = match (target, self.lie) {
            (EphemeralTarget::Conversation { conversation, .. }, Lie::SignalsToTheSender) => {
                EphemeralTarget::Conversation { conversation, but: UserId::generate() }
            }
            (EphemeralTarget::User { user, .. }, Lie::SignalsToEveryConnection) => {
                EphemeralTarget::User { user, but: None }
            }
            (target, _) => target,
        };
        self.honest.signal(target, frame);
    }

    fn set_status(&self, user: UserId, status: Status) {
        if !self.tells(Lie::StatusForgotten) {
            self.honest.set_status(user, status);
        }
    }

    fn statuses(&self, mut users: Vec<UserId>) -> Vec<Status> {
        if self.tells(Lie::StatusesSorted) {
            users.sort_unstable();
        }
        self.honest.statuses(users)
    }

    fn disconnect(
        &self,
        user: UserId,
        session: Option<SessionId>,
        but: Option<ConnectionId>,
        reason: DisconnectReason,
    ) -> usize {
        let session = session.filter(|_| !self.tells(Lie::DisconnectsEverySession));
        let but = but.filter(|_| !self.tells(Lie::DisconnectsEveryConnection));
        self.honest.disconnect(user, session, but, reason)
    }

    fn tick(&self, now: Timestamp) -> Vec<(UserId, Timestamp)> {
        let offline = self.honest.tick(now);
        if self.tells(Lie::NobodyGoesOffline) { Vec::new() } else { offline }
    }

    fn connected_users(&self) -> Vec<UserId> {
        self.honest.connected_users()
    }
}
