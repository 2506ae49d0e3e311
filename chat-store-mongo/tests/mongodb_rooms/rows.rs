//! Logs written row by row beside the store: long ones, and such as a crash would leave behind.

use chat_core::domain::{ConversationKind, Pair, RoomName, Seq, Topic, Visibility};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Creation, MembershipPage, MyConversation, NewConversation, RoomStore};
use chat_core::time::Timestamp;
use chat_store_mongo::MongoStore;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};

use crate::support::TestDatabase;

/// Rows that are inserted with one command.
const INSERTED_AT_ONCE: usize = 10_000;

pub(crate) fn user() -> UserId {
    UserId::from_bytes(ObjectId::new().bytes())
}

pub(crate) fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

pub(crate) fn object_id(bytes: &[u8; 12]) -> ObjectId {
    ObjectId::from_bytes(*bytes)
}

/// The `_id` of a member's row.
pub(crate) fn member_id(conversation: ConversationId, user: UserId) -> Bson {
    let bytes = [&conversation.as_bytes()[..], &user.as_bytes()[..]].concat();
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
}

pub(crate) fn new_conversation(created_by: UserId, kind: ConversationKind) -> NewConversation {
    NewConversation {
        id: ConversationId::from_bytes(ObjectId::new().bytes()),
        kind,
        created_by,
        created_at: Timestamp::from_unix_ms(1_790_000_000_042),
        entry_id: EntryId::from_bytes(ObjectId::new().bytes()),
    }
}

pub(crate) fn room(owner: UserId, name: &str, visibility: Visibility) -> NewConversation {
    let (name, topic) = (RoomName::new(name).unwrap(), Topic::new("").unwrap());
    new_conversation(owner, ConversationKind::Room { name, topic, visibility })
}

pub(crate) fn chat(by: UserId, other: UserId) -> NewConversation {
    new_conversation(by, ConversationKind::Private(Pair::new(by, other).unwrap()))
}

/// All rooms of a user, in pages of `limit`, each of which but the last must be full.
pub(crate) async fn my_rooms(store: &MongoStore, user: UserId, limit: u32) -> Vec<MyConversation> {
    let mut mine: Vec<MyConversation> = Vec::new();
    loop {
        let after = mine.last().map(|last| last.conversation.id);
        let page = store.my_conversations(user, MembershipPage { rooms: true, after, limit }).await.unwrap();
        let is_last = page.len() < limit as usize;
        mine.extend(page);
        if is_last {
            return mine;
        }
    }
}

/// A store, and the same database beside it.
pub(crate) struct Setup {
    pub(crate) store: MongoStore,
    pub(crate) beside: mongodb::Database,
    _test: TestDatabase,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let test = TestDatabase::new().await;
        let (store, beside) = (test.open().await, test.beside().await);
        Self { store, beside, _test: test }
    }

    pub(crate) fn rows(&self, collection: &str) -> mongodb::Collection<Document> {
        self.beside.collection(collection)
    }

    /// A conversation made by the store, to be gone on with by hand.
    pub(crate) async fn create(&self, new: NewConversation) -> RawLog<'_> {
        let place = match &new.kind {
            ConversationKind::Room { .. } => "room_id",
            ConversationKind::Private(_) => "chat_id",
        };
        let Creation::New(conversation) = self.store.create(new).await.unwrap() else {
            panic!("the ids are new");
        };
        RawLog { setup: self, id: conversation.id, place, last_event: 1, kinds: vec![Kind::Event] }
    }

    pub(crate) async fn public_room(&self, owner: UserId) -> RawLog<'_> {
        self.create(room(owner, "public room", Visibility::Public)).await
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message(UserId),
    /// One that changes nothing.
    Event,
}

/// The log of a conversation.
pub(crate) struct RawLog<'a> {
    setup: &'a Setup,
    pub(crate) id: ConversationId,
    place: &'static str,
    last_event: u64,
    /// What each entry is, from the first on.
    kinds: Vec<Kind>,
}

impl RawLog<'_> {
    pub(crate) fn head(&self) -> Seq {
        seq(self.kinds.len() as u64)
    }

    /// The numbers of its messages.
    pub(crate) fn messages(&self) -> Vec<u64> {
        let entries = (1..).zip(&self.kinds);
        entries.filter(|(_, kind)| matches!(kind, Kind::Message(_))).map(|(seq, _)| seq).collect()
    }

    fn common(&self, by: UserId) -> Document {
        let messages = self.kinds.iter().filter(|kind| matches!(kind, Kind::Message(_))).count();
        doc! {
            "_id": ObjectId::new(),
            "conversation": object_id(self.id.as_bytes()),
            "seq": self.kinds.len() as i64 + 1,
            "sender_id": object_id(by.as_bytes()),
            "timestamp": DateTime::from_millis(1_790_000_000_042),
            "messages_so_far": messages as i64,
        }
    }

    /// Goes on with these entries. Events are taken for applied, as they change nothing.
    pub(crate) async fn write(&mut self, kinds: impl IntoIterator<Item = Kind>) {
        let somebody = user();
        let mut row = self.common(somebody);
        let mut count = row.get_i64("messages_so_far").unwrap();
        let mut rows = Vec::new();
        for kind in kinds {
            row.insert("_id", ObjectId::new());
            row.insert("seq", self.kinds.len() as i64 + 1);
            self.kinds.push(kind);
            let mut row = row.clone();
            match kind {
                Kind::Message(by) => {
                    count += 1;
                    row.extend(doc! { "type": "text", "content": format!("message {count}") });
                    row.insert("sender_id", object_id(by.as_bytes()));
                    row.insert(self.place, object_id(self.id.as_bytes()));
                }
                Kind::Event => {
                    row.extend(doc! { "type": "updated", "event": true });
                    self.last_event = self.kinds.len() as u64;
                }
            }
            row.insert("messages_so_far", count);
            rows.push(row);
        }
        for rows in rows.chunks(INSERTED_AT_ONCE) {
            self.setup.rows("messages").insert_many(rows).ordered(false).await.unwrap();
        }
        self.applied().await;
    }

    /// So many events that change nothing.
    pub(crate) async fn write_events(&mut self, count: usize) {
        self.write(std::iter::repeat_n(Kind::Event, count)).await;
    }

    pub(crate) async fn write_messages(&mut self, by: UserId, count: usize) {
        self.write(std::iter::repeat_n(Kind::Message(by), count)).await;
    }

    /// An event that a crash kept from being applied.
    pub(crate) async fn write_unapplied(&mut self, by: UserId, event: Document) {
        let mut row = self.common(by);
        row.insert("event", true);
        row.extend(event);
        self.kinds.push(Kind::Event);
        self.setup.rows("messages").insert_one(row).await.unwrap();
    }

    /// What an event does to a user, as a row says it.
    pub(crate) fn about(kind: &str, user: UserId) -> Document {
        doc! { "type": kind, "user_id": object_id(user.as_bytes()) }
    }

    async fn applied(&self) {
        let collection = if self.place == "room_id" { "chat_rooms" } else { "private_chats" };
        let set = doc! { "$set": { "projected_seq": self.last_event as i64 } };
        let row = doc! { "_id": object_id(self.id.as_bytes()) };
        self.setup.rows(collection).update_one(row, set).await.unwrap();
    }

    /// The row that a user has while a join may be on its way.
    pub(crate) async fn write_intent(&self, user: UserId) {
        let set = doc! { "joining": true, "listed": true };
        let first = doc! {
            "conversation": object_id(self.id.as_bytes()),
            "user_id": object_id(user.as_bytes()),
            "is_room": self.place == "room_id",
            "state": "intent",
            "at_seq": 0_i64,
        };
        let update = doc! { "$set": set, "$setOnInsert": first };
        let rows = self.setup.rows("members");
        rows.update_one(doc! { "_id": member_id(self.id, user) }, update).upsert(true).await.unwrap();
    }
}
