//! Sessions, the refresh tokens that they had, and what is left of those that ended.

use std::time::Duration;

use chat_core::domain::DeviceName;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{Revocation, Rotation, Session, SessionMatch, SessionTokens, TokenHash};
use chat_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::column::get;
use crate::error::Work;

/// How long revocations are kept.
const REVOCATIONS_KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Rows that one command removes, so that other writes do not wait long.
const REMOVED_AT_ONCE: i64 = 1_000;

macro_rules! select_sessions {
    ($rest:literal) => {
        concat!(
            "SELECT session_id, user_id, device, created_at, last_used_at, ends_at, access, access_expires_at, \
             refresh, refresh_expires_at, issued_at FROM sessions WHERE ",
            $rest
        )
    };
}

/// Stores a new session. One that is there already stays as it is.
pub(crate) fn create(connection: &Connection, session: &Session) -> Work<()> {
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

/// The session that has or had this refresh token.
pub(crate) fn by_refresh(connection: &Connection, refresh: TokenHash) -> Work<Option<SessionMatch>> {
    if let Some(session) = find(connection, select_sessions!("refresh = ?1"), [refresh.0])? {
        return Ok(Some(SessionMatch::Current(session)));
    }
    let sql = "SELECT session_id, replaced_at FROM replaced_tokens WHERE refresh = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([refresh.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (id, replaced_at) = (get::<SessionId>(row, 0)?, get(row, 1)?);
    let session = find(connection, select_sessions!("session_id = ?1"), [id.as_bytes()])?;
    Ok(session.map(|session| SessionMatch::Replaced { session, replaced_at }))
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

/// Replaces the tokens of a session if its refresh token is `expected`.
pub(crate) fn rotate(
    connection: &Connection,
    session: SessionId,
    expected: TokenHash,
    tokens: &SessionTokens,
) -> Work<Rotation> {
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
    if replaced == 0 {
        return Ok(Rotation::Lost);
    }
    let sql = "INSERT OR REPLACE INTO replaced_tokens (refresh, session_id, replaced_at) VALUES (?1, ?2, ?3)";
    let row = params![expected.0, session.as_bytes(), tokens.issued_at.unix_ms()];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(Rotation::Done)
}

pub(crate) fn touch(connection: &Connection, session: SessionId, at: Timestamp) -> Work<()> {
    let sql = "UPDATE sessions SET last_used_at = ?2 WHERE session_id = ?1";
    connection.prepare_cached(sql)?.execute(params![session.as_bytes(), at.unix_ms()])?;
    Ok(())
}

/// Ends sessions and leaves a revocation for each that existed.
pub(crate) fn end(connection: &Connection, sessions: &[SessionId], at: Timestamp) -> Work<Vec<Revocation>> {
    let mut revocations = Vec::new();
    for session_id in sessions {
        let sql = "DELETE FROM sessions WHERE session_id = ?1 RETURNING user_id, access, refresh";
        let mut statement = connection.prepare_cached(sql)?;
        let read = |row: &Row<'_>| {
            Ok((row.get::<_, [u8; 12]>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, [u8; 32]>(2)?))
        };
        let ended = statement.query_row([session_id.as_bytes()], read).optional()?;
        let Some((user_id, access, refresh)) = ended else { continue };
        let sql = "INSERT OR REPLACE INTO revocations (session_id, user_id, ended_at, access, refresh)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = params![session_id.as_bytes(), user_id, at.unix_ms(), access, refresh];
        connection.prepare_cached(sql)?.execute(row)?;
        let user_id = UserId::from_bytes(user_id);
        revocations.push(Revocation { session_id: *session_id, user_id, ended_at: at });
    }
    Ok(revocations)
}

/// The revocations from `since` on, the oldest first.
pub(crate) fn revocations_since(connection: &Connection, since: Timestamp) -> Work<Vec<Revocation>> {
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
pub(crate) fn was_ended(connection: &Connection, token: TokenHash) -> Work<bool> {
    let sql = "SELECT 1 FROM revocations WHERE access = ?1 OR refresh = ?1";
    Ok(connection.prepare_cached(sql)?.exists([token.0])?)
}

/// Removes what is over, up to a bound; answers whether there may be more.
pub(crate) fn remove_expired(connection: &Connection, now: Timestamp) -> Work<bool> {
    // The expression is that of the index.
    let sessions = "DELETE FROM sessions WHERE session_id IN
        (SELECT session_id FROM sessions WHERE min(refresh_expires_at, ends_at) < ?1 LIMIT ?2)";
    let revocations = "DELETE FROM revocations WHERE session_id IN
        (SELECT session_id FROM revocations WHERE ended_at < ?1 LIMIT ?2)";
    let kept_from = now.minus(REVOCATIONS_KEPT);
    let mut may_be_more = false;
    for (sql, before) in [(sessions, now), (revocations, kept_from)] {
        let removed = connection.prepare_cached(sql)?.execute([before.unix_ms(), REMOVED_AT_ONCE])?;
        may_be_more |= i64::try_from(removed).unwrap_or(i64::MAX) >= REMOVED_AT_ONCE;
    }
    Ok(may_be_more)
}

/// Reads a row of [`select_sessions`].
fn read_session(row: &Row<'_>) -> Work<Session> {
    Ok(Session {
        session_id: get(row, 0)?,
        user_id: get(row, 1)?,
        device: get::<Option<String>>(row, 2)?.map(DeviceName::new).transpose()?,
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
