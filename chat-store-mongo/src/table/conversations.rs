//! Conversations as rows of `chat_rooms` and `private_chats`.
//!
//! A row holds what the log has made of the conversation up to the entry `projected_seq`. It does not hold the head:
//! that is the log's last entry, so that a message touches no other row. A row with `projected_seq` 0 is a
//! conversation whose creation has not come to its end; its fields say how to go on with it.

use chat_core::domain::{Conversation, ConversationKind, Head, Pair, RoomName, Seq, Topic, Visibility};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::NewConversation;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use crate::table::entries::{Place, read_seq};
use crate::table::row::{Row, date, object_id};
use crate::table::schema::{CHATS, ROOMS};

/// A row as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConversationRow {
    /// The conversation as of `projected_seq`; its head is not known here.
    pub(crate) conversation: Conversation,
    /// Up to which entry events are part of the row and of its members.
    pub(crate) projected_seq: Seq,
    /// The id of entry 1.
    pub(crate) entry_id: EntryId,
}

impl ConversationRow {
    /// The row of `chat_rooms`.
    pub(crate) fn read_room(fields: &Document) -> Result<Self, StoreError> {
        let row = Row::new(ROOMS, fields);
        let kind = ConversationKind::Room {
            name: row.required("name", |value| RoomName::from_stored(value.as_str()?).ok())?,
            topic: row.required("topic", |value| Topic::new(value.as_str()?).ok())?,
            visibility: row.required("visibility", |value| visibility_of(value.as_str()?))?,
        };
        let mut owners: Vec<UserId> = row.required("owners", |value| {
            let owners = value.as_array()?.iter();
            owners.map(|owner| owner.as_object_id().map(|id| UserId::from_bytes(id.bytes()))).collect()
        })?;
        owners.sort_unstable();
        Self::read(row, "creator_id", kind, owners)
    }

    /// The row of `private_chats`.
    pub(crate) fn read_chat(fields: &Document) -> Result<Self, StoreError> {
        let row = Row::new(CHATS, fields);
        let [one, other] = [row.id("user1_id")?, row.id("user2_id")?].map(UserId::from_bytes);
        let pair = Pair::new(one, other).ok_or_else(|| row.damaged("user2_id"))?;
        Self::read(row, "created_by", ConversationKind::Private(pair), Vec::new())
    }

    fn read(
        row: Row<'_>,
        creator: &str,
        kind: ConversationKind,
        owners: Vec<UserId>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            conversation: Conversation {
                id: ConversationId::from_bytes(row.id("_id")?),
                kind,
                created_by: UserId::from_bytes(row.id(creator)?),
                created_at: row.time("created_at")?,
                head: Head::default(),
                member_count: u32::try_from(row.number("member_count")?)
                    .map_err(|_| row.damaged("member_count"))?,
                owners,
            },
            projected_seq: read_seq(row, "projected_seq")?,
            entry_id: EntryId::from_bytes(row.id("entry_id")?),
        })
    }

    /// The collection of the row.
    pub(crate) fn collection(&self) -> &'static str {
        collection_of(&self.conversation.kind)
    }

    /// What rows of entries say of it.
    pub(crate) fn place(&self) -> Place {
        match self.conversation.pair() {
            None => Place::Room,
            Some(pair) => Place::Chat(pair),
        }
    }
}

/// Where conversations of this kind are.
pub(crate) fn collection_of(kind: &ConversationKind) -> &'static str {
    match kind {
        ConversationKind::Room { .. } => ROOMS,
        ConversationKind::Private(_) => CHATS,
    }
}

/// The row of a conversation that is about to begin.
pub(crate) fn new_row(new: &NewConversation) -> Document {
    let mut row = doc! {
        "_id": object_id(new.id.as_bytes()),
        "created_at": date(new.created_at),
        "entry_id": object_id(new.entry_id.as_bytes()),
        "projected_seq": 0_i64,
        "member_count": 0_i64,
    };
    let creator = object_id(new.created_by.as_bytes());
    match &new.kind {
        ConversationKind::Room { name, topic, visibility } => {
            row.insert("creator_id", creator);
            row.insert("name", name.as_str());
            row.insert("name_folded", name.folded());
            row.insert("topic", topic.as_str());
            row.insert("visibility", visibility_name(*visibility));
            row.insert("owners", Bson::Array(Vec::new()));
        }
        ConversationKind::Private(pair) => {
            let [low, high] = pair.users().map(|user| object_id(user.as_bytes()));
            row.insert("created_by", creator);
            row.insert("user1_id", low);
            row.insert("user2_id", high);
            row.insert("pair", pair_key(*pair));
        }
    }
    row
}

/// By what a private chat is found, and unique: both ids, the lower one first.
pub(crate) fn pair_key(pair: Pair) -> Bson {
    let bytes = pair.users().map(|user| *user.as_bytes()).concat();
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
}

/// Visibilities as they are stored.
pub(crate) fn visibility_name(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => "public",
        Visibility::Private => "private",
    }
}

fn visibility_of(name: &str) -> Option<Visibility> {
    [Visibility::Public, Visibility::Private]
        .into_iter()
        .find(|visibility| visibility_name(*visibility) == name)
}
