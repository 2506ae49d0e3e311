//! Messages get their conversation, and what an entry must have: a sender, a time, a type, a content. Their numbers
//! come later, when all of a conversation are known.

use chat_core::domain::Pair;
use chat_core::id::{ConversationId, UserId};
use chat_core::time::Timestamp;
use mongodb::bson::{Bson, Document};

use crate::migrate_php::engine::change::{Change, given, original, original_given};
use crate::migrate_php::engine::work::Work;
use crate::migrate_php::report::{FindingKind, MigrationError, shown, shown_id};
use crate::migrate_php::rows::chat::{Chats, Home};
use crate::migrate_php::rows::id::Ids;
use crate::migrate_php::rows::text::{Fitted, fit_content};
use crate::migrate_php::rows::value::{id_of, time_of, time_of_id};
use crate::table::entries::MESSAGE_KINDS;
use crate::table::row::{date, object_id};
use crate::table::schema::{ROOMS, USERS};

/// Why a message has no conversation.
pub(crate) const UNPLACED: &str = "unplaced";

/// What exists.
pub(crate) struct Known {
    pub(crate) users: Ids,
    pub(crate) rooms: Ids,
    pub(crate) chats: Chats,
}

impl Known {
    pub(crate) async fn load(work: &Work<'_>) -> Result<Self, MigrationError> {
        let users = Ids::load(&work.link, USERS).await?;
        let rooms = Ids::load(&work.link, ROOMS).await?;
        let chats = Chats::load(&work.link, &users).await?;
        Ok(Self { users, rooms, chats })
    }
}

/// Where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Room(ConversationId),
    Chat(ConversationId, Pair),
    /// To the chat of two who may have none.
    Pair(Pair),
}

/// What is worth telling.
pub(crate) type Note = (FindingKind, String);

/// Who has sent a message and where it belongs, or why it has no place.
pub(crate) fn place(row: &Document, known: &Known) -> (Result<(UserId, Place), Note>, Vec<Note>) {
    let mut notes = Vec::new();
    if !matches!(row.get("_id"), Some(Bson::ObjectId(_))) {
        return (Err((FindingKind::MessageId, "its id is no ObjectId".to_owned())), notes);
    }
    let stated = original_given(row, "sender_id");
    let Some(sender) = known.users.user(stated) else {
        return (
            Err((FindingKind::SenderUnknown, format!("its sender {} is unknown", shown_id(stated)))),
            notes,
        );
    };
    let place = destination(row, sender, known, &mut notes);
    if let Ok(Place::Chat(_, pair)) = place
        && pair.peer_of(sender).is_none()
    {
        let text = format!("its sender {sender} is neither of the two; it stays in their chat");
        notes.push((FindingKind::SenderOutside, text));
    }
    (place.map(|place| (sender, place)), notes)
}

fn destination(row: &Document, sender: UserId, known: &Known, notes: &mut Vec<Note>) -> Result<Place, Note> {
    let [room, chat, receiver] = ["room_id", "chat_id", "receiver_id"].map(|field| given(row, field));
    if let Some(stated) = room {
        return match id_of(stated).filter(|room| known.rooms.contain(room)) {
            Some(room) => {
                if chat.is_some() {
                    let text = format!("it names the chat {}, too; it is in its room only", shown_id(chat));
                    notes.push((FindingKind::SeveralPlaces, text));
                }
                Ok(Place::Room(ConversationId::from_bytes(room)))
            }
            None => Err((FindingKind::RoomUnknown, format!("its room {} is unknown", shown_id(room)))),
        };
    }
    let home = chat
        .map(|chat| id_of(chat).map_or(Home::Unknown, |id| known.chats.home(ConversationId::from_bytes(id))));
    let lacks = match home {
        Some(Home::Conversation(conversation, pair)) => return Ok(Place::Chat(conversation, pair)),
        Some(Home::Nowhere) => {
            return Err((
                FindingKind::ChatUnknown,
                format!("its chat {} is no conversation", shown_id(chat)),
            ));
        }
        Some(Home::Unknown) if receiver.is_none() => {
            return Err((FindingKind::ChatUnknown, format!("its chat {} is unknown", shown_id(chat))));
        }
        Some(Home::Unknown) => format!("its chat {} is unknown", shown_id(chat)),
        None => "it has no chat".to_owned(),
    };
    let Some(stated) = receiver else {
        return Err((FindingKind::DestinationMissing, "it has no room, no chat and no receiver".to_owned()));
    };
    let Some(peer) = known.users.user(receiver) else {
        return Err((
            FindingKind::ReceiverUnknown,
            format!("{lacks}, and its receiver {} is unknown", shown_id(receiver)),
        ));
    };
    let Some(pair) = Pair::new(sender, peer) else {
        let text = format!("{lacks}, and its receiver {} is its sender", shown_id(Some(stated)));
        return Err((FindingKind::DestinationMissing, text));
    };
    notes.push((
        FindingKind::PlacedByReceiver,
        format!("{lacks}; it goes to the chat of {sender} and {peer}"),
    ));
    Ok(Place::Pair(pair))
}

/// Sets what an entry must have; answers how many entries the message becomes.
pub(crate) fn fit(row: &Document, sender: UserId, change: &mut Change<'_>, notes: &mut Vec<Note>) -> usize {
    let (time, unreadable) = time_of_message(row);
    notes.extend(unreadable);
    change.set("timestamp", date(time));
    change.set("sender_id", object_id(sender.as_bytes()));
    let [text, ..] = MESSAGE_KINDS;
    let kind = match original_given(row, "type") {
        None => text,
        Some(stated) => {
            let known = MESSAGE_KINDS.into_iter().find(|known| stated.as_str() == Some(known));
            known.unwrap_or_else(|| {
                let stated = stated.as_str().map_or_else(|| "it has".to_owned(), shown);
                notes.push((
                    FindingKind::MessageType,
                    format!("its type {stated} is unknown; becomes {text:?}"),
                ));
                text
            })
        }
    };
    change.set("type", kind);
    // What these mean here is not what they may have meant.
    change.remove("event");
    change.remove("client_id");
    match fit_content(original(row, "content")) {
        None => 1,
        Some(Fitted { parts, notes: why }) => {
            notes.extend(why);
            change.set("content", parts.first().map_or("", String::as_str));
            parts.len()
        }
    }
}

/// When a message was sent: as it says, else as its id does. The latter is worth telling.
pub(crate) fn time_of_message(row: &Document) -> (Timestamp, Option<Note>) {
    match original(row, "timestamp").and_then(time_of) {
        Some(time) => (time, None),
        None => {
            let time = row.get("_id").and_then(id_of).map(time_of_id).unwrap_or_default();
            let text = format!("its timestamp cannot be read; the time of its id takes its place: {time}");
            (time, Some((FindingKind::TimeUnreadable, text)))
        }
    }
}
