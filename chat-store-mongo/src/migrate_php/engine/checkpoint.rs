//! The row that says how far a migration has come. What is before it is durable.

use chat_core::id::UserId;
use mongodb::bson::{Document, doc};

use crate::migrate_php::engine::link::Link;
use crate::migrate_php::report::{Counts, MigrationError, Phase};
use crate::table::row::object_id;
use crate::table::schema::{META, MIGRATION_ROW};

/// How far it has come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checkpoint {
    pub(crate) phase: Phase,
    /// Where the phase goes on; what that is, is the phase's business. `None` at its beginning.
    pub(crate) position: Option<Document>,
    pub(crate) counts: Counts,
}

impl Checkpoint {
    pub(crate) fn beginning() -> Self {
        Self { phase: Phase::Indexes, position: None, counts: Counts::default() }
    }

    fn read(row: &Document) -> Self {
        let phase = row.get_str("phase").ok().and_then(Phase::named);
        Self {
            phase: phase.unwrap_or(Phase::Indexes),
            position: row.get_document("position").ok().cloned(),
            counts: row.get_document("counts").map(Counts::from_document).unwrap_or_default(),
        }
    }

    /// Lets the next run begin from the beginning, and ends the present one.
    pub(crate) async fn begin_anew(link: &Link) -> Result<(), MigrationError> {
        let Self { phase, counts, .. } = Self::beginning();
        let run = *UserId::generate().as_bytes();
        let set = doc! { "run": object_id(&run), "phase": phase.name(), "position": null, "counts": counts.to_document() };
        let update = doc! { "q": { "_id": MIGRATION_ROW }, "u": { "$set": set }, "upsert": true };
        link.write(doc! { "update": META, "updates": [update] }).await.map(drop)
    }

    /// The stored one.
    pub(crate) async fn load(link: &Link) -> Result<Option<Self>, MigrationError> {
        let find = doc! { "find": META, "filter": { "_id": MIGRATION_ROW }, "limit": 1, "singleBatch": true };
        Ok(link.rows(find).await?.first().map(Self::read))
    }
}
