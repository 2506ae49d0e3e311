//! Pages end at a number of bytes as well: what an answer holds fits into one frame.

use crate::domain::{Entry, EntryBody};

/// At most so many bytes of an encoded entry are not its content.
const ENVELOPE_BYTES: usize = 512;

/// Keeps the first entries that fit into `room`, at least one, and takes what they need from it.
/// Answers whether any was dropped.
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
        let bytes = encoded_bytes(entry);
        if bytes > *room && kept > 0 {
            *room = 0;
            break;
        }
        *room = room.saturating_sub(bytes);
        kept += 1;
    }
    kept
}

/// At most so many bytes an entry takes when it is encoded. JSON escapes double a character at most, as
/// contents have no control characters but line feed, carriage return and tab.
fn encoded_bytes(entry: &Entry) -> usize {
    match &entry.body {
        EntryBody::Message(message) => {
            let content = message.content.as_str();
            let escapes = content.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t'));
            let client_id = message.client_id.as_ref().map_or(0, |client_id| 2 * client_id.as_str().len());
            ENVELOPE_BYTES + content.len() + escapes.count() + client_id
        }
        // Name and topic of a room: up to 600 characters of up to four bytes.
        EntryBody::Event(_) => ENVELOPE_BYTES + 2_400,
    }
}
