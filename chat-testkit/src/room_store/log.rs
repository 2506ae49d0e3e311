//! A conversation as the cases drive it, and what they draft.

use std::sync::Arc;

use chat_core::domain::{
    ClientId, Content, Conversation, ConversationKind, Draft, Entry, EntryBody, Event, Head, Member, Message,
    MessageKind, Pair, Role, RoomName, Seq, Topic, Visibility,
};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::hard;
use chat_core::port::{Append, Appended, Creation, EntryRange, NewConversation, RoomStore};
use chat_core::time::Timestamp;

use crate::random;

/// A time at which nothing else happens.
pub(crate) const NOON: Timestamp = Timestamp::from_unix_ms(1_790_000_000_042);

/// More bytes than any page of these tests has.
pub(crate) const ALL_BYTES: usize = usize::MAX;

pub(crate) fn seq(number: u64) -> Seq {
    Seq::new(number).expect("a number below 2^53")
}

pub(crate) fn text(content: &str) -> EntryBody {
    EntryBody::Message(Message {
        content: Content::new(content).expect("a content"),
        kind: MessageKind::Text,
        client_id: None,
    })
}

pub(crate) fn draft(by: UserId, body: EntryBody) -> Draft {
    Draft { id: random::entry(), by, timestamp: NOON, body }
}

pub(crate) fn messages(by: UserId, count: usize) -> Vec<Draft> {
    (0..count).map(|number| draft(by, text(&format!("message {number}")))).collect()
}

/// A message with everything that a message can have.
pub(crate) fn rich_message(content: &str, kind: MessageKind, client_id: &str) -> EntryBody {
    EntryBody::Message(Message {
        content: Content::new(content).expect("a content"),
        kind,
        client_id: Some(ClientId::new(client_id).expect("a client id")),
    })
}

pub(crate) fn room(owner: UserId, name: &str, visibility: Visibility) -> NewConversation {
    let name = RoomName::new(name).expect("a room name");
    let topic = Topic::new("").expect("an empty topic");
    new_conversation(owner, ConversationKind::Room { name, topic, visibility })
}

pub(crate) fn private_chat(by: UserId, other: UserId) -> NewConversation {
    new_conversation(by, ConversationKind::Private(Pair::new(by, other).expect("two users")))
}

fn new_conversation(created_by: UserId, kind: ConversationKind) -> NewConversation {
    NewConversation {
        id: random::conversation(),
        kind,
        created_by,
        created_at: NOON,
        entry_id: random::entry(),
    }
}

/// A conversation and the head that its log had after the last append from here.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) store: Arc<dyn RoomStore>,
    pub(crate) id: ConversationId,
    pub(crate) head: Head,
}

impl Log {
    pub(crate) async fn create(store: Arc<dyn RoomStore>, new: NewConversation) -> Self {
        let creation = store.create(new).await.expect("a creation");
        let Creation::New(conversation) = creation else { panic!("it existed already: {creation:?}") };
        Self { store, id: conversation.id, head: conversation.head }
    }

    pub(crate) async fn public(store: Arc<dyn RoomStore>, owner: UserId) -> Self {
        Self::create(store, room(owner, "public room", Visibility::Public)).await
    }

    pub(crate) async fn hidden(store: Arc<dyn RoomStore>, owner: UserId) -> Self {
        Self::create(store, room(owner, "private room", Visibility::Private)).await
    }

    /// Takes up a conversation that exists.
    pub(crate) async fn open(store: Arc<dyn RoomStore>, id: ConversationId) -> Self {
        let conversation = store.conversation(id).await.expect("a read").expect("it exists");
        Self { store, id, head: conversation.head }
    }

    pub(crate) async fn try_append(&self, expected: Head, drafts: Vec<Draft>) -> Append {
        self.store.append(self.id, expected, drafts).await.expect("an append")
    }

    /// Appends at the head, where nobody else appends meanwhile.
    pub(crate) async fn append(&mut self, drafts: Vec<Draft>) -> Vec<Appended> {
        let count = drafts.len();
        let append = self.try_append(self.head, drafts).await;
        let Append::Done(outcomes) = append else {
            panic!("the head {:?} is not stale: {append:?}", self.head)
        };
        assert_eq!(outcomes.len(), count, "one outcome for each draft");
        for outcome in &outcomes {
            if let Appended::New(entry) = outcome {
                self.head = entry.head();
            }
        }
        outcomes
    }

    /// Appends drafts that the log does not have, in as many calls as it takes.
    pub(crate) async fn append_new(&mut self, drafts: Vec<Draft>) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(drafts.len());
        for batch in drafts.chunks(hard::BATCH_ENTRIES) {
            for outcome in self.append(batch.to_vec()).await {
                let Appended::New(entry) = outcome else { panic!("the draft is new: {outcome:?}") };
                entries.push(entry);
            }
        }
        entries
    }

    pub(crate) async fn say(&mut self, by: UserId, content: &str) -> Entry {
        self.one(draft(by, text(content))).await
    }

    pub(crate) async fn event(&mut self, by: UserId, event: Event) -> Entry {
        self.one(draft(by, EntryBody::Event(event))).await
    }

    pub(crate) async fn join(&mut self, user: UserId) -> Entry {
        self.event(user, Event::Joined { user }).await
    }

    pub(crate) async fn leave(&mut self, user: UserId) -> Entry {
        self.event(user, Event::Left { user }).await
    }

    pub(crate) async fn invite(&mut self, by: UserId, user: UserId) -> Entry {
        self.event(by, Event::Invited { user }).await
    }

    pub(crate) async fn promote(&mut self, by: UserId, user: UserId, role: Role) -> Entry {
        self.event(by, Event::RoleChanged { user, role }).await
    }

    async fn one(&mut self, draft: Draft) -> Entry {
        self.append_new(vec![draft]).await.remove(0)
    }

    pub(crate) async fn conversation(&self) -> Conversation {
        self.store.conversation(self.id).await.expect("a read").expect("it exists")
    }

    pub(crate) async fn member(&self, user: UserId) -> Option<Member> {
        self.store.member(self.id, user).await.expect("a read")
    }

    /// The whole log, page by page; it must be dense.
    pub(crate) async fn all(&self) -> Vec<Entry> {
        let mut log: Vec<Entry> = Vec::new();
        loop {
            let after = log.last().map_or(Seq::ZERO, |entry| entry.seq);
            let range = EntryRange { after, upto: Seq::MAX, limit: 100, max_bytes: ALL_BYTES };
            let page = self.store.entries(self.id, range).await.expect("a read");
            assert!(!page.entries.is_empty() || !page.more, "a page that goes on is not empty");
            assert!(page.entries.iter().all(|entry| entry.seq > after), "a page lies above `after`");
            log.extend(page.entries);
            if !page.more {
                assert_dense(self.id, &log);
                return log;
            }
        }
    }
}

/// Whether `log` is a whole log: numbered from 1 without a hole, its messages counted.
pub(crate) fn assert_dense(conversation: ConversationId, log: &[Entry]) {
    let mut head = Head::default();
    for entry in log {
        let messages = head.messages + u64::from(entry.body.is_message());
        assert_eq!(entry.seq, head.seq.next(), "no hole and no entry twice");
        assert_eq!(entry.messages_so_far, messages, "messages are counted at {}", entry.seq);
        assert_eq!(entry.conversation, conversation, "the entry knows its conversation");
        head = entry.head();
    }
}
