//! What is done to sessions while they live. How they end is in `revocation.rs`, their rows in `table/sessions.rs`.
//!
//! A row is `live` until its session ends; rows that are not are found by nothing here.
//!
//! A refresh token moves one way: it is a row's `refresh`, then with the next rotation its `previous.refresh`, and
//! before the rotation after that overwrites this, it is written to `replaced_tokens`. So whoever looks into the
//! three places in this order finds it, whatever is rotated meanwhile and wherever a rotation was cut off.

use chat_core::error::StoreError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{Rotation, Session, SessionMatch, SessionTokens, TokenHash};
use chat_core::time::Timestamp;
use mongodb::bson::{Document, doc};

use crate::server::database::Database;
use crate::server::error::unknown;
use crate::server::query::{find_one, find_page};
use crate::table::row::{Row, date, object_id};
use crate::table::schema::{REPLACED_TOKENS, SESSIONS};
use crate::table::sessions::{SessionRow, hash, new_row, token_fields};

/// Sessions of a user that are read at once.
const PAGE: usize = 1_000;

/// Stores a new session. One that is there already stays as it is.
pub(crate) async fn create(database: &Database, session: &Session) -> Result<(), StoreError> {
    let insert = doc! { "insert": SESSIONS, "documents": [new_row(session)] };
    match database.write(insert).await?.row_error {
        None => return Ok(()),
        Some(error) if error.is_duplicate() => {}
        Some(error) => return Err(error.refused(SESSIONS)),
    }
    // Its row, of an attempt or a call whose outcome was not known; unless the token is that of another session.
    let existing = database.row(find_one(SESSIONS, of(session.session_id))).await.map_err(unknown)?;
    existing.map(drop).ok_or_else(|| StoreError::corrupt("two sessions have one token"))
}

/// The session with this access token.
pub(crate) async fn by_access(database: &Database, access: TokenHash) -> Result<Option<Session>, StoreError> {
    Ok(find(database, doc! { "access": hash(access) }).await?.map(|row| row.session))
}

/// The session that has or had this refresh token.
pub(crate) async fn by_refresh(
    database: &Database,
    refresh: TokenHash,
) -> Result<Option<SessionMatch>, StoreError> {
    // One after the other, in the order in which a token moves.
    if let Some(row) = find(database, doc! { "refresh": hash(refresh) }).await? {
        return Ok(Some(SessionMatch::Current(row.session)));
    }
    if let Some(row) = find(database, doc! { "previous.refresh": hash(refresh) }).await?
        && let Some((_, replaced_at)) = row.previous
    {
        return Ok(Some(SessionMatch::Replaced { session: row.session, replaced_at }));
    }
    let replaced = database.row(find_one(REPLACED_TOKENS, doc! { "_id": hash(refresh) })).await?;
    let Some(replaced) = replaced else { return Ok(None) };
    let replaced = Row::new(REPLACED_TOKENS, &replaced);
    let replaced_at = replaced.time("replaced_at")?;
    let session = find(database, of(SessionId::from_bytes(replaced.id("session_id")?))).await?;
    Ok(session.map(|row| SessionMatch::Replaced { session: row.session, replaced_at }))
}

/// All sessions of a user, the longest unused first.
pub(crate) async fn of_user(database: &Database, user: UserId) -> Result<Vec<Session>, StoreError> {
    let mut sessions: Vec<Session> = Vec::new();
    loop {
        let mut filter = doc! { "live": true, "user_id": object_id(user.as_bytes()) };
        if let Some(last) = sessions.last() {
            filter.insert("_id", doc! { "$gt": object_id(last.session_id.as_bytes()) });
        }
        let mut find = find_page(SESSIONS, filter, doc! { "_id": 1 }, PAGE);
        // Or else a server might walk through all sessions in the order of their ids.
        find.insert("hint", "by_user");
        let page = database.rows(find).await?;
        for row in &page {
            sessions.push(SessionRow::read(row)?.session);
        }
        if page.len() < PAGE {
            sessions.sort_by_key(|session| session.last_used_at);
            return Ok(sessions);
        }
    }
}

/// Replaces the tokens of a session if its refresh token is `expected`.
pub(crate) async fn rotate(
    database: &Database,
    id: SessionId,
    expected: TokenHash,
    tokens: &SessionTokens,
) -> Result<Rotation, StoreError> {
    let Some(row) = find(database, of(id)).await? else { return Ok(Rotation::Lost) };
    if row.session.tokens.refresh != expected {
        return Ok(outcome_of(&row, tokens));
    }
    if let Some((previous, replaced_at)) = row.previous {
        keep_replaced(database, id, previous, replaced_at).await?;
    }
    // A token is had only once, so the row that still has `expected` is the row that was read.
    let mut filter = living(of(id));
    filter.insert("refresh", hash(expected));
    let mut change = token_fields(tokens, row.session.ends_at);
    change.insert("last_used_at", date(tokens.issued_at));
    change.insert("previous", doc! { "refresh": hash(expected), "replaced_at": date(tokens.issued_at) });
    if update(database, filter, change).await? {
        return Ok(Rotation::Done);
    }
    // Somebody was faster: another caller, or an attempt of this one whose reply was lost.
    if let Some(row) = find(database, of(id)).await.map_err(unknown)? {
        return Ok(outcome_of(&row, tokens));
    }
    // The session is over, and whoever has removed it may not have seen what was just written down.
    if let Some((previous, _)) = row.previous {
        forget_replaced(database, previous).await.map_err(unknown)?;
    }
    Ok(Rotation::Lost)
}

/// Sets the last use.
pub(crate) async fn touch(database: &Database, id: SessionId, at: Timestamp) -> Result<(), StoreError> {
    update(database, living(of(id)), doc! { "last_used_at": date(at) }).await.map(drop)
}

/// Writes down a replaced token for as long as its session is kept.
async fn keep_replaced(
    database: &Database,
    session: SessionId,
    refresh: TokenHash,
    replaced_at: Timestamp,
) -> Result<(), StoreError> {
    let row = doc! { "session_id": object_id(session.as_bytes()), "replaced_at": date(replaced_at) };
    let update = doc! { "q": { "_id": hash(refresh) }, "u": { "$setOnInsert": row }, "upsert": true };
    let reply = database.write(doc! { "update": REPLACED_TOKENS, "updates": [update] }).await?;
    match reply.row_error {
        Some(error) if !error.is_duplicate() => Err(error.refused(REPLACED_TOKENS)),
        _ => Ok(()),
    }
}

/// Removes a replaced token of a session that is over.
async fn forget_replaced(database: &Database, refresh: TokenHash) -> Result<(), StoreError> {
    let delete = doc! { "q": { "_id": hash(refresh) }, "limit": 1 };
    let reply = database.write(doc! { "delete": REPLACED_TOKENS, "deletes": [delete] }).await?;
    reply.row_error.map_or(Ok(()), |error| Err(error.refused(REPLACED_TOKENS)))
}

/// The living session that `filter` describes by a unique key.
async fn find(database: &Database, filter: Document) -> Result<Option<SessionRow>, StoreError> {
    let row = database.row(find_one(SESSIONS, living(filter))).await?;
    row.as_ref().map(SessionRow::read).transpose()
}

/// Sets fields of the row that `filter` describes; answers whether there is one.
async fn update(database: &Database, filter: Document, fields: Document) -> Result<bool, StoreError> {
    let update = doc! { "q": filter, "u": { "$set": fields } };
    let reply = database.write(doc! { "update": SESSIONS, "updates": [update] }).await?;
    match reply.row_error {
        None => Ok(reply.matched == 1),
        Some(error) => Err(error.refused(SESSIONS)),
    }
}

fn of(session: SessionId) -> Document {
    doc! { "_id": object_id(session.as_bytes()) }
}

fn living(mut filter: Document) -> Document {
    filter.insert("live", true);
    filter
}

/// What became of a rotation to `tokens`, which nobody else has: done if they are the session's.
fn outcome_of(row: &SessionRow, tokens: &SessionTokens) -> Rotation {
    let present = &row.session.tokens;
    let is_done = present.access == tokens.access && present.refresh == tokens.refresh;
    if is_done { Rotation::Done } else { Rotation::Lost }
}
