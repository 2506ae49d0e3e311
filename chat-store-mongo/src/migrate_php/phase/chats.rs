//! All private chats, page by page, and which of them are conversations.

use std::collections::{HashMap, HashSet};

use chat_core::domain::Pair;
use chat_core::id::{ConversationId, UserId};
use mongodb::bson::{Bson, Document, doc};

use crate::migrate_php::engine::change::projection;
use crate::migrate_php::engine::link::{BY_ID, Link, Scan};
use crate::migrate_php::engine::work::Work;
use crate::migrate_php::report::MigrationError;
use crate::migrate_php::rows::chat::{Chats, FROM_MESSAGES, MERGED_INTO, chat};
use crate::migrate_php::rows::id::Ids;
use crate::migrate_php::rows::value::id_of;
use crate::table::schema::{CHATS, USERS};

/// Migrates all private chats, or looks what would become of them.
pub(crate) async fn migrate(work: &mut Work<'_>) -> Result<(), MigrationError> {
    let total = work.link.roughly(CHATS).await?;
    work.tell(0, total)?;
    if work.checkpoint.position.is_none() {
        // Those of an earlier attempt are made again.
        let delete = doc! { "q": { FROM_MESSAGES: true }, "limit": 0 };
        work.write(doc! { "delete": CHATS, "deletes": [delete] }).await?;
    }
    let users = Ids::load(&work.link, USERS).await?;
    let chats = Chats::load(&work.link, &users).await?;
    let ours =
        [FROM_MESSAGES, MERGED_INTO, "pair", "created_by", "entry_id", "projected_seq", "member_count"];
    let ours = ours.into_iter().map(|field| (field.to_owned(), Bson::Int32(1)));
    let fields = projection(&["user1_id", "user2_id", "created_at"]).into_iter().chain(ours).collect();
    let mut scan = Scan::new(&work.link, CHATS, BY_ID, fields)
        .rows(work.page_rows)
        .after(work.checkpoint.position.clone());
    loop {
        let rows = scan.next().await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows.iter().filter(|row| !row.contains_key(FROM_MESSAGES)) {
            migrate_row(work, row, &chats, &users).await?;
        }
        work.page_done(scan.position(), work.checkpoint.counts.chats, total).await?;
    }
}

async fn migrate_row(
    work: &mut Work<'_>,
    row: &Document,
    chats: &Chats,
    users: &Ids,
) -> Result<(), MigrationError> {
    let Some(id) = row.get("_id").and_then(id_of) else { return Ok(()) };
    let (change, note) = chat(row, id, chats, users);
    if let Some((kind, text)) = note {
        work.found(kind, (CHATS, row.get("_id")), text).await?;
    }
    work.checkpoint.counts.chats += 1;
    match change.statement() {
        Some(statement) => work.update(CHATS, &statement).await,
        None => Ok(()),
    }
}

/// The conversations among the rows that were migrated, and which of them were made for messages.
pub(crate) async fn load_migrated(
    link: &Link,
) -> Result<(HashMap<ConversationId, Pair>, HashSet<ConversationId>), MigrationError> {
    let fields = doc! { "user1_id": 1, "user2_id": 1, "pair": 1, FROM_MESSAGES: 1 };
    let mut scan = Scan::new(link, CHATS, BY_ID, fields);
    let (mut pairs, mut made) = (HashMap::new(), HashSet::new());
    loop {
        let rows = scan.next().await?;
        if rows.is_empty() {
            return Ok((pairs, made));
        }
        for row in rows.iter().filter(|row| row.contains_key("pair")) {
            let [id, one, other] =
                ["_id", "user1_id", "user2_id"].map(|field| row.get(field).and_then(id_of));
            let (Some(id), Some(one), Some(other)) = (id, one, other) else { continue };
            let id = ConversationId::from_bytes(id);
            pairs
                .extend(Pair::new(UserId::from_bytes(one), UserId::from_bytes(other)).map(|pair| (id, pair)));
            if row.contains_key(FROM_MESSAGES) {
                made.insert(id);
            }
        }
    }
}
