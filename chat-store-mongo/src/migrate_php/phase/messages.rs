//! All messages, page by page.

use chat_core::domain::Pair;
use chat_core::id::ConversationId;
use mongodb::bson::{Bson, Document, doc};

use crate::migrate_php::engine::change::{Change, projection};
use crate::migrate_php::engine::link::{BY_ID, Scan};
use crate::migrate_php::engine::work::Work;
use crate::migrate_php::report::{FindingKind, MigrationError};
use crate::migrate_php::rows::chat::made_statement;
use crate::migrate_php::rows::id::{chat_id, is_added};
use crate::migrate_php::rows::message::{Known, Place, UNPLACED, fit, place, time_of_message};
use crate::table::row::{date, object_id};
use crate::table::schema::{CHATS, MESSAGES};

/// Migrates all messages, or looks what would become of them.
pub(crate) async fn migrate(work: &mut Work<'_>) -> Result<(), MigrationError> {
    let total = work.link.roughly(MESSAGES).await?;
    work.tell(0, total)?;
    let mut known = Known::load(work).await?;
    let fields = projection(&["sender_id", "content", "timestamp", "type", "event", "client_id"]);
    let more = [
        "messages_so_far",
        "room_id",
        "chat_id",
        "receiver_id",
        "user_id",
        "conversation",
        "split_of",
        "part",
        "seq",
        UNPLACED,
    ];
    let more = more.into_iter().map(|field| (field.to_owned(), Bson::Int32(1)));
    let mut scan = Scan::new(&work.link, MESSAGES, BY_ID, fields.into_iter().chain(more).collect())
        .rows(work.page_rows)
        .after(work.checkpoint.position.clone());
    loop {
        let rows = scan.next().await?;
        if rows.is_empty() {
            break;
        }
        let (added, rows): (Vec<Document>, Vec<Document>) = rows.into_iter().partition(is_added);
        if !added.is_empty() {
            // Of an earlier attempt; what still belongs there is added again.
            let ids: Vec<Bson> = added.iter().filter_map(|row| row.get("_id").cloned()).collect();
            let delete = doc! { "q": { "_id": { "$in": ids } }, "limit": 0 };
            work.write(doc! { "delete": MESSAGES, "deletes": [delete] }).await?;
        }
        for row in &rows {
            migrate_row(work, row, &mut known).await?;
        }
        work.page_done(scan.position(), work.checkpoint.counts.messages, total).await?;
    }
    if !work.writes() {
        work.checkpoint.counts.conversations_of_two = known.chats.conversations();
    }
    Ok(())
}

async fn migrate_row(work: &mut Work<'_>, row: &Document, known: &mut Known) -> Result<(), MigrationError> {
    let id = row.get("_id");
    let (placed, mut notes) = place(row, known);
    work.checkpoint.counts.messages += 1;
    let is_ours = match row.get("conversation") {
        Some(Bson::ObjectId(_)) => true,
        Some(Bson::Null) => row.get_str(UNPLACED).is_ok(),
        _ => false,
    };
    let mut change = Change::of(row, is_ours);
    for field in ["seq", "messages_so_far", "split_of", "part"].into_iter().filter(|_| !is_ours) {
        change.remove(field);
    }
    match placed {
        Ok((sender, place)) => {
            let conversation = match place {
                Place::Room(room) => room,
                Place::Chat(chat, _) => chat,
                Place::Pair(pair) => chat_for(work, known, pair).await?,
            };
            change.put("conversation", object_id(conversation.as_bytes()));
            change.clear(UNPLACED);
            let parts = fit(row, sender, &mut change, &mut notes);
            work.checkpoint.counts.placed += 1;
            work.checkpoint.counts.further_parts += parts.saturating_sub(1) as u64;
        }
        Err((kind, text)) => {
            change.put("conversation", Bson::Null);
            change.put(UNPLACED, text.as_str());
            // Only so that those without a place have an order.
            change.set("timestamp", date(time_of_message(row).0));
            notes.push((kind, text));
            work.checkpoint.counts.unplaced += 1;
        }
    }
    for (kind, text) in notes {
        work.found(kind, (MESSAGES, id), text).await?;
    }
    match change.statement() {
        Some(statement) => work.update(MESSAGES, &statement).await,
        None => Ok(()),
    }
}

/// The chat of a pair, which is made if there is none.
async fn chat_for(
    work: &mut Work<'_>,
    known: &mut Known,
    pair: Pair,
) -> Result<ConversationId, MigrationError> {
    if let Some(chat) = known.chats.of_pair(pair) {
        return Ok(chat);
    }
    if let Some(chat) = known.chats.make(pair) {
        work.update(CHATS, &made_statement(chat, pair)).await?;
        let [low, high] = pair.users();
        let text = format!("{low} and {high} have messages and no chat; it is made");
        let chat = Bson::ObjectId(object_id(chat.as_bytes()));
        work.found(FindingKind::ChatMade, (CHATS, Some(&chat)), text).await?;
    }
    Ok(chat_id(pair))
}
