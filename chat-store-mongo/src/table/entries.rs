//! Entries as rows of `messages`.
//!
//! Messages have the fields that the PHP chat had (`sender_id`, `content`, `timestamp`, `type`, and `room_id` or
//! `chat_id` with `receiver_id`), so that it could read them; what it did not have is `conversation`, `seq`,
//! `messages_so_far` and `client_id`. Other entries have `event`, and neither `room_id` nor `chat_id`, so that the
//! PHP chat would not see them.

use chat_core::domain::{
    ClientId, Content, Entry, EntryBody, Event, Message, MessageKind, Pair, Role, RoomName, Seq, Topic,
};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId, UserId};
use mongodb::bson::{Bson, Document, RawDocumentBuf, cstr, rawdoc};

use crate::table::row::{Row, date, object_id, stored_number};
use crate::table::schema::MESSAGES;

/// What a row says of its conversation beside the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A room.
    Room,
    /// The private chat of these two.
    Chat(Pair),
}

/// The row of an entry.
pub(crate) fn entry_row(entry: &Entry, place: Place) -> RawDocumentBuf {
    let conversation = object_id(entry.conversation.as_bytes());
    let mut row = rawdoc! {
        "_id": object_id(entry.id.as_bytes()),
        "conversation": conversation,
        "seq": stored_number(entry.seq.get()),
        "sender_id": object_id(entry.by.as_bytes()),
        "timestamp": date(entry.timestamp),
        "messages_so_far": stored_number(entry.messages_so_far),
    };
    match &entry.body {
        EntryBody::Message(message) => {
            row.append(cstr!("type"), kind_name(message.kind));
            row.append(cstr!("content"), message.content.as_str());
            if let Some(client_id) = &message.client_id {
                row.append(cstr!("client_id"), client_id.as_str());
            }
            match place {
                Place::Room => row.append(cstr!("room_id"), conversation),
                Place::Chat(pair) => {
                    row.append(cstr!("chat_id"), conversation);
                    if let Some(peer) = pair.peer_of(entry.by) {
                        row.append(cstr!("receiver_id"), object_id(peer.as_bytes()));
                    }
                }
            }
        }
        EntryBody::Event(event) => append_event(&mut row, event),
    }
    row
}

fn append_event(row: &mut RawDocumentBuf, event: &Event) {
    row.append(cstr!("type"), event.name());
    row.append(cstr!("event"), true);
    if let Some(user) = event.user() {
        row.append(cstr!("user_id"), object_id(user.as_bytes()));
    }
    match event {
        Event::RoleChanged { role, .. } => row.append(cstr!("role"), role_name(*role)),
        Event::Updated { name, topic } => {
            if let Some(name) = name {
                row.append(cstr!("name"), name.as_str());
            }
            if let Some(topic) = topic {
                row.append(cstr!("topic"), topic.as_str());
            }
        }
        Event::Created
        | Event::Invited { .. }
        | Event::Joined { .. }
        | Event::Left { .. }
        | Event::Removed { .. }
        | Event::Banned { .. }
        | Event::Unbanned { .. } => {}
    }
}

/// The entry of a row.
pub(crate) fn read_entry(fields: &Document) -> Result<Entry, StoreError> {
    let row = Row::new(MESSAGES, fields);
    let kind = row.text("type")?;
    let body = match kind_of(kind) {
        Some(kind) => EntryBody::Message(Message {
            content: row.required("content", |value| Content::new(value.as_str()?).ok())?,
            kind,
            client_id: row.optional("client_id", |value| ClientId::new(value.as_str()?).ok())?,
        }),
        None => EntryBody::Event(read_event(row, kind)?),
    };
    Ok(Entry {
        conversation: ConversationId::from_bytes(row.id("conversation")?),
        seq: read_seq(row, "seq")?,
        id: EntryId::from_bytes(row.id("_id")?),
        by: UserId::from_bytes(row.id("sender_id")?),
        timestamp: row.time("timestamp")?,
        messages_so_far: row.number("messages_so_far")?,
        body,
    })
}

fn read_event(row: Row<'_>, kind: &str) -> Result<Event, StoreError> {
    let user = || row.id("user_id").map(UserId::from_bytes);
    Ok(match kind {
        "created" => Event::Created,
        "invited" => Event::Invited { user: user()? },
        "joined" => Event::Joined { user: user()? },
        "left" => Event::Left { user: user()? },
        "removed" => Event::Removed { user: user()? },
        "banned" => Event::Banned { user: user()? },
        "unbanned" => Event::Unbanned { user: user()? },
        "role_changed" => Event::RoleChanged { user: user()?, role: row.required("role", read_role)? },
        "updated" => Event::Updated {
            name: row.optional("name", |value| RoomName::from_stored(value.as_str()?).ok())?,
            topic: row.optional("topic", |value| Topic::new(value.as_str()?).ok())?,
        },
        _ => return Err(row.damaged("type")),
    })
}

/// The number of an entry.
pub(crate) fn read_seq(row: Row<'_>, field: &str) -> Result<Seq, StoreError> {
    Seq::new(row.number(field)?).ok_or_else(|| row.damaged(field))
}

/// Kinds of messages as they are stored; every other `type` is an event.
pub(crate) const MESSAGE_KINDS: [&str; 3] = ["text", "image", "file"];

fn kind_name(kind: MessageKind) -> &'static str {
    let [text, image, file] = MESSAGE_KINDS;
    match kind {
        MessageKind::Text => text,
        MessageKind::Image => image,
        MessageKind::File => file,
    }
}

fn kind_of(name: &str) -> Option<MessageKind> {
    [MessageKind::Text, MessageKind::Image, MessageKind::File]
        .into_iter()
        .find(|kind| kind_name(*kind) == name)
}

/// Roles as they are stored.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

/// The role of a stored name.
pub(crate) fn read_role(value: &Bson) -> Option<Role> {
    let name = value.as_str()?;
    [Role::Member, Role::Admin, Role::Owner].into_iter().find(|role| role_name(*role) == name)
}
