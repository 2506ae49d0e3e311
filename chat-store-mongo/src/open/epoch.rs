//! The epoch: the name of the history that a database holds. Clients that know another one drop what they remember.

use chat_core::error::StoreError;
use chat_core::id::ConversationId;
use mongodb::bson::doc;

use crate::server::database::Database;
use crate::table::schema::{EPOCH_ROW, META};

/// A name that no history has had.
pub(crate) fn new_epoch() -> String {
    ConversationId::generate().to_string()
}

/// Begins another epoch and answers its name.
pub(crate) async fn begin(database: &Database) -> Result<String, StoreError> {
    let epoch = new_epoch();
    let update = doc! { "q": { "_id": EPOCH_ROW }, "u": { "$set": { "value": &epoch } } };
    let reply = database.write(doc! { "update": META, "updates": [update] }).await?;
    match reply.row_error {
        Some(error) => Err(error.refused(META)),
        None if reply.matched == 0 => Err(StoreError::corrupt("the epoch is missing from meta")),
        None => Ok(epoch),
    }
}
