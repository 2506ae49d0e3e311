//! What is in the way of a migration: indexes of the PHP chat that would remove rows or refuse them, which are
//! dropped, and what no rule covers, for which the migration is refused before anything is written.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::migrate_php::engine::link::Link;
use crate::migrate_php::engine::work::{FINDINGS, Work};
use crate::migrate_php::report::{FindingKind, MigrationError};
use crate::migrate_php::rows::id::Ids;
use crate::open::index;
use crate::table::schema::{
    CHATS, MEMBERS, MESSAGES, META, MIGRATION_ROW, REPLACED_TOKENS, ROOMS, SESSIONS, USERS,
};

/// The collections that are migrated.
pub(crate) const MIGRATED: [&str; 4] = [USERS, ROOMS, CHATS, MESSAGES];
/// Those that the PHP chat does not have.
const OURS: [&str; 5] = [MEMBERS, SESSIONS, REPLACED_TOKENS, META, FINDINGS];

/// Everything that no rule covers.
pub(crate) async fn obstacles(link: &Link) -> Result<Vec<String>, MigrationError> {
    let mut found = Vec::new();
    for collection in [USERS, ROOMS, CHATS] {
        let filter = doc! { "_id": { "$not": { "$type": "objectId" } } };
        let count = link.ask(doc! { "count": collection, "query": filter }).await?;
        match crate::server::reply::number(&count, "n") {
            0 => {}
            count => found.push(format!(
                "{count} rows of {collection} have an _id that is no ObjectId, and an _id cannot be changed; \
                 copy them to rows that have one, and remove them"
            )),
        }
    }
    for collection in OURS {
        let filter = doc! { "_id": { "$ne": MIGRATION_ROW } };
        let find = doc! { "find": collection, "filter": filter, "limit": 1, "singleBatch": true };
        if !link.rows(find).await?.is_empty() {
            found.push(format!(
                "the collection {collection} has rows of another program, and its name is needed; rename it"
            ));
        }
    }
    for collection in collections(link).await? {
        let name = collection.get_str("name").unwrap_or_default().to_owned();
        let options = collection.get_document("options").cloned().unwrap_or_default();
        if !MIGRATED.contains(&name.as_str()) && !OURS.contains(&name.as_str()) {
            continue;
        }
        if collection.get_str("type").is_ok_and(|kind| kind != "collection") {
            found.push(format!("{name} is no ordinary collection; replace it by one with the same rows"));
        }
        if options.get_bool("capped").unwrap_or(false) {
            found.push(format!(
                "the collection {name} is capped and forgets rows; copy it to one that is not"
            ));
        }
        if options.contains_key("collation") {
            found.push(format!(
                "the collection {name} has a collation, by which different texts are the same; copy it to one that \
                 has none"
            ));
        }
        if options.get_document("validator").is_ok_and(|validator| !validator.is_empty()) {
            found.push(format!(
                "the collection {name} has a validator, which would refuse new rows; remove it: \
                 db.runCommand({{collMod: {name:?}, validator: {{}}}})"
            ));
        }
    }
    // Views and the like cannot be read in the order of their ids.
    if found.is_empty() {
        found.extend(shared_ids(link).await?);
    }
    Ok(found)
}

/// What is to be said if a room and a chat have the same id: a conversation is known by it.
async fn shared_ids(link: &Link) -> Result<Option<String>, MigrationError> {
    let rooms = Ids::load(link, ROOMS).await?;
    let both = Ids::load(link, CHATS).await?.shared_with(&rooms);
    Ok(both.first().map(|first| {
        format!(
            "{} rows of {CHATS} have the _id of a row of {ROOMS}, the first one {}, and a conversation is known by its \
             _id; copy the chats to rows with other ones, change chat_id in their messages, and remove them",
            both.len(),
            ObjectId::from_bytes(*first)
        )
    }))
}

async fn collections(link: &Link) -> Result<Vec<Document>, MigrationError> {
    // Databases with more collections have them for other programs.
    let names: Vec<&str> = MIGRATED.into_iter().chain(OURS).collect();
    let filter = doc! { "name": { "$in": names } };
    link.rows(doc! { "listCollections": 1, "filter": filter, "cursor": { "batchSize": 100 } }).await
}

/// Drops indexes that are in the way, or tells that it would.
pub(crate) async fn migrate(work: &mut Work<'_>) -> Result<(), MigrationError> {
    work.tell(0, MIGRATED.len() as u64)?;
    // What an earlier attempt has found it finds again, but for indexes that it has dropped.
    let delete = doc! { "q": { "_id.kind": { "$ne": FindingKind::IndexDropped.index() } }, "limit": 0 };
    work.write(doc! { "delete": FINDINGS, "deletes": [delete] }).await?;
    let existing: Vec<String> = collections(&work.link)
        .await?
        .iter()
        .filter_map(|collection| collection.get_str("name").ok().map(str::to_owned))
        .collect();
    for (done, collection) in MIGRATED.into_iter().enumerate() {
        if !existing.iter().any(|name| name == collection) {
            continue;
        }
        let mut names = Vec::new();
        for index in indexes(&work.link, collection).await? {
            let name = index.get_str("name").unwrap_or_default().to_owned();
            if index::is_ours(collection, &index) {
                // Of an earlier attempt. While rows are renumbered, a unique index would be in the way.
                names.push(name);
            } else if let Some(reason) = index::fault(collection, &index) {
                let shown = index.to_string();
                work.found(
                    FindingKind::IndexDropped,
                    (collection, Some(&Bson::String(name.clone()))),
                    format!("the index {reason}; it is dropped. Its definition: {shown}"),
                )
                .await?;
                names.push(name);
            }
        }
        if work.writes() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            drop_indexes(work, collection, &names).await?;
        }
        work.tell(done as u64 + 1, MIGRATED.len() as u64)?;
    }
    Ok(())
}

/// Drops indexes, after what was found about them is durable. Those that do not exist are none.
pub(crate) async fn drop_indexes(
    work: &mut Work<'_>,
    collection: &'static str,
    names: &[&str],
) -> Result<(), MigrationError> {
    for name in names {
        if is_index_there(&work.link, collection, name).await? {
            work.write(doc! { "dropIndexes": collection, "index": *name }).await?;
        }
    }
    Ok(())
}

pub(crate) async fn is_index_there(
    link: &Link,
    collection: &str,
    name: &str,
) -> Result<bool, MigrationError> {
    let found = indexes(link, collection).await?;
    Ok(found.iter().any(|index| index.get_str("name").is_ok_and(|found| found == name)))
}

async fn indexes(link: &Link, collection: &str) -> Result<Vec<Document>, MigrationError> {
    link.rows(doc! { "listIndexes": collection, "cursor": { "batchSize": 1_000 } }).await
}

/// Whether there is an index in the way on any of the collections that are migrated.
pub(crate) async fn has_indexes_in_the_way(link: &Link) -> Result<bool, MigrationError> {
    for found in collections(link).await? {
        let name = found.get_str("name").unwrap_or_default();
        let kind = found.get_str("type").unwrap_or("collection");
        if kind == "collection"
            && MIGRATED.contains(&name)
            && indexes(link, name).await?.iter().any(|index| index::is_in_the_way(name, index))
        {
            return Ok(true);
        }
    }
    Ok(false)
}
