//! Messages are brought into their order, by an index that is made for this and dropped when they have their numbers.

use mongodb::bson::doc;

use crate::migrate_php::engine::work::Work;
use crate::migrate_php::phase::indexes::drop_indexes;
use crate::migrate_php::report::MigrationError;
use crate::open::create_indexes;
use crate::open::index::Index;
use crate::table::schema::{CHATS, MESSAGES, ROOMS};

/// The name of [`ORDER`].
pub(crate) const ORDER_NAME: &str = "migration_order";
/// The order of messages, for as long as they have no numbers.
const ORDER: Index = Index {
    collection: MESSAGES,
    name: ORDER_NAME,
    fields: KEYS,
    is_unique: false,
    only_where: None,
    only_with: None,
};
pub(crate) const KEYS: &[&str] = &["conversation", "timestamp", "_id"];
/// The field of a conversation's row that holds the number of its last entry, until all members are written.
pub(crate) const LAST_SEQ: &str = "migration_last_seq";

/// Makes the index.
pub(crate) async fn order(work: &mut Work<'_>) -> Result<(), MigrationError> {
    work.tell(0, 1)?;
    create_indexes(work.link.database(), &[ORDER]).await?;
    work.tell(1, 1)
}

/// Removes what only writing members needs. It needs that until the end, as it may write some of them twice.
pub(crate) async fn forget_last_numbers(work: &mut Work<'_>) -> Result<(), MigrationError> {
    for collection in [ROOMS, CHATS] {
        let update = doc! {
            "q": { LAST_SEQ: { "$exists": true } }, "u": { "$unset": { LAST_SEQ: "" } }, "multi": true,
        };
        work.write(doc! { "update": collection, "updates": [update] }).await?;
    }
    Ok(())
}

/// Drops the index that [`order`] has made.
pub(crate) async fn forget_order(work: &mut Work<'_>) -> Result<(), MigrationError> {
    drop_indexes(work, MESSAGES, &[ORDER.name]).await
}
