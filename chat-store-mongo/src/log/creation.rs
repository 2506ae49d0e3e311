//! Creating conversations. One row decides: once it is durable, the conversation exists, and whoever loads it
//! brings its creation to the end.

use chat_core::domain::{ConversationKind, Pair};
use chat_core::error::StoreError;
use chat_core::port::{Creation, NewConversation};
use mongodb::bson::doc;

use crate::log::projection::load_row;
use crate::server::database::Database;
use crate::server::error::unknown;
use crate::server::query::find_one;
use crate::table::conversations::{ConversationRow, collection_of, new_row, pair_key};
use crate::table::schema::CHATS;

/// Creates a conversation, or answers the one that the pair has.
pub(crate) async fn create(database: &Database, new: NewConversation) -> Result<Creation, StoreError> {
    let insert = doc! { "insert": collection_of(&new.kind), "documents": [new_row(&new)] };
    let is_taken = match database.write(insert).await?.row_error {
        None => false,
        Some(error) if error.is_duplicate() => true,
        Some(error) => return Err(error.refused(collection_of(&new.kind))),
    };
    let existing = match &new.kind {
        ConversationKind::Private(pair) if is_taken => chat_of(database, *pair).await?,
        ConversationKind::Private(_) | ConversationKind::Room { .. } => None,
    };
    let id = existing.unwrap_or(new.id);
    // The row is there, so nothing that fails from here on means that nothing was stored.
    let row = load_row(database, id).await.map_err(unknown)?;
    let row = row.ok_or_else(|| StoreError::corrupt(format!("the conversation {id} has disappeared")))?;
    // An attempt whose reply was lost may have made the row.
    let is_ours = row.entry_id == new.entry_id;
    let ConversationRow { conversation, .. } = row;
    Ok(if is_ours { Creation::New(conversation) } else { Creation::Existing(conversation) })
}

async fn chat_of(
    database: &Database,
    pair: Pair,
) -> Result<Option<chat_core::id::ConversationId>, StoreError> {
    let find = find_one(CHATS, doc! { "pair": pair_key(pair) });
    let row = database.row(find).await.map_err(unknown)?;
    row.as_ref().map(|row| ConversationRow::read_chat(row).map(|row| row.conversation.id)).transpose()
}
