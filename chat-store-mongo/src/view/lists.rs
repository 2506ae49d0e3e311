//! Lists of conversations: a user's, and all.
//!
//! Candidates are found by rows, which can be behind the log; what is listed is what the log says of them at one
//! moment (see `moment.rs`). Pages are full although candidates may fall out.

use chat_core::domain::{Conversation, Member, MemberState, Seq, Visibility};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, UserId};
use chat_core::port::{MembershipPage, MyConversation, Standing, Unread};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mongodb::bson::{Document, doc};

use crate::log::messages::newest_message;
use crate::log::read::ROWS;
use crate::server::database::Database;
use crate::server::query::find_page;
use crate::table::row::{Row, object_id};
use crate::table::schema::{CHATS, MEMBERS, ROOMS};
use crate::view::membership::listed_rows;
use crate::view::moment::{AT_ONCE, Listed, Moment, moments};
use crate::view::unread::unread;

/// As [`RoomStore::standings`](chat_core::port::RoomStore::standings).
pub(crate) async fn standings(
    database: &Database,
    user: UserId,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Standing>, StoreError> {
    // Whoever was removed must not be let in again by a server that does not know of it.
    database.barrier().await?;
    let mut standings = Vec::new();
    let mut candidates = Candidates::new(limit, after);
    while let Some(rows) = candidates.room(standings.len()) {
        let listed = listed_of(database, user, &[true, false], candidates.after, rows).await?;
        candidates.saw(&listed, rows);
        let moments = moments(database, &listed, Some(user)).await?;
        standings.extend(moments.into_iter().filter_map(standing).filter(|one| one.member.is_joined()));
    }
    standings.truncate(limit as usize);
    keep_heads(database, &standings).await?;
    Ok(standings)
}

/// As [`RoomStore::my_conversations`](chat_core::port::RoomStore::my_conversations).
pub(crate) async fn my_conversations(
    database: &Database,
    user: UserId,
    page: MembershipPage,
) -> Result<Vec<MyConversation>, StoreError> {
    let mut shown: Vec<Standing> = Vec::new();
    let mut candidates = Candidates::new(page.limit, page.after);
    while let Some(rows) = candidates.room(shown.len()) {
        let listed = listed_of(database, user, &[page.rooms], candidates.after, rows).await?;
        candidates.saw(&listed, rows);
        let moments = moments(database, &listed, Some(user)).await?;
        let is_shown = |standing: &Standing| {
            matches!(standing.member.state, MemberState::Joined | MemberState::Invited)
                && !standing.conversation.is_closed()
        };
        shown.extend(moments.into_iter().filter_map(standing).filter(is_shown));
    }
    shown.truncate(page.limit as usize);
    keep_heads(database, &shown).await?;
    let mine = shown.into_iter().map(|standing| as_mine(database, standing));
    stream::iter(mine).buffered(AT_ONCE).try_collect().await
}

/// Makes heads durable before anybody is told of them: a client that knows of an entry never asks for another one
/// with its number.
async fn keep_heads(database: &Database, standings: &[Standing]) -> Result<(), StoreError> {
    if standings.is_empty() { Ok(()) } else { database.flush().await }
}

/// As [`RoomStore::all_conversations`](chat_core::port::RoomStore::all_conversations).
pub(crate) async fn all_conversations(
    database: &Database,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Conversation>, StoreError> {
    let mut all = Vec::new();
    let mut candidates = Candidates::new(limit, after);
    while let Some(rows) = candidates.room(all.len()) {
        let (rooms, chats) = tokio::try_join!(
            rows_above(database, ROOMS, candidates.after, rows),
            rows_above(database, CHATS, candidates.after, rows)
        )?;
        let mut listed = [rooms, chats].concat();
        listed.sort_unstable();
        listed.truncate(rows as usize);
        candidates.saw(&listed, rows);
        all.extend(moments(database, &listed, None).await?.into_iter().map(|moment| moment.conversation));
    }
    all.truncate(limit as usize);
    Ok(all)
}

/// What is left to read for a page of a list.
#[derive(Debug)]
pub(crate) struct Candidates {
    limit: usize,
    /// Only those above this one are left.
    pub(crate) after: Option<ConversationId>,
    /// How many to read at least, so that a page of which nearly all fall out is not read one by one.
    least: u32,
    is_end: bool,
}

impl Candidates {
    pub(crate) fn new(limit: u32, after: Option<ConversationId>) -> Self {
        Self { limit: limit as usize, after, least: 1, is_end: false }
    }

    /// How many to read next, when this many are on the page; `None` when it is full or there are no more.
    pub(crate) fn room(&self, listed: usize) -> Option<u32> {
        let room = u32::try_from(self.limit.saturating_sub(listed)).unwrap_or(ROWS);
        (room > 0 && !self.is_end).then(|| room.max(self.least).min(ROWS))
    }

    /// These were read when `rows` were asked for.
    pub(crate) fn saw(&mut self, listed: &[Listed], rows: u32) {
        self.is_end = listed.len() < rows as usize;
        self.after = listed.last().map(|listed| listed.id).or(self.after);
        self.least = rows.saturating_mul(2).min(ROWS);
    }
}

/// Conversations in which a user is joined, invited or about to join.
async fn listed_of(
    database: &Database,
    user: UserId,
    kinds: &[bool],
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Listed>, StoreError> {
    let filter = listed_rows(user, kinds, after);
    let mut find = find_page(MEMBERS, filter, doc! { "conversation": 1 }, limit as usize);
    find.insert("projection", doc! { "_id": 0, "conversation": 1, "is_room": 1 });
    let rows = database.rows(find).await?;
    let listed = rows.iter().map(|row| {
        let row = Row::new(MEMBERS, row);
        Ok(Listed { id: ConversationId::from_bytes(row.id("conversation")?), is_room: row.flag("is_room")? })
    });
    listed.collect()
}

/// Rows of rooms or of chats in the order of their ids.
async fn rows_above(
    database: &Database,
    collection: &'static str,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Listed>, StoreError> {
    let mut filter = Document::new();
    if let Some(after) = after {
        filter.insert("_id", doc! { "$gt": object_id(after.as_bytes()) });
    }
    let mut find = find_page(collection, filter, doc! { "_id": 1 }, limit as usize);
    find.insert("projection", doc! { "_id": 1 });
    let rows = database.rows(find).await?;
    let is_room = collection == ROOMS;
    let id = |row| Row::new(collection, row).id("_id").map(ConversationId::from_bytes);
    rows.iter().map(|row| Ok(Listed { id: id(row)?, is_room })).collect()
}

fn standing(moment: Moment) -> Option<Standing> {
    let Moment { conversation, member } = moment;
    member.map(|member| Standing { conversation, member })
}

/// What a list shows of a conversation.
async fn as_mine(database: &Database, standing: Standing) -> Result<MyConversation, StoreError> {
    let Standing { conversation, member } = standing;
    if !member.is_joined() {
        return Ok(MyConversation { conversation, member, last_message: None, unread: Unread::Exactly(0) });
    }
    let (last_message, unread) = tokio::try_join!(
        last_message(database, &conversation, &member),
        unread(database, &conversation, &member)
    )?;
    Ok(MyConversation { conversation, member, last_message, unread })
}

/// The newest message that a member may read.
async fn last_message(
    database: &Database,
    conversation: &Conversation,
    member: &Member,
) -> Result<Option<chat_core::domain::Entry>, StoreError> {
    let after = match conversation.visibility() {
        Visibility::Public => Seq::ZERO,
        Visibility::Private => member.since_seq,
    };
    newest_message(database, conversation.id, (after, conversation.head)).await
}
