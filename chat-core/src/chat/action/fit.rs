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
