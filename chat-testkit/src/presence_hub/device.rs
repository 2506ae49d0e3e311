//! A connection as the cases hold it, and what they publish.

use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::{Content, Entry, EntryBody, Message, MessageKind, Seq};
use chat_core::hub::{ConnectionId, DisconnectReason, Frame, Outbox, Taken};
use chat_core::id::{ConversationId, SessionId, UserId};
use chat_core::port::{Connection, LiveEntry, Membership, PresenceHub, Publication, Subscription};
use chat_core::protocol::Push;
use chat_core::protocol::reply::PresenceView;
use chat_core::time::Timestamp;

use crate::random;

/// How long frames may take to arrive, or presence to settle.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Members of the conversations of these tests: few, so that presence is pushed.
pub(crate) const MEMBERS: u32 = 5;

pub(crate) fn seq(number: u64) -> Seq {
    Seq::new(number).expect("a number below 2^53")
}

/// The frame of an entry in these tests.
pub(crate) fn text(conversation: ConversationId, number: u64) -> String {
    format!("{conversation} {number}")
}

pub(crate) fn texts(conversation: ConversationId, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| text(conversation, number)).collect()
}

pub(crate) fn publish(hub: &dyn PresenceHub, conversation: ConversationId, entries: Vec<(u64, Membership)>) {
    let live = |(number, membership)| LiveEntry {
        entry: Entry {
            conversation,
            seq: seq(number),
            id: random::entry(),
            by: random::user(),
            timestamp: Timestamp::default(),
            messages_so_far: number,
            body: EntryBody::Message(Message {
                content: Content::new("news").expect("a content"),
                kind: MessageKind::Text,
                client_id: None,
            }),
        },
        frame: Frame::new(text(conversation, number)),
        membership,
    };
    let entries = entries.into_iter().map(live).collect();
    hub.publish(Publication { conversation, entries, member_count: MEMBERS, is_ours: true });
}

/// Publishes messages in one publication.
pub(crate) fn say(
    hub: &dyn PresenceHub,
    conversation: ConversationId,
    numbers: impl IntoIterator<Item = u64>,
) {
    let entries = numbers.into_iter().map(|number| (number, Membership::Unchanged)).collect();
    publish(hub, conversation, entries);
}

pub(crate) fn begin(hub: &dyn PresenceHub, conversation: ConversationId, number: u64, users: &[UserId]) {
    publish(hub, conversation, vec![(number, Membership::Begins(users.to_vec()))]);
}

pub(crate) fn end(hub: &dyn PresenceHub, conversation: ConversationId, number: u64, user: UserId) {
    publish(hub, conversation, vec![(number, Membership::Ends(user))]);
}

/// A signed-in connection.
#[derive(Debug)]
pub(crate) struct Device {
    hub: Arc<dyn PresenceHub>,
    connection: Connection,
}

impl Device {
    pub(crate) fn attach(hub: Arc<dyn PresenceHub>, user: UserId) -> Self {
        Self::attach_session(hub, user, random::session()).0
    }

    /// Answers also how many connections the user has.
    pub(crate) fn attach_session(
        hub: Arc<dyn PresenceHub>,
        user_id: UserId,
        session_id: SessionId,
    ) -> (Self, usize) {
        let outbox = Arc::new(Outbox::new());
        let connection = Connection { id: ConnectionId::next(), user_id, session_id, outbox };
        let count = hub.attach(connection.clone());
        (Self { hub, connection }, count)
    }

    /// Attaches and enters one conversation.
    pub(crate) fn join(
        hub: Arc<dyn PresenceHub>,
        user: UserId,
        conversation: ConversationId,
        after: u64,
    ) -> Self {
        let device = Self::attach(hub, user);
        device.enter(conversation, after);
        device
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.connection.id
    }

    pub(crate) fn enter(&self, conversation: ConversationId, after: u64) {
        self.enter_with(conversation, after, MEMBERS);
    }

    pub(crate) fn enter_with(&self, conversation: ConversationId, after: u64, member_count: u32) {
        let subscription = Subscription { conversation, after: seq(after), member_count };
        self.hub.enter(self.connection.id, vec![subscription]);
    }

    pub(crate) fn detach(&self) {
        self.hub.detach(self.connection.id);
    }

    pub(crate) fn closed(&self) -> Option<DisconnectReason> {
        self.connection.outbox.closed()
    }

    /// Everything that is there now. Stretches that the hub no longer holds are read from the log,
    /// which has every entry.
    pub(crate) fn drain(&self) -> Vec<String> {
        let mut got = Vec::new();
        loop {
            let mut batch = Vec::new();
            let taken = self.connection.outbox.take(&mut batch, 4_096);
            got.extend(batch.iter().map(|frame| frame.text().to_owned()));
            match taken {
                Taken::Frames => {}
                Taken::Presence(users) => {
                    let users = users.into_iter().map(PresenceView::from).collect();
                    got.push(Push::Presence { users }.encode().text().to_owned());
                }
                Taken::Behind(behind) => {
                    let missing = behind.after.get() + 1..=behind.upto.get();
                    let frame = |number| (seq(number), Frame::new(text(behind.conversation, number)));
                    self.connection.outbox.advance(&behind, missing.map(frame).collect());
                }
                Taken::Nothing | Taken::Closed(_) => return got,
            }
        }
    }

    /// Waits until `expected` has arrived, in this order, with nothing before, between or behind.
    pub(crate) async fn expect(&self, expected: &[String]) {
        let got = self.receive(expected.len()).await;
        assert_eq!(got, expected);
    }

    /// Waits until so many frames are there, and drains them with all that follow.
    pub(crate) async fn receive(&self, count: usize) -> Vec<String> {
        let mut got = self.drain();
        let wait = async {
            while got.len() < count && self.closed().is_none() {
                self.connection.outbox.notified().await;
                got.extend(self.drain());
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, wait).await.is_ok();
        assert!(in_time, "{} of {count} frames arrived: {got:?}", got.len());
        got
    }

    /// Nothing has arrived.
    pub(crate) fn expect_nothing(&self) {
        assert_eq!(self.drain(), Vec::<String>::new());
    }
}
