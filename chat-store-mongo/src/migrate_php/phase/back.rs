//! Gives a database back to the PHP chat: what was replaced is restored, what was added is removed, so that it
//! can write again. Messages that were sent since stay; members, sessions and logs that only we know go.
//!
//! Every step can be repeated. After the first one no server opens the database, and another migration begins again
//! from its beginning, so an interruption needs nothing but another call.

use chat_core::domain::Visibility;
use mongodb::bson::{Bson, Document, doc};

use crate::migrate_php::engine::change::{before, projection};
use crate::migrate_php::engine::checkpoint::Checkpoint;
use crate::migrate_php::engine::link::{BY_ID, Link, Scan};
use crate::migrate_php::engine::work::{FINDINGS, read_findings};
use crate::migrate_php::phase::finish::{remove, replaced_fields};
use crate::migrate_php::phase::indexes::MIGRATED;
use crate::migrate_php::phase::order::ORDER_NAME;
use crate::migrate_php::report::{FindingKind, MigrationError, Observer, Phase, Progress};
use crate::migrate_php::rows::user::has_made_display_name;
use crate::open::index::INDEXES;
use crate::table::conversations::visibility_name;
use crate::table::schema::{
    CHATS, EPOCH_ROW, MEMBERS, MESSAGES, META, MIGRATION_ROW, REPLACED_TOKENS, ROOMS, SCHEMA_ROW, SESSIONS,
    USERS,
};

/// Fields that only we have.
fn added_fields(collection: &str) -> &'static [&'static str] {
    match collection {
        USERS => &["username_folded", "username_skeleton", "changed"],
        // Whoever made a private room here did not make a public one.
        ROOMS => &["name_folded", "owners", "entry_id", "projected_seq", "member_count"],
        CHATS => &["pair", "created_by", "entry_id", "projected_seq", "member_count", "merged_into"],
        _ => &["conversation", "unplaced", "seq", "messages_so_far"],
    }
}

/// Which rows were migrated: those whose fields with our names are ours. A migration may not have come to its end.
fn of_ours(collection: &str) -> Document {
    match collection {
        USERS => {
            doc! { "username_folded": { "$type": "string" }, "username_skeleton": { "$type": "string" } }
        }
        ROOMS => doc! { "name_folded": { "$type": "string" }, "entry_id": { "$type": "objectId" } },
        CHATS => doc! { "$or": [
            { "pair": { "$type": "binData" } },
            { "merged_into": { "$type": ["null", "objectId"] } },
        ] },
        _ => doc! { "$or": [
            { "conversation": { "$type": "objectId" } },
            { "conversation": { "$type": "null" }, "unplaced": { "$type": "string" } },
        ] },
    }
}

/// Gives everything back. Answers how many rows were restored.
pub(crate) async fn back(link: &Link, observer: &mut dyn Observer) -> Result<u64, MigrationError> {
    Checkpoint::begin_anew(link).await?;
    remove(link, META, doc! { "_id": { "$in": [SCHEMA_ROW, EPOCH_ROW] } }).await?;
    drop_unique_indexes(link).await?;
    for finding in
        read_findings(link).await?.iter().filter(|finding| finding.kind == FindingKind::IndexDropped)
    {
        observer.found(finding)?;
    }
    // Events, and the further parts of texts that are whole again: what the PHP chat never had.
    let without_content =
        doc! { "conversation": { "$type": "objectId" }, "room_id": null, "chat_id": null, "content": null };
    let mut events = doc! { "event": true };
    events.extend(without_content);
    remove(link, MESSAGES, events).await?;
    let parts = doc! {
        "split_of": { "$type": "objectId" },
        "part": { "$type": "int" },
        "conversation": { "$type": "objectId" },
    };
    remove(link, MESSAGES, parts).await?;
    forget_rehashed_passwords(link).await?;
    let rows = restore(link, observer).await?;
    for collection in [MEMBERS, SESSIONS, REPLACED_TOKENS, FINDINGS] {
        remove(link, collection, doc! {}).await?;
    }
    remove(link, META, doc! { "_id": { "$ne": MIGRATION_ROW } }).await?;
    remove(link, META, doc! {}).await?;
    Ok(rows)
}

/// Where the hash of the PHP chat is still there, it is one of the same password, and from now on that
/// chat may replace it.
async fn forget_rehashed_passwords(link: &Link) -> Result<(), MigrationError> {
    let update = doc! {
        "q": { "password": { "$type": "string", "$ne": "" }, "password_hash": { "$exists": true } },
        "u": { "$unset": { "password_hash": "" } },
        "multi": true,
    };
    link.write(doc! { "update": USERS, "updates": [update] }).await.map(drop)
}

/// A row without our fields would be refused by a unique index that has one already.
async fn drop_unique_indexes(link: &Link) -> Result<(), MigrationError> {
    let unique = INDEXES.iter().filter(|index| index.is_unique).map(|index| (index.collection, index.name));
    for (collection, name) in unique.chain([(MESSAGES, ORDER_NAME)]) {
        if MIGRATED.contains(&collection)
            && crate::migrate_php::phase::indexes::is_index_there(link, collection, name).await?
        {
            link.write(doc! { "dropIndexes": collection, "index": name }).await?;
        }
    }
    Ok(())
}

async fn restore(link: &Link, observer: &mut dyn Observer) -> Result<u64, MigrationError> {
    let (mut done, mut total, mut restored) = (0, 0, 0);
    for collection in MIGRATED {
        total += link.roughly(collection).await?;
    }
    for collection in MIGRATED {
        let pipeline = restoring(collection);
        let without_made = [vec![doc! { "$unset": "display_name" }], pipeline.clone()].concat();
        let fields = if collection == USERS {
            projection(&["username", "display_name"])
        } else {
            doc! {}
        };
        let mut scan = Scan::new(link, collection, BY_ID, fields);
        loop {
            let rows = scan.next().await?;
            if rows.is_empty() {
                break;
            }
            let (made, other): (Vec<&Document>, Vec<&Document>) =
                rows.iter().partition(|row| collection == USERS && has_made_display_name(row));
            for (rows, pipeline) in [(made, &without_made), (other, &pipeline)] {
                restored += restore_rows(link, collection, &rows, pipeline).await?;
            }
            done += rows.len() as u64;
            observer.progress(Progress { phase: Phase::Done, done, total: total.max(done) })?;
        }
    }
    Ok(restored)
}

async fn restore_rows(
    link: &Link,
    collection: &'static str,
    rows: &[&Document],
    pipeline: &[Document],
) -> Result<u64, MigrationError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Bson> = rows.iter().filter_map(|row| row.get("_id").cloned()).collect();
    let mut rows_of_ours = doc! { "_id": { "$in": ids } };
    rows_of_ours.extend(of_ours(collection));
    let update = doc! { "q": rows_of_ours, "u": pipeline.to_vec(), "multi": true };
    let reply = link.write(doc! { "update": collection, "updates": [update] }).await?;
    match reply.row_error {
        None => Ok(reply.matched),
        Some(error) => {
            Err(MigrationError::Row { collection, id: "(several)".to_owned(), code: error.code() })
        }
    }
}

/// What a field has as long as nobody has decided otherwise here. Whoever is disabled, private, or has a topic or a name
/// to show stays so when the database is migrated again; the PHP chat reads none of these fields.
fn unless_decided(field: &str) -> Option<Bson> {
    match field {
        "disabled" => Some(Bson::Boolean(false)),
        "topic" => Some(Bson::String(String::new())),
        "visibility" => Some(Bson::String(visibility_name(Visibility::Public).to_owned())),
        // Which one was made is decided row by row.
        "display_name" => Some(Bson::Null),
        _ => None,
    }
}

/// The update that makes a row what it was. That there was nothing is kept as null.
fn restoring(collection: &str) -> Vec<Document> {
    let replaced = replaced_fields(collection);
    let value = |field: &str| {
        let (now, kept) = (format!("${field}"), format!("${}", before(field)));
        let was_nothing = doc! { "$eq": [&kept, null] };
        let goes = match unless_decided(field) {
            None => was_nothing.clone(),
            Some(value) => doc! { "$and": [&was_nothing, { "$eq": [&now, value] }] },
        };
        doc! { "$switch": {
            "branches": [
                { "case": { "$eq": [{ "$type": &kept }, "missing"] }, "then": &now },
                { "case": goes, "then": "$$REMOVE" },
                { "case": was_nothing, "then": &now },
            ],
            "default": kept,
        } }
    };
    let restored: Document =
        replaced.iter().map(|field| ((*field).to_owned(), value(field).into())).collect();
    let kept: Vec<String> = replaced.iter().map(|field| before(field)).collect();
    vec![
        doc! { "$unset": added_fields(collection).to_vec() },
        doc! { "$set": restored },
        doc! { "$unset": kept },
    ]
}
