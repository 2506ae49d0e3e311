//! Finding public rooms by part of their name.

use chat_core::domain::Conversation;
use chat_core::error::StoreError;
use chat_core::id::ConversationId;
use chat_core::port::RoomQuery;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mongodb::bson::doc;

use crate::conversation::folded;
use crate::database::Database;
use crate::projection::load;
use crate::query::find_page;
use crate::row::{Row, object_id};
use crate::schema::ROOMS;

/// Rooms that are read at the same time.
const AT_ONCE: usize = 16;
/// Rows in one reply.
const ROWS: u32 = 100;

/// As [`RoomStore::discover`](chat_core::port::RoomStore::discover).
pub(crate) async fn discover(database: &Database, query: RoomQuery) -> Result<Vec<Conversation>, StoreError> {
    let mut found = Vec::new();
    let mut after = query.after;
    while found.len() < query.limit as usize {
        let rows = (query.limit - found.len() as u32).min(ROWS);
        let ids = candidates(database, &query.text, after, rows).await?;
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        let loads = ids.into_iter().map(|id| load(database, id));
        let loaded: Vec<_> = stream::iter(loads).buffered(AT_ONCE).try_collect().await?;
        // A row can be behind its log: only what the log says counts.
        found.extend(loaded.into_iter().flatten().filter(|conversation| !conversation.is_closed()));
    }
    Ok(found)
}

/// Rooms that have the text in their name, by their rows.
async fn candidates(
    database: &Database,
    text: &str,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut filter = doc! { "visibility": "public", "member_count": { "$gt": 0 } };
    if let Some(after) = after {
        filter.insert("_id", doc! { "$gt": object_id(after.as_bytes()) });
    }
    if !text.is_empty() {
        filter.insert("name_folded", doc! { "$regex": literal(&folded(text)) });
    }
    let mut find = find_page(ROOMS, filter, doc! { "_id": 1 }, limit as usize);
    find.insert("projection", doc! { "_id": 1 });
    // The planner might rather walk the ids.
    find.insert("hint", "public");
    let rows = database.rows(find).await?;
    rows.iter().map(|row| Row::new(ROOMS, row).id("_id").map(ConversationId::from_bytes)).collect()
}

/// A pattern that finds exactly this text.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() || character == '#' {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
