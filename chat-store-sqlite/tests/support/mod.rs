//! What the tests share: a store in a directory of its own, and short ways to make rooms and messages.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "test code, of which each file uses a part"
)]

use std::path::PathBuf;

use chat_core::domain::{
    ClientId, Content, ConversationKind, Draft, EntryBody, Event, Head, Message, MessageKind, RoomName, Seq,
    Topic, Visibility,
};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Append, Creation, EntryRange, NewConversation, RoomStore};
use chat_core::time::Timestamp;
use chat_store_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

pub const ALL: EntryRange =
    EntryRange { after: Seq::ZERO, upto: Seq::MAX, limit: 1_000_000, max_bytes: usize::MAX };

pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.path("chat.db")
    }

    pub fn open(&self) -> SqliteStore {
        SqliteStore::open(SqliteConfig::new(self.database())).unwrap()
    }
}

pub fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 12])
}

pub async fn room(store: &SqliteStore, owner: UserId) -> ConversationId {
    let kind = ConversationKind::Room {
        name: RoomName::new("Lobby").unwrap(),
        topic: Topic::new("").unwrap(),
        visibility: Visibility::Public,
    };
    let new = NewConversation {
        id: ConversationId::generate(),
        kind,
        created_by: owner,
        created_at: Timestamp::from_unix_ms(1),
        entry_id: EntryId::generate(),
    };
    let id = new.id;
    assert!(matches!(store.create(new).await.unwrap(), Creation::New(_)));
    id
}

pub fn message(by: UserId, text: &str) -> Draft {
    let body = EntryBody::Message(Message {
        content: Content::new(text).unwrap(),
        kind: MessageKind::Text,
        client_id: Some(ClientId::new(text.chars().take(64).collect::<String>()).unwrap()),
    });
    Draft { id: EntryId::generate(), by, timestamp: Timestamp::from_unix_ms(2), body }
}

pub fn event(by: UserId, event: Event) -> Draft {
    Draft {
        id: EntryId::generate(),
        by,
        timestamp: Timestamp::from_unix_ms(3),
        body: EntryBody::Event(event),
    }
}

pub async fn head(store: &SqliteStore, room: ConversationId) -> Head {
    store.conversation(room).await.unwrap().unwrap().head
}

pub async fn send(store: &SqliteStore, room: ConversationId, drafts: Vec<Draft>) {
    let head = head(store, room).await;
    let appended = store.append(room, head, drafts).await.unwrap();
    assert!(matches!(appended, Append::Done(_)), "{appended:?}");
}

pub async fn contents(store: &SqliteStore, room: ConversationId) -> Vec<String> {
    let page = store.entries(room, ALL).await.unwrap();
    let messages = page.entries.into_iter().filter_map(|entry| match entry.body {
        EntryBody::Message(message) => Some(message.content.as_str().to_owned()),
        EntryBody::Event(_) => None,
    });
    messages.collect()
}
