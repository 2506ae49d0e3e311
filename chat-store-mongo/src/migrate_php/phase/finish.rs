//! Clears away what only going back needs: fields of the PHP chat, values that were replaced, rows of chats that
//! were merged. Messages without a place go only if that is wanted.
//!
//! Every step can be repeated, so an interruption needs nothing but another run.

use mongodb::bson::{Bson, Document, doc};

use crate::migrate_php::engine::change::before;
use crate::migrate_php::engine::link::{BY_ID, Link, Scan};
use crate::migrate_php::engine::work::FINDINGS;
use crate::migrate_php::report::{MigrationError, Observer, Phase, Progress};
use crate::migrate_php::rows::chat::{FROM_MESSAGES, MERGED_INTO};
use crate::migrate_php::rows::message::UNPLACED;
use crate::table::schema::{CHATS, MESSAGES, META, MIGRATION_ROW, ROOMS, USERS};

/// What becomes of messages without a place, and of private chats that are no conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplaced {
    /// They stay in the database, where nobody sees them.
    Keep,
    /// They are removed for ever.
    Discard,
}

/// What was cleared away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Finished {
    /// Rows from which fields were removed.
    pub rows: u64,
    /// Rows of private chats that are no conversation of their own and are removed.
    pub chats: u64,
    /// Messages without a place that are removed.
    pub discarded: u64,
    /// Messages without a place that stay.
    pub kept: u64,
}

/// Fields of the PHP chat that were replaced in some rows.
pub(crate) fn replaced_fields(collection: &str) -> &'static [&'static str] {
    match collection {
        USERS => &[
            "username",
            "email",
            "created_at",
            "last_login",
            "display_name",
            "disabled",
            "password",
            "last_seen",
            "password_hash",
            "username_folded",
            "username_skeleton",
            "changed",
        ],
        ROOMS => &[
            "name",
            "topic",
            "creator_id",
            "created_at",
            "name_folded",
            "visibility",
            "owners",
            "entry_id",
            "projected_seq",
            "member_count",
        ],
        CHATS => &[
            "user1_id",
            "user2_id",
            "created_at",
            "pair",
            "created_by",
            "entry_id",
            "projected_seq",
            "member_count",
            "merged_into",
        ],
        _ => &[
            "sender_id",
            "content",
            "timestamp",
            "type",
            "event",
            "client_id",
            "conversation",
            "unplaced",
            "seq",
            "messages_so_far",
            "split_of",
            "part",
        ],
    }
}

/// Fields of the PHP chat that nothing reads any more, and those of values that were replaced.
fn old_fields(collection: &str) -> Vec<String> {
    let plain: &[&str] = match collection {
        USERS => &["password", "token", "status"],
        ROOMS => &["participants"],
        CHATS => &[FROM_MESSAGES],
        _ => &["split_of", "part"],
    };
    let plain = plain.iter().map(|field| (*field).to_owned());
    plain.chain(replaced_fields(collection).iter().map(|field| before(field))).collect()
}

/// Clears everything away.
pub(crate) async fn finish(
    link: &Link,
    unplaced: Unplaced,
    observer: &mut dyn Observer,
) -> Result<Finished, MigrationError> {
    let mut finished = Finished::default();
    // From here on there is no way back.
    remove(link, META, doc! { "_id": MIGRATION_ROW }).await?;
    let tell = |observer: &mut dyn Observer, done, total| {
        observer.progress(Progress { phase: Phase::Done, done, total })
    };
    let mut total = 0;
    for collection in [USERS, ROOMS, CHATS, MESSAGES] {
        total += link.roughly(collection).await?;
    }
    let mut done = 0;
    for collection in [USERS, ROOMS, CHATS, MESSAGES] {
        let old = old_fields(collection);
        let mut fields: Document = old.iter().map(|field| (field.clone(), Bson::Int32(1))).collect();
        fields.insert(UNPLACED, 1);
        let mut scan = Scan::new(link, collection, BY_ID, fields);
        loop {
            let rows = scan.next().await?;
            if rows.is_empty() {
                break;
            }
            done += rows.len() as u64;
            let is_old = |row: &&Document| old.iter().any(|field| row.contains_key(field));
            // What has no place stays as it was written.
            let placed = rows.iter().filter(|row| !row.contains_key(UNPLACED)).filter(is_old);
            let ids: Vec<Bson> = placed.filter_map(|row| row.get("_id").cloned()).collect();
            finished.rows += ids.len() as u64;
            clear(link, collection, ids, &old).await?;
            tell(observer, done, total)?;
        }
    }
    finished.chats = remove(link, CHATS, doc! { MERGED_INTO: { "$type": "objectId" } }).await?;
    let without_a_place = doc! { "conversation": null, UNPLACED: { "$exists": true } };
    match unplaced {
        Unplaced::Discard => {
            finished.discarded = remove(link, MESSAGES, without_a_place).await?;
            finished.chats += remove(link, CHATS, doc! { MERGED_INTO: { "$exists": true } }).await?;
        }
        Unplaced::Keep => {
            let count = link.ask(doc! { "count": MESSAGES, "query": without_a_place }).await?;
            finished.kept = crate::server::reply::number(&count, "n").unsigned_abs();
        }
    }
    remove(link, FINDINGS, doc! {}).await?;
    Ok(finished)
}

/// Removes fields from rows. A password that nobody has used since is moved to where it counts.
async fn clear(
    link: &Link,
    collection: &'static str,
    ids: Vec<Bson>,
    fields: &[String],
) -> Result<(), MigrationError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut updates = Vec::new();
    let rows = doc! { "_id": { "$in": ids } };
    if collection == USERS {
        let mut unused = rows.clone();
        unused.extend(doc! { "password_hash": null, "password": { "$exists": true } });
        updates
            .push(doc! { "q": unused, "u": { "$rename": { "password": "password_hash" } }, "multi": true });
    }
    let unset: Document = fields.iter().map(|field| (field.clone(), Bson::String(String::new()))).collect();
    updates.push(doc! { "q": rows, "u": { "$unset": unset }, "multi": true });
    let reply = link.write(doc! { "update": collection, "updates": updates }).await?;
    match reply.row_error {
        None => Ok(()),
        Some(error) => {
            Err(MigrationError::Row { collection, id: "(several)".to_owned(), code: error.code() })
        }
    }
}

pub(crate) async fn remove(link: &Link, collection: &str, query: Document) -> Result<u64, MigrationError> {
    let reply = link.write(doc! { "delete": collection, "deletes": [{ "q": query, "limit": 0 }] }).await?;
    Ok(reply.matched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_aside_is_known_by_its_name() {
        assert!(old_fields(USERS).contains(&before("password")));
        assert!(!old_fields(MESSAGES).contains(&"room_id".to_owned()));
    }
}
