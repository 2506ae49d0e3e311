//! Finding public rooms by part of their name.

use chat_core::domain::Conversation;
use chat_core::port::RoomQuery;
use rusqlite::Connection;

use crate::error::Work;
use crate::log::conversation;
use crate::table::conversations;

/// A page of public rooms by part of their name.
pub(crate) fn discover(connection: &Connection, query: &RoomQuery) -> Work<Vec<Conversation>> {
    let mut found = Vec::new();
    for id in conversations::public_with(connection, &query.text, query.after, query.limit)? {
        found.extend(conversation::conversation(connection, id)?);
    }
    Ok(found)
}
