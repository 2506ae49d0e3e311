//! Finding public rooms by part of their name.

use chat_core::domain::{Conversation, ConversationKind, search_folded};
use chat_core::error::StoreError;
use chat_core::id::ConversationId;
use chat_core::port::RoomQuery;
use mongodb::bson::doc;

use crate::server::database::Database;
use crate::server::query::find_page;
use crate::table::row::{Row, object_id};
use crate::table::schema::ROOMS;
use crate::view::lists::Candidates;
use crate::view::moment::{Listed, moments};

/// As [`RoomStore::discover`](chat_core::port::RoomStore::discover).
pub(crate) async fn discover(database: &Database, query: RoomQuery) -> Result<Vec<Conversation>, StoreError> {
    let text = search_folded(&query.text);
    // A row can be behind its log: only what the log says counts.
    let is_found = |conversation: &Conversation| match &conversation.kind {
        ConversationKind::Room { name, .. } => !conversation.is_closed() && name.folded().contains(&text),
        ConversationKind::Private(_) => false,
    };
    let mut found: Vec<Conversation> = Vec::new();
    let mut candidates = Candidates::new(query.limit, query.after);
    while let Some(rows) = candidates.room(found.len()) {
        let listed = rooms_with(database, &text, candidates.after, rows).await?;
        candidates.saw(&listed, rows);
        let moments = moments(database, &listed, None).await?;
        found.extend(moments.into_iter().map(|moment| moment.conversation).filter(is_found));
    }
    found.truncate(query.limit as usize);
    Ok(found)
}

/// Rooms that have the text in their name, by their rows.
async fn rooms_with(
    database: &Database,
    text: &str,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Listed>, StoreError> {
    let mut filter = doc! { "visibility": "public", "member_count": { "$gt": 0 } };
    if let Some(after) = after {
        filter.insert("_id", doc! { "$gt": object_id(after.as_bytes()) });
    }
    if !text.is_empty() {
        filter.insert("name_folded", doc! { "$regex": literal(text) });
    }
    let mut find = find_page(ROOMS, filter, doc! { "_id": 1 }, limit as usize);
    // The index holds all that is asked for; the planner might rather walk the rows by their ids.
    find.insert("projection", doc! { "_id": 1 });
    find.insert("hint", "public");
    let rows = database.rows(find).await?;
    let id = |row| Row::new(ROOMS, row).id("_id").map(ConversationId::from_bytes);
    rows.iter().map(|row| Ok(Listed { id: id(row)?, is_room: true })).collect()
}

/// A pattern that finds exactly this text: every character that could mean something in a pattern is written as its
/// number.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => pattern.push(character),
            _ if character.is_ascii() => pattern.push_str(&format!("\\x{{{:x}}}", u32::from(character))),
            _ => pattern.push(character),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn nothing_in_a_search_text_is_a_pattern() {
        assert_eq!(literal("tea 9茶"), "tea\\x{20}9茶");
        for special in (0..128).map(char::from).filter(|character| !character.is_ascii_alphanumeric()) {
            assert_eq!(literal(&special.to_string()), format!("\\x{{{:x}}}", u32::from(special)));
        }
    }
}
