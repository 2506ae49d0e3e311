//! Ids: which rows exist, and the ids of rows that a migration adds.
//!
//! What is added has ids that follow from what it is, so that adding it again changes nothing, and so that it can
//! be told from what was there.

use chat_core::id::{ConversationId, EntryId, UserId};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document};

use crate::migrate_php::engine::link::{BY_ID, Link, Scan};
use crate::migrate_php::report::MigrationError;
use crate::migrate_php::rows::value::{Id, id_of};

/// Begins the texts that ids are derived from; the `client_id` of a message cannot contain it.
const MARK: char = '\u{1}';
/// Who has created what was created by nobody who is known.
pub(crate) const NOBODY: UserId = UserId::from_bytes([0; 12]);

/// The ids of all rows of a collection: 12 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Ids(Vec<Id>);

impl Ids {
    pub(crate) async fn load(link: &Link, collection: &'static str) -> Result<Self, MigrationError> {
        let mut scan = Scan::new(link, collection, BY_ID, Document::new());
        let mut ids = Vec::new();
        loop {
            let rows = scan.next().await?;
            if rows.is_empty() {
                return Ok(Self::new(ids));
            }
            ids.extend(rows.iter().filter_map(|row| row.get("_id").and_then(id_of)));
        }
    }

    pub(crate) fn new(mut ids: Vec<Id>) -> Self {
        ids.sort_unstable();
        ids.shrink_to_fit();
        Self(ids)
    }

    pub(crate) fn contain(&self, id: &Id) -> bool {
        self.0.binary_search(id).is_ok()
    }

    /// Those that are among the others, too.
    pub(crate) fn shared_with(&self, others: &Self) -> Vec<Id> {
        self.0.iter().copied().filter(|id| others.contain(id)).collect()
    }

    /// The user of this id, if there is one.
    pub(crate) fn user(&self, value: Option<&Bson>) -> Option<UserId> {
        value.and_then(id_of).filter(|id| self.contain(id)).map(UserId::from_bytes)
    }
}

/// The id of an event with this name, made by the migration.
pub(crate) fn event_id(conversation: ConversationId, user: UserId, event: &str) -> EntryId {
    EntryId::derived(conversation, user, &format!("{MARK}{event}"))
}

/// The id of a further part of a message; the first is 1, and has the message's own.
pub(crate) fn part_id(conversation: ConversationId, sender: UserId, message: Id, part: usize) -> EntryId {
    let message = ObjectId::from_bytes(message).to_hex();
    EntryId::derived(conversation, sender, &format!("{MARK}{part} of {message}"))
}

/// The id of the chat of a pair that had none.
pub(crate) fn chat_id(pair: chat_core::domain::Pair) -> ConversationId {
    let [low, high] = pair.users();
    let derived = UserId::from_external("private chat", &format!("{MARK}{low} {high}"));
    ConversationId::from_bytes(*derived.as_bytes())
}

/// Whether a row of `messages` was added by a migration.
pub(crate) fn is_added(row: &Document) -> bool {
    let id = |field: &str| row.get(field).and_then(Bson::as_object_id).map(|id| id.bytes());
    let (Some(own), Some(conversation), Some(sender)) = (id("_id"), id("conversation"), id("sender_id"))
    else {
        return false;
    };
    let conversation = ConversationId::from_bytes(conversation);
    if let (Some(message), Ok(part)) = (id("split_of"), row.get_i32("part")) {
        let part = usize::try_from(part).unwrap_or_default();
        return part_id(conversation, UserId::from_bytes(sender), message, part).as_bytes() == &own;
    }
    let user = UserId::from_bytes(id("user_id").unwrap_or(sender));
    row.get_str("type").is_ok_and(|name| event_id(conversation, user, name).as_bytes() == &own)
}
