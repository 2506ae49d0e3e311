//! Who shares a conversation with whom.

use std::collections::HashSet;

use chat_core::id::UserId;
use rusqlite::Connection;

use crate::error::Work;
use crate::table::members;

/// Those of `others` who are joined in a conversation in which `user` is joined.
pub(crate) fn sharing(connection: &Connection, user: UserId, others: Vec<UserId>) -> Work<Vec<UserId>> {
    let mut mine = HashSet::new();
    members::any_joined(connection, user, |conversation| {
        mine.insert(conversation);
        false
    })?;
    let mut sharing = Vec::new();
    for other in others {
        if members::any_joined(connection, other, |conversation| mine.contains(&conversation))? {
            sharing.push(other);
        }
    }
    Ok(sharing)
}
