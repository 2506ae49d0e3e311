//! Names that were stored when names folded less get the keys that they have now. Done once, when a database is opened.
//!
//! An account whose new key another one has keeps its old one, by which it is found as before. Keys that no name
//! folds to (see `migrate_php`) stay.

use chat_core::domain::case_folded;
use mongodb::bson::{Bson, Document, doc};

use super::{acknowledged, ask_durably, meta_row, rows};
use crate::server::database::Database;
use crate::server::error::OpenError;
use crate::server::reply::WriteReply;
use crate::table::accounts::DISPLACED;
use crate::table::schema::{META, NAME_KEYS_ROW, USERS};

/// The rule by which the keys of all names are made, as [`NAME_KEYS_ROW`] says it: full case folding.
const RULE: i64 = 2;
/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// Gives every name the key of today's rule, unless that was done.
pub(crate) async fn renew(database: &Database) -> Result<(), OpenError> {
    if meta_row(database, NAME_KEYS_ROW).await?.is_some() {
        return Ok(());
    }
    let mut after = Bson::MinKey;
    loop {
        // Letters of ASCII fold as before.
        let filter = doc! { "_id": { "$gt": after }, "username_folded": { "$regex": r"[^\x00-\x7F]" } };
        let find = doc! {
            "find": USERS,
            "filter": filter,
            "sort": { "_id": 1 },
            "projection": { "username_folded": 1 },
            "limit": PAGE,
            "singleBatch": true,
            "batchSize": PAGE,
        };
        let page = rows(database, find).await?;
        let Some(last) = page.last().and_then(|row| row.get("_id")) else { break };
        after = last.clone();
        for row in &page {
            renew_one(database, row).await?;
        }
    }
    let done = doc! { "q": { "_id": NAME_KEYS_ROW }, "u": { "$set": { "value": RULE } }, "upsert": true };
    acknowledged(&ask_durably(database, doc! { "update": META, "updates": [done] }).await?)
}

async fn renew_one(database: &Database, row: &Document) -> Result<(), OpenError> {
    let (Some(id), Ok(old)) = (row.get("_id"), row.get_str("username_folded")) else { return Ok(()) };
    let new = case_folded(old);
    if old.starts_with(DISPLACED) || new == old {
        return Ok(());
    }
    let update =
        doc! { "q": { "_id": id, "username_folded": old }, "u": { "$set": { "username_folded": new } } };
    let reply = ask_durably(database, doc! { "update": USERS, "updates": [update] }).await?;
    if WriteReply::read(&reply).row_error.is_some_and(|error| error.is_duplicate()) {
        return Ok(());
    }
    acknowledged(&reply)
}
