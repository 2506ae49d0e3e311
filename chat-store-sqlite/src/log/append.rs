//! Appending entries to a log, and what they change: an event and the rows that follow from it are written together.

use chat_core::domain::{Draft, Entry, EntryBody, Event, Head, Member};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::{Append, Appended};
use rusqlite::Connection;

use super::entry_ids::RecentIds;
use super::read::key_and_head;
use crate::error::{Work, WorkError};
use crate::table::{conversations, entries, members};

/// Appends `drafts` behind `expected`; see the port for the contract.
pub(crate) fn append(
    connection: &Connection,
    conversation: ConversationId,
    expected: Head,
    drafts: &[Draft],
) -> Work<Append> {
    let Some((key, mut head)) = key_and_head(connection, conversation)? else {
        return Err(WorkError::damaged("append to an unknown conversation"));
    };
    if head != expected {
        return Ok(Append::Conflict(head));
    }
    let mut ids = RecentIds::read(connection, key, head.seq)?;
    let mut messages = connection.prepare_cached(entries::INSERT_MESSAGE)?;
    let mut appended = Vec::with_capacity(drafts.len());
    for draft in drafts {
        if let Some(seq) = ids.find(draft.id)? {
            appended.push(Appended::Duplicate(entries::at(connection, key, conversation, seq)?));
            continue;
        }
        let entry = draft.clone().at(conversation, head);
        match &entry.body {
            EntryBody::Message(message) => entries::insert_message(&mut messages, key, &entry, message)?,
            EntryBody::Event(event) => {
                entries::insert_event(connection, key, &entry, event)?;
                project(connection, &entry, event)?;
            }
        }
        ids.push(entry.id);
        head = entry.head();
        appended.push(Appended::New(entry));
    }
    ids.index_full_blocks(connection)?;
    Ok(Append::Done(appended))
}

fn project(connection: &Connection, entry: &Entry, event: &Event) -> Work<()> {
    if let Event::Updated { name, topic } = event {
        conversations::update(connection, entry.conversation, name.as_ref(), topic.as_ref())?;
    }
    match event.user() {
        Some(user) => project_member(connection, entry, event, user),
        None => Ok(()),
    }
}

/// Applies an event about `user` to their row.
fn project_member(connection: &Connection, entry: &Entry, event: &Event, user: UserId) -> Work<()> {
    let before = members::find(connection, entry.conversation, user)?;
    let was_joined = before.as_ref().is_some_and(Member::is_joined);
    let Some(after) = Member::after(before, user, entry.by, event, entry.seq) else { return Ok(()) };
    members::store(connection, entry.conversation, &after)?;
    let joined_more = i64::from(after.is_joined()) - i64::from(was_joined);
    conversations::add_members(connection, entry.conversation, joined_more)
}
