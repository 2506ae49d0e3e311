//! Private chats become conversations: one for each pair of users.
//!
//! Of several chats of a pair the oldest becomes the conversation; the others keep their rows, which say into which
//! chat they were merged. Rows that are no conversation say that they were merged into nothing.
//!
//! Decided in memory for all chats at once: 60 bytes for each.

use std::collections::HashSet;

use chat_core::domain::{ConversationKind, Pair};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::NewConversation;
use chat_core::time::Timestamp;
use mongodb::bson::{Bson, Document, doc};

use crate::migrate_php::engine::change::{Change, original_given, projection};
use crate::migrate_php::engine::link::{BY_ID, Link, Scan};
use crate::migrate_php::report::{FindingKind, MigrationError, shown_id};
use crate::migrate_php::rows::id::{Ids, chat_id, event_id};
use crate::migrate_php::rows::user::created_at;
use crate::migrate_php::rows::value::{Id, id_of};
use crate::table::conversations::new_row;
use crate::table::row::{date, object_id, stored_number};
use crate::table::schema::CHATS;

/// Marks a chat that was made for messages without one.
pub(crate) const FROM_MESSAGES: &str = "from_messages";
/// Where the messages of a row that is no conversation of its own are; null if nowhere.
pub(crate) const MERGED_INTO: &str = "merged_into";

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is the conversation of its pair.
    Conversation,
    /// The pair has an older chat.
    Merged,
    /// A user does not exist.
    UserUnknown,
    /// Both users are the same.
    Oneself,
}

/// A row, in few bytes.
#[derive(Debug, Clone, Copy)]
struct Chat {
    id: ConversationId,
    /// `None` for a row that is no conversation.
    pair: Option<Pair>,
}

/// Where the messages of a chat belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// To this conversation.
    Conversation(ConversationId, Pair),
    /// Nowhere: the chat is no conversation.
    Nowhere,
    /// There is no such chat.
    Unknown,
}

/// All chats: which row is the conversation of which pair.
#[derive(Debug, Default)]
pub(crate) struct Chats {
    /// In the order of their ids.
    rows: Vec<Chat>,
    /// Positions in `rows` of conversations, in the order of their pairs.
    conversations: Vec<u32>,
    /// Pairs whose chat is made for their messages, and is not among the rows.
    made: HashSet<Pair>,
}

impl Chats {
    /// Reads all rows and decides about them.
    pub(crate) async fn load(link: &Link, users: &Ids) -> Result<Self, MigrationError> {
        let mut fields = projection(&["user1_id", "user2_id", "created_at"]);
        fields.insert(FROM_MESSAGES, 1);
        let mut scan = Scan::new(link, CHATS, BY_ID, fields);
        let (mut rows, mut aged) = (Vec::new(), Vec::new());
        loop {
            let page = scan.next().await?;
            if page.is_empty() {
                return Ok(Self::decide(rows, aged));
            }
            // What a run before a crash has made for messages is made again, under the same ids.
            for row in page.iter().filter(|row| !row.contains_key(FROM_MESSAGES)) {
                let Some(id) = row.get("_id").and_then(id_of) else { continue };
                let pair = pair_of(row, users).ok();
                let at = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                rows.push(Chat { id: ConversationId::from_bytes(id), pair });
                if let Some(pair) = pair {
                    aged.push((pair, created_at(row, id).0, at));
                }
            }
        }
    }

    /// The oldest row of each pair is its conversation. Rows are in the order of their ids, so of two that were made
    /// at the same time the lower id is the older.
    fn decide(rows: Vec<Chat>, mut aged: Vec<(Pair, Timestamp, u32)>) -> Self {
        aged.sort_unstable();
        aged.dedup_by_key(|(pair, ..)| *pair);
        let conversations = aged.into_iter().map(|(.., at)| at).collect();
        Self { rows, conversations, made: HashSet::new() }
    }

    fn row(&self, id: ConversationId) -> Option<Chat> {
        let at = self.rows.binary_search_by_key(&id, |row| row.id).ok()?;
        self.rows.get(at).copied()
    }

    /// The conversation of a pair, if it has a row.
    pub(crate) fn of_pair(&self, pair: Pair) -> Option<ConversationId> {
        let row = |at: &u32| &self.rows[*at as usize];
        let at = self.conversations.binary_search_by_key(&Some(pair), |at| row(at).pair).ok()?;
        self.conversations.get(at).map(|at| row(at).id)
    }

    /// Where the messages of the chat with this id belong.
    pub(crate) fn home(&self, id: ConversationId) -> Home {
        match self.row(id) {
            None => Home::Unknown,
            Some(Chat { pair: None, .. }) => Home::Nowhere,
            Some(Chat { pair: Some(pair), .. }) => match self.of_pair(pair) {
                Some(conversation) => Home::Conversation(conversation, pair),
                None => Home::Nowhere,
            },
        }
    }

    /// How many conversations of two there are, those that were made included.
    pub(crate) fn conversations(&self) -> u64 {
        (self.conversations.len() + self.made.len()) as u64
    }

    /// Makes the chat of a pair that has none; `None` if it was made before.
    pub(crate) fn make(&mut self, pair: Pair) -> Option<ConversationId> {
        self.made.insert(pair).then(|| chat_id(pair))
    }

    fn fate(&self, row: &Document, id: Id, users: &Ids) -> (Fate, Option<(Pair, ConversationId)>) {
        match pair_of(row, users) {
            Err(fate) => (fate, None),
            Ok(pair) => {
                let conversation = self.of_pair(pair).unwrap_or(ConversationId::from_bytes(id));
                let is_own = conversation.as_bytes() == &id;
                (if is_own { Fate::Conversation } else { Fate::Merged }, Some((pair, conversation)))
            }
        }
    }
}

/// The pair of a row; else why it has none.
fn pair_of(row: &Document, users: &Ids) -> Result<Pair, Fate> {
    let [one, other] = ["user1_id", "user2_id"].map(|field| users.user(original_given(row, field)));
    let (Some(one), Some(other)) = (one, other) else { return Err(Fate::UserUnknown) };
    Pair::new(one, other).ok_or(Fate::Oneself)
}

/// What becomes of a private chat, and what is worth telling.
pub(crate) fn chat<'r>(
    row: &'r Document,
    id: Id,
    chats: &Chats,
    users: &Ids,
) -> (Change<'r>, Option<(FindingKind, String)>) {
    let (fate, found) = chats.fate(row, id, users);
    let (created_at, unreadable) = created_at(row, id);
    let is_merged = matches!(row.get(MERGED_INTO), Some(Bson::Null | Bson::ObjectId(_)));
    let is_ours = is_merged || matches!(row.get("pair"), Some(Bson::Binary(_)));
    let mut change = Change::of(row, is_ours);
    match (fate, found) {
        (Fate::Conversation, Some((pair, conversation))) => {
            for field in ["user1_id", "user2_id"] {
                if let Some(user) = users.user(original_given(row, field)) {
                    change.set(field, object_id(user.as_bytes()));
                }
            }
            change.set("created_at", date(created_at));
            let [low, _] = pair.users();
            let creator = users.user(original_given(row, "user1_id")).unwrap_or(low);
            for (field, value) in ours(conversation, pair, creator, created_at) {
                change.put(&field, value);
            }
            change.clear(MERGED_INTO);
            (change, unreadable)
        }
        (_, found) => {
            let older = found.map(|(_, conversation)| conversation);
            change.put(MERGED_INTO, older.map(|older| object_id(older.as_bytes())));
            change.clear("pair");
            (change, told(fate, row, older))
        }
    }
}

/// What is worth telling of a row that is no conversation.
fn told(fate: Fate, row: &Document, older: Option<ConversationId>) -> Option<(FindingKind, String)> {
    let [one, other] = ["user1_id", "user2_id"].map(|field| shown_id(original_given(row, field)));
    Some(match fate {
        Fate::Conversation => return None,
        Fate::Merged => {
            let older = older.map_or_else(String::new, |older| older.to_string());
            (FindingKind::ChatMerged, format!("{one} and {other} have an older chat; merged into {older}"))
        }
        Fate::UserUnknown => {
            let text = format!("{one} and {other}: not both are known; it is kept, but is no conversation");
            (FindingKind::ChatUserUnknown, text)
        }
        Fate::Oneself => {
            let text = format!("{one} with themselves; it is kept, but is no conversation");
            (FindingKind::ChatWithOneself, text)
        }
    })
}

/// The fields that the PHP chat does not have.
fn ours(id: ConversationId, pair: Pair, creator: UserId, created_at: Timestamp) -> Document {
    let new = NewConversation {
        id,
        kind: ConversationKind::Private(pair),
        created_by: creator,
        created_at,
        entry_id: event_id(id, creator, "created"),
    };
    let mut fields = new_row(&new);
    for field in ["_id", "user1_id", "user2_id", "created_at"] {
        fields.remove(field);
    }
    fields.insert("member_count", stored_number(2));
    fields
}

/// The row of a chat that is made for messages. Who has created it and when is known when its first message is.
pub(crate) fn made_statement(id: ConversationId, pair: Pair) -> Document {
    let [low, high] = pair.users().map(|user| object_id(user.as_bytes()));
    let mut fields = ours(id, pair, pair.users()[0], Timestamp::default());
    fields.insert("user1_id", low);
    fields.insert("user2_id", high);
    fields.insert(FROM_MESSAGES, true);
    doc! { "q": { "_id": object_id(id.as_bytes()) }, "u": { "$setOnInsert": fields }, "upsert": true }
}

/// Lets the first message of a chat that was made for messages say who has created it and when.
pub(crate) fn first_message_statement(id: ConversationId, sender: UserId, at: Timestamp) -> Document {
    let entry_id = event_id(id, sender, "created");
    let set = doc! {
        "created_by": object_id(sender.as_bytes()),
        "created_at": date(at),
        "entry_id": object_id(entry_id.as_bytes()),
    };
    doc! { "q": { "_id": object_id(id.as_bytes()) }, "u": { "$set": set } }
}
