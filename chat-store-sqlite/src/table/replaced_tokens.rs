//! The table `replaced_tokens`: refresh tokens that sessions had before. They go with their session.

use chat_core::id::SessionId;
use chat_core::port::TokenHash;
use chat_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::column::get;
use crate::error::Work;

/// Notes that a session's refresh token was replaced.
pub(crate) fn insert(
    connection: &Connection,
    refresh: TokenHash,
    session: SessionId,
    at: Timestamp,
) -> Work<()> {
    let sql = "INSERT OR REPLACE INTO replaced_tokens (refresh, session_id, replaced_at) VALUES (?1, ?2, ?3)";
    let row = params![refresh.0, session.as_bytes(), at.unix_ms()];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Whose token it was, and until when.
pub(crate) fn find(connection: &Connection, refresh: TokenHash) -> Work<Option<(SessionId, Timestamp)>> {
    let sql = "SELECT session_id, replaced_at FROM replaced_tokens WHERE refresh = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([refresh.0])?;
    rows.next()?.map(|row| Ok((get(row, 0)?, get(row, 1)?))).transpose()
}
