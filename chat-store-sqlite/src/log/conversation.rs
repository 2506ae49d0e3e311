//! A conversation at the head of its log, and how one begins.

use chat_core::domain::{Conversation, ConversationKind, Draft, EntryBody, Event, Head, Member, Role};
use chat_core::id::ConversationId;
use chat_core::port::{Creation, NewConversation};
use rusqlite::Connection;

use crate::error::{Work, WorkError};
use crate::table::column::{LogKey, integer};
use crate::table::conversations::{self, ConversationRow};
use crate::table::{entries, members};

/// A conversation with the key of its log.
pub(crate) struct Stored {
    pub(crate) key: LogKey,
    pub(crate) conversation: Conversation,
}

/// Creates a conversation; see the port for the contract.
pub(crate) fn create(connection: &Connection, new: &NewConversation) -> Work<Creation> {
    if let Some(existing) = existing(connection, new)? {
        return Ok(Creation::Existing(existing.conversation));
    }
    let key = conversations::insert(connection, new)?;
    let draft = Draft {
        id: new.entry_id,
        by: new.created_by,
        timestamp: new.created_at,
        body: EntryBody::Event(Event::Created),
    };
    let first = draft.at(new.id, Head::default());
    entries::insert_event(connection, key, &first, &Event::Created)?;
    let first_members = match &new.kind {
        ConversationKind::Room { .. } => vec![(new.created_by, Role::Owner)],
        ConversationKind::Private(pair) => pair.users().map(|user| (user, Role::Member)).to_vec(),
    };
    for (user, role) in &first_members {
        members::store(connection, new.id, &Member::by_creation(*user, *role, first.seq))?;
    }
    conversations::add_members(connection, new.id, integer(first_members.len() as u64))?;
    let created = load(connection, new.id)?;
    created
        .map(|created| Creation::New(created.conversation))
        .ok_or_else(|| WorkError::damaged("a new conversation is not found"))
}

/// The conversation that is already there instead of the new one.
fn existing(connection: &Connection, new: &NewConversation) -> Work<Option<Stored>> {
    if let ConversationKind::Private(pair) = &new.kind
        && let Some(row) = conversations::of_pair(connection, pair)?
    {
        return at_head(connection, row).map(Some);
    }
    load(connection, new.id)
}

/// The conversation at its head.
pub(crate) fn conversation(connection: &Connection, id: ConversationId) -> Work<Option<Conversation>> {
    Ok(load(connection, id)?.map(|stored| stored.conversation))
}

/// A page of all conversations.
pub(crate) fn all(
    connection: &Connection,
    after: Option<ConversationId>,
    limit: u32,
) -> Work<Vec<Conversation>> {
    let rows = conversations::page(connection, after, limit)?;
    rows.into_iter().map(|row| Ok(at_head(connection, row)?.conversation)).collect()
}

/// The conversation at its head, with the key of its log.
pub(crate) fn load(connection: &Connection, id: ConversationId) -> Work<Option<Stored>> {
    conversations::find(connection, id)?.map(|row| at_head(connection, row)).transpose()
}

/// Adds to a row what belongs to it.
fn at_head(connection: &Connection, row: ConversationRow) -> Work<Stored> {
    let conversation = Conversation {
        id: row.id,
        kind: row.kind,
        created_by: row.created_by,
        created_at: row.created_at,
        head: entries::head(connection, row.key)?,
        member_count: row.member_count,
        owners: members::owners(connection, row.id)?,
    };
    Ok(Stored { key: row.key, conversation })
}
