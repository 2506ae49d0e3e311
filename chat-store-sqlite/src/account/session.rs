//! The life of sessions: their tokens change, they end, and what is left of them goes in its time.

use std::time::Duration;

use chat_core::id::SessionId;
use chat_core::port::{Revocation, Rotation, SessionMatch, SessionTokens, TokenHash};
use chat_core::time::Timestamp;
use rusqlite::Connection;

use crate::error::Work;
use crate::table::{replaced_tokens, revocations, sessions};

/// How long revocations are kept.
const REVOCATIONS_KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Rows that one command removes, so that other writes do not wait long.
const REMOVED_AT_ONCE: i64 = 1_000;

/// The session that has or had this refresh token.
pub(crate) fn by_refresh(connection: &Connection, refresh: TokenHash) -> Work<Option<SessionMatch>> {
    if let Some(session) = sessions::by_refresh(connection, refresh)? {
        return Ok(Some(SessionMatch::Current(session)));
    }
    let Some((id, replaced_at)) = replaced_tokens::find(connection, refresh)? else { return Ok(None) };
    let session = sessions::by_id(connection, id)?;
    Ok(session.map(|session| SessionMatch::Replaced { session, replaced_at }))
}

/// Replaces the tokens of a session if its refresh token is `expected`.
pub(crate) fn rotate(
    connection: &Connection,
    session: SessionId,
    expected: TokenHash,
    tokens: &SessionTokens,
) -> Work<Rotation> {
    if !sessions::replace_tokens(connection, session, expected, tokens)? {
        return Ok(Rotation::Lost);
    }
    replaced_tokens::insert(connection, expected, session, tokens.issued_at)?;
    Ok(Rotation::Done)
}

/// Ends sessions and leaves a revocation for each that existed.
pub(crate) fn end(connection: &Connection, ending: &[SessionId], at: Timestamp) -> Work<Vec<Revocation>> {
    let mut ended = Vec::new();
    for session_id in ending {
        let Some(removed) = sessions::remove(connection, *session_id)? else { continue };
        let revocation = Revocation { session_id: *session_id, user_id: removed.user_id, ended_at: at };
        revocations::insert(connection, &revocation, removed.access, removed.refresh)?;
        ended.push(revocation);
    }
    Ok(ended)
}

/// Removes what is over, up to a bound; answers whether there may be more.
pub(crate) fn remove_expired(connection: &Connection, now: Timestamp) -> Work<bool> {
    let sessions = sessions::remove_expired(connection, now, REMOVED_AT_ONCE)?;
    let kept_from = now.minus(REVOCATIONS_KEPT);
    let revocations = revocations::remove_before(connection, kept_from, REMOVED_AT_ONCE)?;
    Ok(i64::try_from(sessions.max(revocations)).unwrap_or(i64::MAX) >= REMOVED_AT_ONCE)
}
