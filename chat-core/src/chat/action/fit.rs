//! Pages end at a number of bytes as well: what an answer holds fits into one frame.
//!
//! Bytes are those that are written, with the escapes of JSON, or more.

use crate::domain::{Entry, EntryBody};
use crate::limits::hard;
use crate::protocol::reply::escaped_bytes;

/// At most so many bytes of an encoded entry are not its content.
const ENVELOPE_BYTES: usize = 512;

/// At most so many bytes name and topic of a room take: no escape of theirs is longer than four.
const EVENT_BYTES: usize = 4 * (hard::ROOM_NAME_CHARACTERS + hard::TOPIC_CHARACTERS);

/// At most so many bytes an entry takes. The only control characters that a content can have are escaped with
/// two bytes, like quotes; a key has none.
pub(super) const LARGEST_ENTRY_BYTES: usize =
    ENVELOPE_BYTES + 2 * hard::CONTENT_BYTES + 4 * hard::CLIENT_ID_CHARACTERS;

const _: () = assert!(LARGEST_ENTRY_BYTES <= hard::PAGE_BYTES, "a page has at least one entry");
const _: () =
    assert!(ENVELOPE_BYTES + EVENT_BYTES <= LARGEST_ENTRY_BYTES, "events are smaller than messages");

/// Keeps the first entries that fit into `room`, and takes what they need from it; nothing is left if one did
/// not fit. Answers whether any was dropped.
pub(super) fn keep_first(entries: &mut Vec<Entry>, room: &mut usize) -> bool {
    let kept = fitting(entries.iter(), room);
    let is_cut = kept < entries.len();
    entries.truncate(kept);
    is_cut
}

/// Keeps the last entries that fit; else as [`keep_first`].
pub(super) fn keep_last(entries: &mut Vec<Entry>, room: &mut usize) -> bool {
    let dropped = entries.len() - fitting(entries.iter().rev(), room);
    entries.drain(..dropped);
    dropped > 0
}

fn fitting<'a>(entries: impl Iterator<Item = &'a Entry>, room: &mut usize) -> usize {
    let mut kept = 0;
    for entry in entries {
        let Some(left) = room.checked_sub(encoded_bytes(entry)) else {
            *room = 0;
            break;
        };
        *room = left;
        kept += 1;
    }
    kept
}

/// At most so many bytes an entry takes when it is encoded.
fn encoded_bytes(entry: &Entry) -> usize {
    match &entry.body {
        EntryBody::Message(message) => {
            let client_id = message.client_id.as_ref().map_or("", |client_id| client_id.as_str());
            ENVELOPE_BYTES + escaped_bytes(message.content.as_str()) + escaped_bytes(client_id)
        }
        EntryBody::Event(_) => ENVELOPE_BYTES + EVENT_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClientId, Content, Event, Message, MessageKind, Pair, RoomName, Seq, Topic};
    use crate::id::{ConversationId, EntryId, UserId};
    use crate::protocol::reply::MessageView;
    use crate::protocol::{EntryContext, entry_push};
    use crate::time::Timestamp;

    fn entry(by: UserId, body: EntryBody) -> Entry {
        let (conversation, id) = (ConversationId::generate(), EntryId::generate());
        let timestamp = Timestamp::default();
        Entry { conversation, seq: Seq::MAX, id, by, timestamp, messages_so_far: 1, body }
    }

    fn message(content: &str, client_id: &str) -> EntryBody {
        let client_id = Some(ClientId::new(client_id.repeat(hard::CLIENT_ID_CHARACTERS)).unwrap());
        EntryBody::Message(Message {
            content: Content::new(content).unwrap(),
            kind: MessageKind::Image,
            client_id,
        })
    }

    #[test]
    fn entries_take_no_more_bytes_than_is_counted() {
        let (by, other) = (UserId::generate(), UserId::generate());
        let context = EntryContext::Private(Pair::new(by, other).unwrap());
        for character in ["x", "\"", "\\", "\n", "\t", "字", "\u{2028}", "\u{10400}"] {
            let content = character.repeat(hard::CONTENT_BYTES / character.len());
            let client_id = if character.contains(char::is_control) { "\"" } else { character };
            let entry = entry(by, message(&content, client_id));
            let counted = encoded_bytes(&entry);
            let row = serde_json::to_vec(&MessageView::new(&entry, context)).unwrap();
            assert!(entry_push(&entry, context).len() < counted && row.len() < counted, "{character:?}");
            assert!(counted <= LARGEST_ENTRY_BYTES, "{character:?}");
        }
        for character in ["\"", "\u{10400}"] {
            let name = RoomName::new(character.repeat(hard::ROOM_NAME_CHARACTERS)).unwrap();
            let topic = Topic::new(character.repeat(hard::TOPIC_CHARACTERS)).unwrap();
            let event = Event::Updated { name: Some(name), topic: Some(topic) };
            let entry = entry(by, EntryBody::Event(event));
            assert!(entry_push(&entry, EntryContext::Room).len() < encoded_bytes(&entry));
        }
    }

    #[test]
    fn nothing_is_kept_behind_an_entry_that_does_not_fit() {
        let by = UserId::generate();
        let entries = ["x", &"x".repeat(hard::CONTENT_BYTES), "x"].map(|text| entry(by, message(text, "k")));
        let small = encoded_bytes(&entries[0]);
        let (mut kept, mut room) = (entries.to_vec(), 2 * small);
        assert!(keep_first(&mut kept, &mut room));
        assert_eq!((&kept[..], room), (&entries[..1], 0));
        let (mut kept, mut room) = (entries.to_vec(), 2 * small);
        assert!(keep_last(&mut kept, &mut room));
        assert_eq!((&kept[..], room), (&entries[2..], 0));
        let (mut kept, mut room) = (entries[..1].to_vec(), small - 1);
        assert!(keep_first(&mut kept, &mut room) && kept.is_empty());
    }
}
