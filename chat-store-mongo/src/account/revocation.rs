//! How sessions end.
//!
//! A session ends by one write to its own row, which is its revocation from then on: `live` goes, `ended_at` comes,
//! and the tokens stay what they were. So nothing can happen in between. A rotation comes before it, and the row
//! keeps the new tokens; or after it, and finds no living row. Of two callers one finds the row living. A row that is
//! inserted a second time, by an attempt that arrives late, meets the row that is there and brings no session back.
//!
//! Rows go when nobody asks for them any more, by `kept_until`: those of sessions whose time is over at once, those
//! that were ended two days later.

use std::time::Duration;

use chat_core::error::StoreError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{Revocation, TokenHash};
use chat_core::time::Timestamp;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::server::database::Database;
use crate::server::error::unknown;
use crate::server::query::find_page;
use crate::table::row::{Row, date, object_id};
use crate::table::schema::{REPLACED_TOKENS, SESSIONS};
use crate::table::sessions::hash;

/// How long revocations are kept.
const REVOCATIONS_KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Sessions that one command ends, and revocations that one reads.
const PAGE: usize = 1_000;
/// Sessions that are removed together.
const REMOVED_AT_ONCE: usize = 100;
/// Replaced tokens that one command removes, so that none takes long.
const TOKENS_REMOVED_AT_ONCE: usize = 1_000;

/// Ends sessions; answers those that this call has ended.
pub(crate) async fn end(
    database: &Database,
    sessions: &[SessionId],
    at: Timestamp,
) -> Result<Vec<Revocation>, StoreError> {
    let mut revocations = Vec::new();
    for sessions in sessions.chunks(PAGE) {
        let ids: Vec<_> = sessions.iter().map(|session| object_id(session.as_bytes())).collect();
        // Tells what this call has ended, in whichever attempt, from what others have.
        let ending = ObjectId::new();
        let change = doc! {
            "live": false,
            "ended_at": date(at),
            "kept_until": date(at.plus(REVOCATIONS_KEPT)),
            "ending": ending,
        };
        let filter = doc! { "_id": { "$in": &ids }, "live": true };
        update_all(database, filter, change).await?;
        let filter = doc! { "_id": { "$in": &ids }, "ending": ending };
        let ended = find_page(SESSIONS, filter, doc! { "_id": 1 }, PAGE);
        for row in &database.rows(ended).await.map_err(unknown)? {
            revocations.push(read_revocation(row)?);
        }
    }
    Ok(revocations)
}

/// The revocations from `since` on, the oldest first.
pub(crate) async fn since(database: &Database, since: Timestamp) -> Result<Vec<Revocation>, StoreError> {
    let mut revocations: Vec<Revocation> = Vec::new();
    let mut filter = doc! { "ended_at": { "$gte": date(since) } };
    loop {
        let mut find = find_page(SESSIONS, filter, doc! { "ended_at": 1, "_id": 1 }, PAGE);
        find.insert("projection", doc! { "user_id": 1, "ended_at": 1 });
        let page = database.rows(find).await?;
        for row in &page {
            revocations.push(read_revocation(row)?);
        }
        let Some(last) = revocations.last().filter(|_| page.len() == PAGE) else { return Ok(revocations) };
        let (ended_at, id) = (date(last.ended_at), object_id(last.session_id.as_bytes()));
        filter = doc! { "$or": [
            { "ended_at": ended_at, "_id": { "$gt": id } },
            { "ended_at": { "$gt": ended_at } },
        ] };
    }
}

/// Whether a session ended while it had this access or refresh token.
pub(crate) async fn was_ended(database: &Database, token: TokenHash) -> Result<bool, StoreError> {
    let filter = doc! { "$or": [{ "access": hash(token) }, { "refresh": hash(token) }] };
    let find =
        doc! { "find": SESSIONS, "filter": filter, "projection": { "ended_at": 1 }, "singleBatch": true };
    let rows = database.rows(find).await?;
    let ended_at = |row| Row::new(SESSIONS, row).optional_time("ended_at");
    Ok(rows.iter().map(ended_at).collect::<Result<Vec<_>, _>>()?.iter().any(Option::is_some))
}

/// Removes rows that are kept no longer.
pub(crate) async fn remove_expired(database: &Database, now: Timestamp) -> Result<(), StoreError> {
    let is_over = doc! { "kept_until": { "$lt": date(now) } };
    loop {
        let mut find = find_page(SESSIONS, is_over.clone(), doc! { "kept_until": 1 }, REMOVED_AT_ONCE);
        find.insert("projection", doc! { "_id": 1 });
        let ids = ids(database.rows(find).await?);
        if ids.is_empty() {
            return Ok(());
        }
        remove(database, ids, &is_over).await?;
    }
}

/// Removes those of these sessions that are over, and the tokens that they had.
async fn remove(database: &Database, ids: Vec<Bson>, is_over: &Document) -> Result<(), StoreError> {
    let mut filter = doc! { "_id": { "$in": ids } };
    filter.extend(is_over.clone());
    // With a rotation in this moment a session goes on; but with none after this.
    update_all(database, filter.clone(), doc! { "live": false }).await?;
    let mut find = find_page(SESSIONS, filter, doc! { "_id": 1 }, REMOVED_AT_ONCE);
    find.insert("projection", doc! { "_id": 1 });
    let over = self::ids(database.rows(find).await?);
    // The sessions last: what a crash leaves is found by them.
    loop {
        let had = doc! { "session_id": { "$in": &over } };
        let mut find =
            find_page(REPLACED_TOKENS, had, doc! { "session_id": 1, "_id": 1 }, TOKENS_REMOVED_AT_ONCE);
        find.insert("projection", doc! { "_id": 1 });
        let tokens = self::ids(database.rows(find).await?);
        if tokens.is_empty() {
            break;
        }
        delete(database, REPLACED_TOKENS, tokens).await?;
    }
    delete(database, SESSIONS, over).await
}

async fn update_all(database: &Database, filter: Document, fields: Document) -> Result<(), StoreError> {
    let update = doc! { "q": filter, "u": { "$set": fields }, "multi": true };
    let reply = database.write(doc! { "update": SESSIONS, "updates": [update] }).await?;
    reply.row_error.map_or(Ok(()), |error| Err(error.refused(SESSIONS)))
}

async fn delete(database: &Database, collection: &'static str, ids: Vec<Bson>) -> Result<(), StoreError> {
    let delete = doc! { "q": { "_id": { "$in": ids } }, "limit": 0 };
    let reply = database.write(doc! { "delete": collection, "deletes": [delete] }).await?;
    reply.row_error.map_or(Ok(()), |error| Err(error.refused(collection)))
}

fn ids(rows: Vec<Document>) -> Vec<Bson> {
    rows.into_iter().filter_map(|mut row| row.remove("_id")).collect()
}

fn read_revocation(fields: &Document) -> Result<Revocation, StoreError> {
    let row = Row::new(SESSIONS, fields);
    Ok(Revocation {
        session_id: SessionId::from_bytes(row.id("_id")?),
        user_id: UserId::from_bytes(row.id("user_id")?),
        ended_at: row.time("ended_at")?,
    })
}
