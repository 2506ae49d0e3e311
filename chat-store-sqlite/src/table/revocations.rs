//! The table `revocations`: what is left of sessions that ended.

use chat_core::port::{Revocation, TokenHash};
use chat_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::column::get;
use crate::error::Work;

/// Notes that a session ended, with the tokens that it had.
pub(crate) fn insert(
    connection: &Connection,
    revocation: &Revocation,
    access: TokenHash,
    refresh: TokenHash,
) -> Work<()> {
    let sql = "INSERT OR REPLACE INTO revocations (session_id, user_id, ended_at, access, refresh)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = params![
        revocation.session_id.as_bytes(),
        revocation.user_id.as_bytes(),
        revocation.ended_at.unix_ms(),
        access.0,
        refresh.0
    ];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The revocations from `since` on, the oldest first.
pub(crate) fn since(connection: &Connection, since: Timestamp) -> Work<Vec<Revocation>> {
    let sql = "SELECT session_id, user_id, ended_at FROM revocations WHERE ended_at >= ?1 ORDER BY ended_at";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([since.unix_ms()])?;
    let mut revocations = Vec::new();
    while let Some(row) = rows.next()? {
        let (session_id, user_id, ended_at) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        revocations.push(Revocation { session_id, user_id, ended_at });
    }
    Ok(revocations)
}

/// Whether a session ended while it had this access or refresh token.
pub(crate) fn has_token(connection: &Connection, token: TokenHash) -> Work<bool> {
    let sql = "SELECT 1 FROM revocations WHERE access = ?1 OR refresh = ?1";
    Ok(connection.prepare_cached(sql)?.exists([token.0])?)
}

/// Removes at most `limit` of those before `kept_from`; answers how many.
pub(crate) fn remove_before(connection: &Connection, kept_from: Timestamp, limit: i64) -> Work<usize> {
    let sql = "DELETE FROM revocations WHERE session_id IN
        (SELECT session_id FROM revocations WHERE ended_at < ?1 LIMIT ?2)";
    Ok(connection.prepare_cached(sql)?.execute([kept_from.unix_ms(), limit])?)
}
