//! Reads a migrated database back before it is declared to be one: every row as the store will read it, every log
//! from 1 to its end, and nothing lost between what was counted and what is there.

use chat_core::domain::{Entry, EntryBody};
use chat_core::error::StoreError;
use mongodb::bson::{Bson, Document, doc};

use crate::migrate_php::engine::link::{BY_ID, Scan};
use crate::migrate_php::engine::work::Work;
use crate::migrate_php::report::MigrationError;
use crate::migrate_php::rows::chat::MERGED_INTO;
use crate::migrate_php::rows::message::UNPLACED;
use crate::table::accounts::read_stored_account;
use crate::table::conversations::ConversationRow;
use crate::table::entries::read_entry;
use crate::table::members::MemberRow;
use crate::table::row::Row;
use crate::table::schema::{CHATS, MEMBERS, MESSAGES, ROOMS, USERS};

/// The order of logs.
const LOG: &[&str] = &["conversation", "seq"];

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    users: u64,
    rooms: u64,
    closed_rooms: u64,
    conversations_of_two: u64,
    joined: u64,
    originals: u64,
    further_parts: u64,
    events: u64,
    unplaced: u64,
}

/// Checks everything.
pub(crate) async fn check(work: &mut Work<'_>) -> Result<(), MigrationError> {
    let counts = work.checkpoint.counts;
    let mut seen = Seen::default();
    refuse_newcomers(work).await?;
    check_rows(work, &mut seen).await?;
    check_logs(work, &mut seen).await?;

    let expected = Seen {
        users: counts.users,
        rooms: counts.rooms,
        closed_rooms: counts.closed_rooms,
        conversations_of_two: counts.conversations_of_two,
        joined: counts.room_members + 2 * counts.conversations_of_two,
        originals: counts.placed,
        further_parts: counts.further_parts,
        // One for each member and room, but one for each chat.
        events: counts.room_members + 2 * counts.closed_rooms + counts.conversations_of_two,
        unplaced: counts.unplaced,
    };
    if seen.users != expected.users {
        return Err(MigrationError::Disturbed(USERS));
    }
    if seen != expected || counts.messages != counts.placed + counts.unplaced {
        return Err(MigrationError::Check(format!("there should be {expected:?}, and there is {seen:?}")));
    }
    Ok(())
}

/// Whether there are users or messages that came after their phase.
pub(crate) async fn refuse_newcomers(work: &Work<'_>) -> Result<(), MigrationError> {
    for (collection, field) in [(MESSAGES, "conversation"), (USERS, "username_folded")] {
        let filter = doc! { field: { "$exists": false } };
        let find = doc! { "find": collection, "filter": filter, "projection": { "_id": 1 }, "limit": 1, "singleBatch": true };
        if !work.link.rows(find).await?.is_empty() {
            return Err(MigrationError::Disturbed(collection));
        }
    }
    Ok(())
}

/// Users, conversations and members.
async fn check_rows(work: &mut Work<'_>, seen: &mut Seen) -> Result<(), MigrationError> {
    for collection in [USERS, ROOMS, CHATS, MEMBERS] {
        let hidden = doc! { "participants": 0, "token": 0 };
        let mut scan = Scan::all_fields(&work.link, collection, BY_ID, hidden).rows(work.page_rows);
        loop {
            let rows = scan.next().await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let outcome = match collection {
                    USERS => check_user(row, seen),
                    ROOMS => check_room(row, seen),
                    CHATS => check_chat(row, seen),
                    _ => check_member(row, seen),
                };
                outcome.map_err(|error| damaged(collection, row, &error))?;
            }
            work.tell(0, work.checkpoint.counts.messages)?;
        }
    }
    Ok(())
}

/// A row without what its phase gives it has come after that phase.
fn damaged(collection: &'static str, row: &Document, error: &StoreError) -> MigrationError {
    let given = match collection {
        USERS => "username_folded",
        ROOMS => "entry_id",
        CHATS if row.contains_key(MERGED_INTO) => MERGED_INTO,
        CHATS => "entry_id",
        _ => "_id",
    };
    if row.contains_key(given) {
        MigrationError::Check(error.to_string())
    } else {
        MigrationError::Disturbed(collection)
    }
}

fn check_user(row: &Document, seen: &mut Seen) -> Result<(), StoreError> {
    seen.users += 1;
    read_stored_account(row).map(drop)
}

fn check_room(row: &Document, seen: &mut Seen) -> Result<(), StoreError> {
    let room = ConversationRow::read_room(row)?;
    seen.rooms += 1;
    seen.closed_rooms += u64::from(room.conversation.is_closed());
    check_complete(ROOMS, row, &room)
}

fn check_chat(row: &Document, seen: &mut Seen) -> Result<(), StoreError> {
    if row.contains_key(MERGED_INTO) {
        return Ok(());
    }
    seen.conversations_of_two += 1;
    check_complete(CHATS, row, &ConversationRow::read_chat(row)?)
}

fn check_complete(
    collection: &'static str,
    row: &Document,
    read: &ConversationRow,
) -> Result<(), StoreError> {
    let is_complete = read.projected_seq > chat_core::domain::Seq::ZERO;
    if is_complete { Ok(()) } else { Err(Row::new(collection, row).damaged("projected_seq")) }
}

fn check_member(row: &Document, seen: &mut Seen) -> Result<(), StoreError> {
    seen.joined += u64::from(MemberRow::read(row)?.is_joined());
    Ok(())
}

/// Every log, and those without a place.
async fn check_logs(work: &mut Work<'_>, seen: &mut Seen) -> Result<(), MigrationError> {
    let total = work.link.roughly(MESSAGES).await?;
    let hidden = doc! { "content_before": 0 };
    let mut scan = Scan::all_fields(&work.link, MESSAGES, LOG, hidden).rows(work.page_rows);
    let mut last: Option<Entry> = None;
    let mut done = 0;
    loop {
        let rows = scan.next().await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            if matches!(row.get("conversation"), Some(Bson::Null)) && row.contains_key(UNPLACED) {
                seen.unplaced += 1;
                continue;
            }
            let entry = read_entry(row).map_err(|error| MigrationError::Check(error.to_string()))?;
            check_follows(last.as_ref(), &entry)?;
            match (&entry.body, row.contains_key("split_of")) {
                (EntryBody::Event(_), _) => seen.events += 1,
                (EntryBody::Message(_), true) => seen.further_parts += 1,
                (EntryBody::Message(_), false) => seen.originals += 1,
            }
            last = Some(entry);
        }
        done += rows.len() as u64;
        work.tell(done, total)?;
    }
}

/// An entry has the number after the one before it, and counts the messages up to itself.
fn check_follows(before: Option<&Entry>, entry: &Entry) -> Result<(), MigrationError> {
    let head = before
        .filter(|before| before.conversation == entry.conversation)
        .map(Entry::head)
        .unwrap_or_default();
    let messages = head.messages + u64::from(entry.body.is_message());
    if entry.seq == head.seq.next() && entry.messages_so_far == messages {
        return Ok(());
    }
    let (seq, conversation, last) = (entry.seq, entry.conversation, head.seq);
    Err(MigrationError::Check(format!("in the log of {conversation} the entry {seq} follows {last}")))
}
