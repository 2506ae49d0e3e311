//! Rooms become conversations: creators become owners, participants become members. All are public that were not made
//! private here, before the PHP chat was gone back to.

use std::collections::HashSet;

use chat_core::domain::{ConversationKind, RoomName, Topic, Visibility};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::NewConversation;
use chat_core::time::Timestamp;
use mongodb::bson::{Bson, Document};

use crate::migrate_php::engine::change::{Change, original, original_given};
use crate::migrate_php::report::{FindingKind, MigrationError, shown, shown_id};
use crate::migrate_php::rows::id::{Ids, NOBODY, event_id};
use crate::migrate_php::rows::text::fit_room_name;
use crate::migrate_php::rows::user::created_at;
use crate::migrate_php::rows::value::{Id, id_of, last_digits, text_of};
use crate::table::conversations::{new_row, visibility_name};
use crate::table::row::{object_id, stored_number};

/// A room as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) id: ConversationId,
    pub(crate) name: String,
    pub(crate) topic: String,
    /// The owner; of a closed room whoever has created it.
    pub(crate) creator: UserId,
    pub(crate) created_at: Timestamp,
    /// Members beside the owner, in the order in which they join.
    pub(crate) others: Vec<UserId>,
    /// Nobody whom we know is in it.
    pub(crate) is_closed: bool,
    /// Private only if it was made here, before the PHP chat was gone back to.
    pub(crate) visibility: Visibility,
}

impl Room {
    /// The id of its first entry.
    pub(crate) fn entry_id(&self) -> EntryId {
        event_id(self.id, self.creator, "created")
    }

    pub(crate) fn member_count(&self) -> u64 {
        if self.is_closed { 0 } else { 1 + self.others.len() as u64 }
    }

    /// How many events its log begins with: its creation, then a join of everybody else, or, if it is closed, that
    /// its creator left.
    pub(crate) fn events(&self) -> u64 {
        events(self.member_count())
    }
}

/// How many events the log of a room with so many members begins with.
pub(crate) fn events(member_count: u64) -> u64 {
    if member_count == 0 { 2 } else { member_count }
}

/// What becomes of a room, and what is worth telling.
pub(crate) fn room(row: &Document, id: Id, users: &Ids) -> (Room, Vec<(FindingKind, String)>) {
    let mut notes = Vec::new();
    let (created_at, unreadable) = created_at(row, id);
    notes.extend(unreadable);
    let stated = original_given(row, "creator_id");
    let known = users.user(stated);
    let mut others = participants(row, users, &mut notes);
    others.retain(|user| Some(*user) != known);
    let is_closed = known.is_none() && others.is_empty();
    let creator = match known {
        Some(creator) => creator,
        None if is_closed => {
            let text = "nobody who is in it is known; it is closed".to_owned();
            notes.push((FindingKind::RoomClosed, text));
            stated.and_then(id_of).map_or(NOBODY, UserId::from_bytes)
        }
        None => {
            let heir = others.remove(0);
            let text = format!("its creator {} is unknown; {heir} becomes its owner", shown_id(stated));
            notes.push((FindingKind::RoomCreatorUnknown, text));
            heir
        }
    };
    let written = original(row, "name").and_then(text_of).unwrap_or_default();
    let name = fit_room_name(&written, &format!("room-{}", last_digits(id, 6)));
    if name != written {
        let text = format!("its name {} becomes {}", shown(&written), shown(&name));
        notes.push((FindingKind::RoomName, text));
    }
    let topic = original(row, "topic").and_then(text_of).and_then(|topic| Topic::new(topic.as_ref()).ok());
    let topic = topic.map(String::from).unwrap_or_default();
    let id = ConversationId::from_bytes(id);
    let private = visibility_name(Visibility::Private);
    let is_private = row.get_str("visibility").is_ok_and(|name| name == private);
    let visibility = if is_private { Visibility::Private } else { Visibility::Public };
    (Room { id, name, topic, creator, created_at, others, is_closed, visibility }, notes)
}

/// Known participants, each once, in their order. An array from which PHP has removed something is a document.
fn participants(row: &Document, users: &Ids, notes: &mut Vec<(FindingKind, String)>) -> Vec<UserId> {
    let listed: Vec<&Bson> = match row.get("participants") {
        Some(Bson::Array(values)) => values.iter().collect(),
        Some(Bson::Document(values)) => values.values().collect(),
        _ => Vec::new(),
    };
    let mut seen = HashSet::new();
    let mut known = Vec::new();
    for value in listed {
        let user = users.user(Some(value));
        if !seen.insert(user.map_or_else(|| shown_id(Some(value)), |user| user.to_string())) {
            continue;
        }
        match user {
            Some(user) => known.push(user),
            None => {
                let text = format!("its participant {} is unknown and is dropped", shown_id(Some(value)));
                notes.push((FindingKind::ParticipantUnknown, text));
            }
        }
    }
    known
}

/// What is to be changed in its row.
pub(crate) fn change<'r>(row: &'r Document, room: &Room) -> Result<Change<'r>, MigrationError> {
    let text = |error: chat_core::domain::InvalidText| MigrationError::Check(error.to_string());
    let new = NewConversation {
        id: room.id,
        kind: ConversationKind::Room {
            name: RoomName::new(room.name.as_str()).map_err(text)?,
            topic: Topic::new(room.topic.as_str()).map_err(text)?,
            visibility: room.visibility,
        },
        created_by: room.creator,
        created_at: room.created_at,
        entry_id: room.entry_id(),
    };
    let mut fields = new_row(&new);
    fields.insert("member_count", stored_number(room.member_count()));
    let owners = if room.is_closed { Vec::new() } else { vec![object_id(room.creator.as_bytes())] };
    fields.insert("owners", owners);
    let is_ours = row.get_str("name_folded").is_ok() && row.get_object_id("entry_id").is_ok();
    let mut change = Change::of(row, is_ours);
    for (field, value) in fields.into_iter().filter(|(field, _)| field != "_id") {
        match field.as_str() {
            "name" | "topic" | "visibility" | "creator_id" | "created_at" => change.set(&field, value),
            _ => change.put(&field, value),
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::oid::ObjectId;
    use mongodb::bson::{DateTime, doc};

    use super::*;

    const ROOM: Id = [9; 12];

    fn user(number: u8) -> UserId {
        UserId::from_bytes([number; 12])
    }

    fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes([number; 12])
    }

    /// The room that becomes of a row, when users 1 to 4 exist; and the row that becomes of it.
    fn migrated(fields: Document) -> (Room, Document, Vec<FindingKind>) {
        let users = Ids::new((1..=4).map(|number| [number; 12]).collect());
        let mut row = doc! { "_id": ObjectId::from_bytes(ROOM), "created_at": DateTime::from_millis(1_000) };
        row.extend(fields);
        let (migrated, notes) = room(&row, ROOM, &users);
        let applied = change(&row, &migrated).unwrap().applied();
        let (again, notes_again) = room(&applied, ROOM, &users);
        assert_eq!((&again, &notes_again), (&migrated, &notes), "a second time it is something else");
        assert_eq!(change(&applied, &again).unwrap().statement(), None);
        (migrated, applied, notes.into_iter().map(|(kind, _)| kind).collect())
    }

    #[test]
    fn a_creator_becomes_the_owner_and_participants_become_members() {
        let (room, row, notes) = migrated(doc! {
            "name": "Garden",
            "creator_id": id(2).to_hex(),
            "participants": [id(3), id(2), id(3).to_hex(), id(1)],
        });
        assert_eq!((room.creator, &room.others[..], room.events()), (user(2), &[user(3), user(1)][..], 3));
        assert!(notes.is_empty());
        assert_eq!(row.get_object_id("creator_id").ok(), Some(id(2)));
        assert_eq!(row.get_str("creator_id_before").ok(), Some(id(2).to_hex().as_str()));
        assert_eq!(row.get_str("visibility").ok(), Some("public"));
        assert_eq!(row.get("visibility_before"), Some(&Bson::Null));
        assert_eq!(row.get_array("owners").ok(), Some(&vec![Bson::ObjectId(id(2))]));
        assert_eq!(row.get_array("participants").unwrap().len(), 4);
    }

    #[test]
    fn participants_may_be_a_document() {
        let (room, ..) = migrated(doc! {
            "name": "Garden", "creator_id": id(1), "participants": { "0": id(1), "2": id(4) },
        });
        assert_eq!(room.others, [user(4)]);
    }

    #[test]
    fn unknown_participants_are_dropped_and_an_unknown_creator_has_an_heir() {
        let (room, row, notes) = migrated(doc! {
            "name": "Garden", "creator_id": id(8), "participants": [id(7), id(3), "nobody", id(2), id(7)],
        });
        assert_eq!((room.creator, &room.others[..]), (user(3), &[user(2)][..]));
        use FindingKind::{ParticipantUnknown, RoomCreatorUnknown};
        assert_eq!(notes, [ParticipantUnknown, ParticipantUnknown, RoomCreatorUnknown]);
        assert_eq!(row.get_object_id("creator_id_before").ok(), Some(id(8)));
    }

    #[test]
    fn a_room_without_a_known_member_is_closed() {
        let (room, row, notes) = migrated(doc! { "name": "Garden", "creator_id": id(8) });
        assert_eq!((room.creator, room.member_count(), room.events()), (user(8), 0, 2));
        assert_eq!(notes, [FindingKind::RoomClosed]);
        assert_eq!(row.get_array("owners").ok(), Some(&Vec::new()));
        let (room, ..) = migrated(doc! { "name": "Garden", "participants": "all" });
        assert_eq!(room.creator, NOBODY);
    }

    #[test]
    fn names_are_made_fit() {
        let (room, row, notes) = migrated(doc! { "name": "  ", "creator_id": id(1) });
        assert_eq!(room.name, "room-090909");
        assert_eq!(row.get_str("name_before").ok(), Some("  "));
        assert_eq!(notes, [FindingKind::RoomName]);
        let (room, row, _) = migrated(doc! { "creator_id": id(1) });
        assert_eq!((room.name.as_str(), row.get("name_before")), ("room-090909", Some(&Bson::Null)));
    }
}
