//! Messages get their numbers: in each conversation by time and then by id, behind the events with which its log
//! begins. Texts that are too long for one entry become several here.
//!
//! All messages are read in the order of an index that is made for this, so nothing but the place in it has to be
//! remembered.

use std::collections::{HashMap, HashSet};

use chat_core::domain::{Content, Entry, EntryBody, Message, MessageKind, Pair, Seq};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::time::Timestamp;
use mongodb::bson::{Bson, Document, doc};

use crate::migrate_php::engine::change::original;
use crate::migrate_php::engine::link::Scan;
use crate::migrate_php::engine::work::Work;
use crate::migrate_php::phase::chats::load_migrated;
use crate::migrate_php::phase::order::{KEYS, LAST_SEQ, forget_last_numbers};
use crate::migrate_php::phase::rooms::RoomEvents;
use crate::migrate_php::report::MigrationError;
use crate::migrate_php::rows::chat::first_message_statement;
use crate::migrate_php::rows::id::part_id;
use crate::migrate_php::rows::message::UNPLACED;
use crate::migrate_php::rows::text::fit_content;
use crate::migrate_php::rows::value::id_of;
use crate::table::entries::{MESSAGE_KINDS, Place, entry_row};
use crate::table::row::{object_id, stored_number};
use crate::table::schema::{CHATS, MESSAGES, ROOMS};

/// Numbers that continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Log {
    /// `None` for messages without a place: they have numbers only because an index wants it.
    conversation: Option<ConversationId>,
    seq: u64,
    messages: u64,
}

/// What the conversations are, from their rows.
struct Conversations {
    rooms: RoomEvents,
    chats: HashMap<ConversationId, Pair>,
    /// Chats that their first message has created.
    made: HashSet<ConversationId>,
}

impl Conversations {
    fn place(&self, conversation: ConversationId) -> Option<Place> {
        match self.rooms.of(conversation) {
            Some(_) => Some(Place::Room),
            None => self.chats.get(&conversation).copied().map(Place::Chat),
        }
    }

    /// A log in which there are only the events that it begins with.
    fn beginning(&self, conversation: Option<ConversationId>) -> Result<Log, MigrationError> {
        let seq = match conversation {
            None => 0,
            Some(id) => match (self.rooms.of(id), self.chats.get(&id)) {
                (Some(events), _) => events,
                (None, Some(_)) => 1,
                (None, None) => return Err(MigrationError::Check(format!("there is no conversation {id}"))),
            },
        };
        Ok(Log { conversation, seq, messages: 0 })
    }
}

/// Gives all messages their numbers.
pub(crate) async fn number(work: &mut Work<'_>) -> Result<(), MigrationError> {
    let counts = work.checkpoint.counts;
    let total = counts.messages + counts.further_parts;
    let (chats, made) = load_migrated(&work.link).await?;
    let conversations = Conversations { rooms: RoomEvents::load(&work.link).await?, chats, made };
    let position = work.checkpoint.position.take();
    if position.is_none() {
        forget_last_numbers(work).await?;
    }
    let mut log = position.as_ref().and_then(read_log);
    let mut done =
        position.as_ref().map_or(0, |position| crate::server::reply::number(position, "done").unsigned_abs());
    let after = position.as_ref().and_then(|position| position.get_document("after").ok()).cloned();

    let fields = doc! { "sender_id": 1, "type": 1, "content_before": 1, "split_of": 1, UNPLACED: 1 };
    let mut scan = Scan::new(&work.link, MESSAGES, KEYS, fields).rows(work.page_rows).after(after);
    loop {
        let rows = scan.next().await?;
        if rows.is_empty() {
            break;
        }
        // Further parts are beside their message in this order; they are written again with it.
        for row in rows.iter().filter(|row| !row.contains_key("split_of")) {
            let conversation = conversation_of(row)?;
            if log.is_none_or(|log| log.conversation != conversation) {
                finish(work, &conversations, log).await?;
                log = Some(begin(work, &conversations, conversation, row).await?);
            }
            if let Some(log) = &mut log {
                done += number_row(work, &conversations, log, row).await?;
            }
        }
        let position = doc! {
            "after": scan.position(),
            "conversation": log.and_then(|log| log.conversation).map(|id| object_id(id.as_bytes())),
            "seq": stored_number(log.map_or(0, |log| log.seq)),
            "messages": stored_number(log.map_or(0, |log| log.messages)),
            "done": stored_number(done),
        };
        work.page_done(Some(position), done, total).await?;
    }
    finish(work, &conversations, log).await
}

fn read_log(position: &Document) -> Option<Log> {
    let number = |field: &str| crate::server::reply::number(position, field).unsigned_abs();
    let conversation = position.get("conversation").and_then(id_of).map(ConversationId::from_bytes);
    position.contains_key("seq").then(|| Log {
        conversation,
        seq: number("seq"),
        messages: number("messages"),
    })
}

/// The conversation of a row that has gone through its phase.
fn conversation_of(row: &Document) -> Result<Option<ConversationId>, MigrationError> {
    match row.get("conversation") {
        Some(Bson::ObjectId(id)) => Ok(Some(ConversationId::from_bytes(id.bytes()))),
        Some(Bson::Null) if row.contains_key(UNPLACED) => Ok(None),
        _ => Err(MigrationError::Disturbed(MESSAGES)),
    }
}

/// The first message of a conversation.
async fn begin(
    work: &mut Work<'_>,
    conversations: &Conversations,
    conversation: Option<ConversationId>,
    row: &Document,
) -> Result<Log, MigrationError> {
    if let Some(id) = conversation
        && conversations.made.contains(&id)
    {
        let (sender, at) = sender_and_time(row)?;
        work.update(CHATS, &first_message_statement(id, sender, at)).await?;
    }
    conversations.beginning(conversation)
}

/// The last message of a conversation.
async fn finish(
    work: &mut Work<'_>,
    conversations: &Conversations,
    log: Option<Log>,
) -> Result<(), MigrationError> {
    let Some(Log { conversation: Some(id), seq, .. }) = log else { return Ok(()) };
    let collection = match conversations.place(id) {
        Some(Place::Chat(_)) => CHATS,
        _ => ROOMS,
    };
    let set = doc! { "$set": { LAST_SEQ: stored_number(seq) } };
    work.update(collection, &doc! { "q": { "_id": object_id(id.as_bytes()) }, "u": set }).await
}

/// Gives a message its number, and its further parts theirs. Answers how many entries that are.
async fn number_row(
    work: &mut Work<'_>,
    conversations: &Conversations,
    log: &mut Log,
    row: &Document,
) -> Result<u64, MigrationError> {
    log.seq += 1;
    let mut set = doc! { "seq": stored_number(log.seq) };
    if log.conversation.is_some() {
        log.messages += 1;
        set.insert("messages_so_far", stored_number(log.messages));
    }
    let id = row.get("_id").cloned().unwrap_or(Bson::Null);
    work.update(MESSAGES, &doc! { "q": { "_id": id }, "u": { "$set": set } }).await?;
    let Some(conversation) = log.conversation else { return Ok(1) };
    if !row.contains_key("content_before") {
        return Ok(1);
    }
    let parts = fit_content(original(row, "content")).map_or(Vec::new(), |fitted| fitted.parts);
    let place = conversations.place(conversation).ok_or(MigrationError::Disturbed(MESSAGES))?;
    for (at, part) in parts.iter().enumerate().skip(1) {
        log.seq += 1;
        log.messages += 1;
        let statement = part_statement(row, place, (conversation, *log), (at + 1, part))?;
        work.update(MESSAGES, &statement).await?;
    }
    Ok(parts.len().max(1) as u64)
}

/// The row of a further part of a message.
fn part_statement(
    row: &Document,
    place: Place,
    (conversation, log): (ConversationId, Log),
    (part, text): (usize, &str),
) -> Result<Document, MigrationError> {
    let damaged = |what: &str| MigrationError::Check(format!("a message with further parts has no {what}"));
    let message = row.get("_id").and_then(id_of).ok_or_else(|| damaged("id"))?;
    let (sender, timestamp) = sender_and_time(row)?;
    let id: EntryId = part_id(conversation, sender, message, part);
    let [_, image, file] = MESSAGE_KINDS;
    let kind = match row.get_str("type").unwrap_or_default() {
        name if name == image => MessageKind::Image,
        name if name == file => MessageKind::File,
        _ => MessageKind::Text,
    };
    let content = Content::new(text).map_err(|_| damaged("fit content"))?;
    let entry = Entry {
        conversation,
        seq: Seq::new(log.seq).ok_or_else(|| damaged("number"))?,
        id,
        by: sender,
        timestamp,
        messages_so_far: log.messages,
        body: EntryBody::Message(Message { content, kind, client_id: None }),
    };
    let mut fields = Document::try_from(entry_row(&entry, place)).map_err(|_| damaged("row"))?;
    fields.remove("_id");
    fields.insert("split_of", object_id(&message));
    fields.insert("part", i32::try_from(part).unwrap_or(i32::MAX));
    Ok(doc! { "q": { "_id": object_id(id.as_bytes()) }, "u": { "$set": fields }, "upsert": true })
}

fn sender_and_time(row: &Document) -> Result<(UserId, Timestamp), MigrationError> {
    let sender = row.get("sender_id").and_then(Bson::as_object_id);
    let time = row.get("timestamp").and_then(Bson::as_datetime);
    match (sender, time) {
        (Some(sender), Some(time)) => {
            Ok((UserId::from_bytes(sender.bytes()), Timestamp::from_unix_ms(time.timestamp_millis())))
        }
        _ => Err(MigrationError::Disturbed(MESSAGES)),
    }
}
