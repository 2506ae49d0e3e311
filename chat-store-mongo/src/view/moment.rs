//! Conversations at their heads, and a user's row in each, as both were at one moment.
//!
//! The rows of a conversation can be behind its log: by an entry that is being applied right now, or by what a crash
//! left undone. So they are read in this order: the conversation's row, the member's row, the head. If there is no
//! event between the first and the last, all three say the same. If there is one, it is applied, and everything
//! is read again.

use std::collections::HashMap;

use chat_core::domain::{Conversation, Head, Member, Seq};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, UserId};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mongodb::bson::{Bson, Document, doc};
use tokio::time::Instant;

use crate::config::WRITE_DEADLINE;
use crate::log::projection::{find_member, has_event, head, load_row};
use crate::server::database::Database;
use crate::server::query::find_page;
use crate::table::conversations::ConversationRow;
use crate::table::members::{MemberRow, member_id};
use crate::table::row::{Row, object_id};
use crate::table::schema::{CHATS, MEMBERS, ROOMS};

/// Conversations that are read at the same time for one list.
pub(crate) const AT_ONCE: usize = 16;

/// Where a conversation's row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    pub(crate) id: ConversationId,
    pub(crate) is_room: bool,
}

/// A conversation at its head, with the row that a user had in it.
#[derive(Debug)]
pub(crate) struct Moment {
    pub(crate) conversation: Conversation,
    pub(crate) member: Option<Member>,
}

/// Reads conversations, in the order of `listed`, with the rows of `user` if one is given. Chats that were merged
/// into others are left out.
pub(crate) async fn moments(
    database: &Database,
    listed: &[Listed],
    user: Option<UserId>,
) -> Result<Vec<Moment>, StoreError> {
    let mut conversations = conversation_rows(database, listed).await?;
    let mut members = match user {
        Some(user) => member_rows(database, listed, user).await?,
        None => HashMap::new(),
    };
    let mut rows = Vec::with_capacity(listed.len());
    for Listed { id, .. } in listed {
        match conversations.remove(id) {
            Some(Found::Row(row)) => rows.push((*row, members.remove(id))),
            Some(Found::Merged) => {}
            None => return Err(StoreError::corrupt(format!("the conversation {id} is gone"))),
        }
    }
    let each = rows.into_iter().map(|(row, member)| moment(database, row, member, user));
    let moments: Vec<Option<Moment>> = stream::iter(each).buffered(AT_ONCE).try_collect().await?;
    Ok(moments.into_iter().flatten().collect())
}

/// How far these logs have come; unknown ones are left out. Only for comparing: it is not behind a barrier.
pub(crate) async fn heads(
    database: &Database,
    conversations: Vec<ConversationId>,
) -> Result<Vec<(ConversationId, Head)>, StoreError> {
    let each = conversations.into_iter().map(|id| async move { Ok((id, head(database, id).await?)) });
    let heads: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(heads.into_iter().filter_map(|(id, head)| head.map(|head| (id, head))).collect())
}

/// Reads the rest of a moment that began with reading these rows.
async fn moment(
    database: &Database,
    row: ConversationRow,
    member: Option<MemberRow>,
    user: Option<UserId>,
) -> Result<Option<Moment>, StoreError> {
    let ConversationRow { mut conversation, projected_seq, .. } = row;
    let id = conversation.id;
    if projected_seq > Seq::ZERO {
        let head = head(database, id).await?;
        let head = head.filter(|head| head.seq >= projected_seq);
        conversation.head = head.ok_or_else(|| StoreError::corrupt(format!("the log of {id} is cut off")))?;
        if !has_event(database, id, (projected_seq, conversation.head.seq)).await? {
            return Ok(Some(Moment { conversation, member: member.and_then(|row| row.member) }));
        }
    }
    loaded_moment(database, id, user).await
}

/// Reads a conversation after its events were applied.
async fn loaded_moment(
    database: &Database,
    id: ConversationId,
    user: Option<UserId>,
) -> Result<Option<Moment>, StoreError> {
    let begin = Instant::now();
    while begin.elapsed() < WRITE_DEADLINE {
        let Some(ConversationRow { conversation, projected_seq, .. }) = load_row(database, id).await? else {
            return Ok(None);
        };
        let Some(user) = user else { return Ok(Some(Moment { conversation, member: None })) };
        let member = find_member(database, id, user).await?.and_then(|row| row.member);
        // The member's row may be newer than the conversation.
        if !has_event(database, id, (projected_seq, Seq::MAX)).await? {
            return Ok(Some(Moment { conversation, member }));
        }
    }
    Err(StoreError::unavailable(format!("the members of {id} change too fast to be read")))
}

/// What is found under a conversation's id.
enum Found {
    Row(Box<ConversationRow>),
    /// A chat that was merged into another one.
    Merged,
}

async fn conversation_rows(
    database: &Database,
    listed: &[Listed],
) -> Result<HashMap<ConversationId, Found>, StoreError> {
    let ids_of = |is_room| {
        let those = listed.iter().filter(move |listed| listed.is_room == is_room);
        those.map(|listed| Bson::ObjectId(object_id(listed.id.as_bytes()))).collect()
    };
    let (rooms, chats) = tokio::try_join!(
        rows_by_id(database, ROOMS, ids_of(true)),
        rows_by_id(database, CHATS, ids_of(false))
    )?;
    let rooms = rooms.iter().map(ConversationRow::read_room);
    let live = chats.iter().filter(|row| !row.contains_key("merged_into")).map(ConversationRow::read_chat);
    let mut found = HashMap::with_capacity(listed.len());
    for row in rooms.chain(live) {
        let row = row?;
        found.insert(row.conversation.id, Found::Row(Box::new(row)));
    }
    for row in chats.iter().filter(|row| row.contains_key("merged_into")) {
        let id = Row::new(CHATS, row).id("_id")?;
        found.insert(ConversationId::from_bytes(id), Found::Merged);
    }
    Ok(found)
}

async fn member_rows(
    database: &Database,
    listed: &[Listed],
    user: UserId,
) -> Result<HashMap<ConversationId, MemberRow>, StoreError> {
    let ids = listed.iter().map(|listed| member_id(listed.id, user)).collect();
    let rows = rows_by_id(database, MEMBERS, ids).await?;
    rows.iter().map(|row| MemberRow::read(row).map(|row| (row.conversation, row))).collect()
}

async fn rows_by_id(
    database: &Database,
    collection: &str,
    ids: Vec<Bson>,
) -> Result<Vec<Document>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let limit = ids.len();
    database.rows(find_page(collection, doc! { "_id": { "$in": ids } }, doc! {}, limit)).await
}
