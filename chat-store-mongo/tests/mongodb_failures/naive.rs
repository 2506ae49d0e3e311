//! Stores that are easily written and wrong, to show that the tests find them out. They write the rows of the real
//! store, and make one mistake each.

use chat_core::domain::{Draft, Head};
use chat_core::error::StoreError;
use chat_core::id::ConversationId;
use chat_core::port::{Append, Appended, RoomStore};
use chat_store_mongo::MongoStore;
use mongodb::Client;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::options::WriteConcern;
use std::time::Duration;

use crate::workload::head_at;

/// Whoever appends in a scenario: the store, or one of the naive ones.
pub(crate) enum Appender {
    /// The store that is tested.
    Store(MongoStore),
    /// Numbers after whatever the server that it talks to has, durable or not.
    NumbersOnLocalReads(Client),
    /// Takes "an entry with this id exists" for "it is durable".
    TrustsDuplicates(Client),
}

impl Appender {
    /// The head after which to number.
    pub(crate) async fn head(
        &self,
        database: &str,
        conversation: ConversationId,
    ) -> Result<Head, StoreError> {
        match self {
            Self::Store(store) => Ok(store.conversation(conversation).await?.expect("it was created").head),
            Self::NumbersOnLocalReads(client) | Self::TrustsDuplicates(client) => {
                let newest = client
                    .database(database)
                    .collection::<Document>("messages")
                    .find_one(doc! { "conversation": object_id(conversation) })
                    .sort(doc! { "seq": -1 })
                    .await
                    .map_err(StoreError::unavailable)?;
                Ok(head_at(newest.expect("it was created").get_i64("seq").unwrap() as u64))
            }
        }
    }

    /// Appends one draft after `head`; answers whether it was acknowledged.
    pub(crate) async fn append(&self, database: &str, to: ConversationId, head: Head, draft: &Draft) -> bool {
        match self {
            Self::Store(store) => match store.append(to, head, vec![draft.clone()]).await {
                Ok(Append::Done(outcomes)) => {
                    matches!(outcomes.as_slice(), [Appended::New(_) | Appended::Duplicate(_)])
                }
                Ok(Append::Conflict(_)) | Err(_) => false,
            },
            Self::NumbersOnLocalReads(client) => insert(client, database, to, head, draft).await.is_ok(),
            Self::TrustsDuplicates(client) => match insert(client, database, to, head, draft).await {
                Ok(()) => true,
                Err(error) => matches!(
                    error.kind.as_ref(),
                    ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == 11_000
                ),
            },
        }
    }
}

async fn insert(
    client: &Client,
    database: &str,
    to: ConversationId,
    head: Head,
    draft: &Draft,
) -> mongodb::error::Result<()> {
    let majority = WriteConcern::builder()
        .w(mongodb::options::Acknowledgment::Majority)
        .journal(true)
        // Soon enough that the second writer still finds the lost primary.
        .w_timeout(Duration::from_millis(400))
        .build();
    let row = doc! {
        "_id": ObjectId::from_bytes(*draft.id.as_bytes()),
        "conversation": object_id(to),
        "room_id": object_id(to),
        "seq": head.seq.next().get() as i64,
        "messages_so_far": head.messages as i64 + 1,
        "sender_id": ObjectId::from_bytes(*draft.by.as_bytes()),
        "timestamp": DateTime::from_millis(draft.timestamp.unix_ms()),
        "type": "text",
        "content": "naive",
    };
    let messages = client.database(database).collection::<Document>("messages");
    messages.insert_one(row).write_concern(majority).await.map(drop)
}

fn object_id(conversation: ConversationId) -> ObjectId {
    ObjectId::from_bytes(*conversation.as_bytes())
}
