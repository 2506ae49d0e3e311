//! The table `sessions`. What is left of sessions that ended is in `revocations`.

use chat_core::domain::DeviceName;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{Session, SessionTokens, TokenHash};
use chat_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::column::get;
use crate::error::Work;

/// What a session that was removed has left.
pub(crate) struct Removed {
    pub(crate) user_id: UserId,
    pub(crate) access: TokenHash,
    pub(crate) refresh: TokenHash,
}

macro_rules! select_sessions {
    ($rest:literal) => {
        concat!(
            "SELECT session_id, user_id, device, created_at, last_used_at, ends_at, access, access_expires_at, \
             refresh, refresh_expires_at, issued_at FROM sessions WHERE ",
            $rest
        )
    };
}

/// Adds a session. One that is there already stays as it is.
pub(crate) fn insert(connection: &Connection, session: &Session) -> Work<()> {
    let sql = "INSERT INTO sessions (session_id, user_id, device, created_at, last_used_at, ends_at, access,
                 access_expires_at, refresh, refresh_expires_at, issued_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (session_id) DO NOTHING";
    let tokens = &session.tokens;
    connection.prepare_cached(sql)?.execute(params![
        session.session_id.as_bytes(),
        session.user_id.as_bytes(),
        session.device.as_ref().map(DeviceName::as_str),
        session.created_at.unix_ms(),
        session.last_used_at.unix_ms(),
        session.ends_at.unix_ms(),
        tokens.access.0,
        tokens.access_expires_at.unix_ms(),
        tokens.refresh.0,
        tokens.refresh_expires_at.unix_ms(),
        tokens.issued_at.unix_ms(),
    ])?;
    Ok(())
}

/// The session with this access token.
pub(crate) fn by_access(connection: &Connection, access: TokenHash) -> Work<Option<Session>> {
    find(connection, select_sessions!("access = ?1"), [access.0])
}

/// The session with this refresh token.
pub(crate) fn by_refresh(connection: &Connection, refresh: TokenHash) -> Work<Option<Session>> {
    find(connection, select_sessions!("refresh = ?1"), [refresh.0])
}

/// The session with this id.
pub(crate) fn by_id(connection: &Connection, session: SessionId) -> Work<Option<Session>> {
    find(connection, select_sessions!("session_id = ?1"), [session.as_bytes()])
}

/// All sessions of a user, the longest unused first.
pub(crate) fn of_user(connection: &Connection, user: UserId) -> Work<Vec<Session>> {
    let sql = select_sessions!("user_id = ?1 ORDER BY last_used_at, session_id");
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([user.as_bytes()])?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        sessions.push(read_session(row)?);
    }
    Ok(sessions)
}

fn find(connection: &Connection, sql: &'static str, key: impl Params) -> Work<Option<Session>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(key)?;
    rows.next()?.map(read_session).transpose()
}

/// Replaces the tokens of a session if its refresh token is `expected`; answers whether it was.
pub(crate) fn replace_tokens(
    connection: &Connection,
    session: SessionId,
    expected: TokenHash,
    tokens: &SessionTokens,
) -> Work<bool> {
    let sql =
        "UPDATE sessions SET access = ?3, access_expires_at = ?4, refresh = ?5, refresh_expires_at = ?6,
                 issued_at = ?7, last_used_at = ?7 WHERE session_id = ?1 AND refresh = ?2";
    let replaced = connection.prepare_cached(sql)?.execute(params![
        session.as_bytes(),
        expected.0,
        tokens.access.0,
        tokens.access_expires_at.unix_ms(),
        tokens.refresh.0,
        tokens.refresh_expires_at.unix_ms(),
        tokens.issued_at.unix_ms(),
    ])?;
    Ok(replaced == 1)
}

pub(crate) fn touch(connection: &Connection, session: SessionId, at: Timestamp) -> Work<()> {
    let sql = "UPDATE sessions SET last_used_at = ?2 WHERE session_id = ?1";
    connection.prepare_cached(sql)?.execute(params![session.as_bytes(), at.unix_ms()])?;
    Ok(())
}

/// Removes a session, with the tokens that it had replaced.
pub(crate) fn remove(connection: &Connection, session: SessionId) -> Work<Option<Removed>> {
    let sql = "DELETE FROM sessions WHERE session_id = ?1 RETURNING user_id, access, refresh";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        Ok(Removed {
            user_id: UserId::from_bytes(row.get(0)?),
            access: TokenHash(row.get(1)?),
            refresh: TokenHash(row.get(2)?),
        })
    };
    Ok(statement.query_row([session.as_bytes()], read).optional()?)
}

/// Removes at most `limit` sessions that are over; answers how many.
pub(crate) fn remove_expired(connection: &Connection, now: Timestamp, limit: i64) -> Work<usize> {
    // The expression is that of the index.
    let sql = "DELETE FROM sessions WHERE session_id IN
        (SELECT session_id FROM sessions WHERE min(refresh_expires_at, ends_at) < ?1 LIMIT ?2)";
    Ok(connection.prepare_cached(sql)?.execute([now.unix_ms(), limit])?)
}

/// Reads a row of [`select_sessions`].
fn read_session(row: &Row<'_>) -> Work<Session> {
    Ok(Session {
        session_id: get(row, 0)?,
        user_id: get(row, 1)?,
        device: get::<Option<String>>(row, 2)?.map(DeviceName::from_stored).transpose()?,
        created_at: get(row, 3)?,
        last_used_at: get(row, 4)?,
        ends_at: get(row, 5)?,
        tokens: SessionTokens {
            access: get(row, 6)?,
            access_expires_at: get(row, 7)?,
            refresh: get(row, 8)?,
            refresh_expires_at: get(row, 9)?,
            issued_at: get(row, 10)?,
        },
    })
}
