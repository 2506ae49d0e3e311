//! Tests of the local hub, through its port and through outboxes.

mod delivery;
mod membership;
mod presence;
mod races;

use std::sync::Arc;
use std::time::Duration;

use super::{Behind, ConnectionId, DisconnectReason, Frame, LocalHub, Outbox, Taken};
use crate::domain::{Entry, EntryBody, Event, Seq};
use crate::id::{ConversationId, EntryId, SessionId, UserId};
use crate::port::{Connection, LiveEntry, Membership, PresenceHub, Publication, Subscription};
use crate::protocol::Push;
use crate::protocol::reply::PresenceView;
use crate::time::Timestamp;

const GRACE: Duration = Duration::from_secs(5);
const GATHER: Duration = Duration::from_millis(500);
const ROOM: ConversationId = ConversationId::from_bytes([7; 12]);
const OTHER_ROOM: ConversationId = ConversationId::from_bytes([8; 12]);

fn hub() -> LocalHub {
    LocalHub::new(GRACE, GATHER)
}

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 12])
}

fn seq(value: u64) -> Seq {
    Seq::new(value).unwrap()
}

/// The text of the push of an entry in these tests: conversations have different first bytes.
fn text(conversation: ConversationId, seq: u64) -> String {
    format!("{}:{seq}", conversation.as_bytes()[0])
}

fn texts(conversation: ConversationId, seqs: impl Iterator<Item = u64>) -> Vec<String> {
    seqs.map(|seq| text(conversation, seq)).collect()
}

fn live(conversation: ConversationId, number: u64, membership: Membership) -> LiveEntry {
    let entry = Entry {
        conversation,
        seq: seq(number),
        id: EntryId::generate(),
        by: user(99),
        timestamp: Timestamp::default(),
        messages_so_far: number,
        body: EntryBody::Event(Event::Created),
    };
    LiveEntry { entry, frame: Frame::new(text(conversation, number)), membership }
}

fn publication(conversation: ConversationId, entries: Vec<LiveEntry>) -> Publication {
    Publication { conversation, entries, member_count: 3, is_ours: true }
}

/// Publishes messages, all in one publication.
fn publish(hub: &LocalHub, conversation: ConversationId, seqs: impl Iterator<Item = u64>) {
    let entries = seqs.map(|seq| live(conversation, seq, Membership::Unchanged)).collect();
    hub.publish(publication(conversation, entries));
}

fn publish_membership(hub: &LocalHub, conversation: ConversationId, seq: u64, membership: Membership) {
    hub.publish(publication(conversation, vec![live(conversation, seq, membership)]));
}

/// A signed-in connection under test.
struct Client {
    connection: Connection,
}

impl Client {
    fn attach(hub: &LocalHub, user: UserId) -> Self {
        let outbox = Arc::new(Outbox::new());
        let session_id = SessionId::generate();
        let connection = Connection { id: ConnectionId::next(), user_id: user, session_id, outbox };
        hub.attach(connection.clone());
        Self { connection }
    }

    fn join(hub: &LocalHub, user: UserId, conversation: ConversationId, after: u64) -> Self {
        let client = Self::attach(hub, user);
        client.enter(hub, conversation, after);
        client
    }

    fn enter(&self, hub: &LocalHub, conversation: ConversationId, after: u64) {
        self.enter_many(hub, conversation, after, 3);
    }

    fn enter_many(&self, hub: &LocalHub, conversation: ConversationId, after: u64, member_count: u32) {
        let subscription = Subscription { conversation, after: seq(after), member_count };
        hub.enter(self.connection.id, vec![subscription]);
    }

    fn outbox(&self) -> &Outbox {
        &self.connection.outbox
    }

    fn detach(&self, hub: &LocalHub) {
        hub.detach(self.connection.id);
    }

    /// One take, however much it gives.
    fn take(&self, max_bytes: usize) -> (Taken, Vec<String>) {
        let mut batch = Vec::new();
        let taken = self.outbox().take(&mut batch, max_bytes);
        if let Taken::Presence(users) = &taken {
            let users = users.iter().copied().map(PresenceView::from).collect();
            batch.push(Push::Presence { users }.encode());
        }
        (taken, batch.iter().map(|frame| frame.text().to_owned()).collect())
    }

    /// Everything that is there; the store has every entry.
    fn drain(&self) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let (taken, more) = self.take(usize::MAX);
            texts.extend(more);
            match taken {
                Taken::Frames | Taken::Presence(_) => {}
                Taken::Behind(behind) => self.outbox().advance(&behind, stored(&behind)),
                Taken::Nothing | Taken::Closed(_) => return texts,
            }
        }
    }
}

/// What the store has of the stretch that a connection lacks.
fn stored(behind: &Behind) -> Vec<(Seq, Frame)> {
    let range = behind.after.get() + 1..=behind.upto.get();
    range.map(|number| (seq(number), Frame::new(text(behind.conversation, number)))).collect()
}
