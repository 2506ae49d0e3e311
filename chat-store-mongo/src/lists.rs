//! Members, and the conversations of a user.
//!
//! Lists are read from rows that the log is projected into (see `projection.rs`), and rows can be behind their log by
//! what a crash left undone. So each conversation of a list is read in one order: its row, the user's row, the head,
//! and whether there are events between the row and the head. If there are, or if somebody may be about to join, the
//! conversation is loaded, which applies them, and read again.

use chat_core::domain::{Conversation, Head, Member, MemberState, Seq, Visibility};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::hard;
use chat_core::port::{MembershipPage, MyConversation, Standing, Unread};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mongodb::bson::{Bson, Document, doc};

use crate::conversation::ConversationRow;
use crate::database::Database;
use crate::entry::{MESSAGE_KINDS, read_seq};
use crate::history::{messages_upto, newest_message};
use crate::member::{JOINED, MemberRow, member_id};
use crate::projection::{events_after, find_member, find_row, head, load, load_row};
use crate::query::find_page;
use crate::reply::number;
use crate::row::{Row, object_id, stored_number};
use crate::schema::{CHATS, MEMBERS, MESSAGES, ROOMS};

/// Conversations that are read at the same time for one list.
const AT_ONCE: usize = 16;
/// Rows in one reply.
const ROWS: u32 = 500;

/// As [`RoomStore::member`](chat_core::port::RoomStore::member).
pub(crate) async fn member(
    database: &Database,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Member>, StoreError> {
    Ok(find_member(database, conversation, user).await?.and_then(|row| row.member))
}

/// As [`RoomStore::members`](chat_core::port::RoomStore::members).
pub(crate) async fn members(
    database: &Database,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<Member>, StoreError> {
    let mut members = Vec::new();
    let mut after = after;
    while (members.len() as u64) < u64::from(limit) {
        let rows = (limit - members.len() as u32).min(ROWS);
        let mut filter = doc! { "conversation": object_id(conversation.as_bytes()), "state": JOINED };
        if let Some(after) = after {
            filter.insert("user_id", doc! { "$gt": object_id(after.as_bytes()) });
        }
        let found = database.rows(find_page(MEMBERS, filter, doc! { "user_id": 1 }, rows as usize)).await?;
        let is_end = found.len() < rows as usize;
        for row in &found {
            let row = MemberRow::read(row)?;
            after = Some(row.user);
            members.extend(row.member);
        }
        if is_end {
            break;
        }
    }
    Ok(members)
}

/// As [`RoomStore::mark_read`](chat_core::port::RoomStore::mark_read).
pub(crate) async fn mark_read(
    database: &Database,
    conversation: ConversationId,
    user: UserId,
    seq: Seq,
) -> Result<Option<Seq>, StoreError> {
    let Some(head) = head(database, conversation).await? else { return Ok(None) };
    let seq = seq.min(head.seq);
    let mark = doc! {
        "findAndModify": MEMBERS,
        "query": { "_id": member_id(conversation, user), "state": JOINED },
        "update": { "$max": { "read_seq": stored_number(seq.get()) } },
        "new": true,
        "fields": { "read_seq": 1 },
    };
    let reply = database.write_raw(mark).await?;
    match reply.get("value") {
        Some(Bson::Document(row)) => read_seq(Row::new(MEMBERS, row), "read_seq").map(Some),
        _ => Ok(None),
    }
}

/// As [`RoomStore::room_count`](chat_core::port::RoomStore::room_count).
pub(crate) async fn room_count(database: &Database, user: UserId) -> Result<u32, StoreError> {
    let filter = doc! {
        "user_id": object_id(user.as_bytes()),
        "listed": true,
        "is_room": true,
        "state": JOINED,
    };
    let count = database.read(doc! { "count": MEMBERS, "query": filter }).await?;
    u32::try_from(number(&count, "n")).map_err(StoreError::corrupt)
}

/// As [`RoomStore::sharing`](chat_core::port::RoomStore::sharing).
pub(crate) async fn sharing(
    database: &Database,
    user: UserId,
    others: Vec<UserId>,
) -> Result<Vec<UserId>, StoreError> {
    let mut strangers = others;
    strangers.sort_unstable();
    strangers.dedup();
    let (mut sharing, mut after) = (Vec::new(), None);
    while !strangers.is_empty() {
        let mine = joined_in(database, user, after, ROWS).await?;
        let Some(last) = mine.last() else { break };
        after = Some(*last);
        let ids: Vec<_> = mine.iter().map(|id| object_id(id.as_bytes())).collect();
        let users: Vec<_> = strangers.iter().map(|user| object_id(user.as_bytes())).collect();
        let found = doc! {
            "distinct": MEMBERS,
            "key": "user_id",
            "query": {
                "user_id": { "$in": users },
                "listed": true,
                "is_room": { "$in": [true, false] },
                "conversation": { "$in": ids },
                "state": JOINED,
            },
        };
        let found = database.read(found).await?;
        let found = found.get_array("values").map_err(StoreError::corrupt)?;
        let known = |user: &UserId| found.contains(&Bson::ObjectId(object_id(user.as_bytes())));
        let (shared, rest): (Vec<UserId>, Vec<UserId>) = strangers.into_iter().partition(known);
        sharing.extend(shared);
        strangers = rest;
    }
    Ok(sharing)
}

/// The conversations that a user is joined in, by rows alone.
async fn joined_in(
    database: &Database,
    user: UserId,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut filter = listed(user, &[true, false], after);
    filter.insert("state", JOINED);
    let rows = database.rows(find_page(MEMBERS, filter, doc! { "conversation": 1 }, limit as usize)).await?;
    rows.iter().map(|row| Row::new(MEMBERS, row).id("conversation").map(ConversationId::from_bytes)).collect()
}

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
    let mut rows = Rows { user, kinds: &[true, false], after };
    while standings.len() < limit as usize {
        let Some(page) = rows.next(database, limit).await? else { break };
        let joined = page.into_iter().filter(|standing| standing.member.is_joined());
        standings.extend(joined);
    }
    standings.truncate(limit as usize);
    Ok(standings)
}

/// As [`RoomStore::my_conversations`](chat_core::port::RoomStore::my_conversations).
pub(crate) async fn my_conversations(
    database: &Database,
    user: UserId,
    page: MembershipPage,
) -> Result<Vec<MyConversation>, StoreError> {
    let kinds: &[bool] = if page.rooms { &[true] } else { &[false] };
    let mut mine = Vec::new();
    let mut rows = Rows { user, kinds, after: page.after };
    while mine.len() < page.limit as usize {
        let Some(standings) = rows.next(database, page.limit).await? else { break };
        mine.extend(standings.into_iter().filter(|standing| !standing.conversation.is_closed()));
    }
    mine.truncate(page.limit as usize);
    let shown = mine.into_iter().map(|standing| as_mine(database, standing));
    stream::iter(shown).buffered(AT_ONCE).try_collect().await
}

/// As [`RoomStore::all_conversations`](chat_core::port::RoomStore::all_conversations).
pub(crate) async fn all_conversations(
    database: &Database,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Vec<Conversation>, StoreError> {
    let mut all = Vec::new();
    let mut after = after;
    while all.len() < limit as usize {
        let rows = (limit - all.len() as u32).min(ROWS);
        let filter = match after {
            Some(after) => doc! { "_id": { "$gt": object_id(after.as_bytes()) } },
            None => doc! {},
        };
        let mut chats = filter.clone();
        chats.insert("merged_into", doc! { "$exists": false });
        let (rooms, chats) = tokio::join!(
            database.rows(find_page(ROOMS, filter, doc! { "_id": 1 }, rows as usize)),
            database.rows(find_page(CHATS, chats, doc! { "_id": 1 }, rows as usize)),
        );
        let mut ids = Vec::new();
        for (collection, found) in [(ROOMS, rooms?), (CHATS, chats?)] {
            for row in &found {
                ids.push(ConversationId::from_bytes(Row::new(collection, row).id("_id")?));
            }
        }
        ids.sort_unstable();
        ids.truncate(rows as usize);
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        let loads = ids.into_iter().map(|id| load(database, id));
        let loaded: Vec<_> = stream::iter(loads).buffered(AT_ONCE).try_collect().await?;
        all.extend(loaded.into_iter().flatten());
    }
    Ok(all)
}

/// The rows of a user that may be conversations of a list, page by page.
struct Rows {
    user: UserId,
    /// Rooms (`true`), private chats, or both.
    kinds: &'static [bool],
    after: Option<ConversationId>,
}

impl Rows {
    /// The next conversations in which the user is joined or invited; `None` at the end.
    async fn next(&mut self, database: &Database, limit: u32) -> Result<Option<Vec<Standing>>, StoreError> {
        let find = find_page(
            MEMBERS,
            listed(self.user, self.kinds, self.after),
            doc! { "conversation": 1 },
            limit.min(ROWS) as usize,
        );
        let rows = database.rows(find).await?;
        let ids: Result<Vec<_>, StoreError> = rows
            .iter()
            .map(|row| Row::new(MEMBERS, row).id("conversation").map(ConversationId::from_bytes))
            .collect();
        let ids = ids?;
        let Some(last) = ids.last() else { return Ok(None) };
        self.after = Some(*last);
        let user = self.user;
        let standings = ids.into_iter().map(|id| standing(database, id, user));
        let standings: Vec<_> = stream::iter(standings).buffered(AT_ONCE).try_collect().await?;
        Ok(Some(standings.into_iter().flatten().collect()))
    }
}

/// Where a user stands in a conversation at one moment; `None` unless joined or invited.
async fn standing(
    database: &Database,
    id: ConversationId,
    user: UserId,
) -> Result<Option<Standing>, StoreError> {
    let (conversation, member) = match at_one_moment(database, id, user).await? {
        Some(moment) => moment,
        None => {
            let Some(row) = load_row(database, id).await? else { return Ok(None) };
            // Read after the conversation, so it is at least as new; a newer one is as true.
            (row.conversation, find_member(database, id, user).await?.and_then(|row| row.member))
        }
    };
    let member = member.filter(|member| matches!(member.state, MemberState::Joined | MemberState::Invited));
    Ok(member.map(|member| Standing { conversation, member }))
}

/// The conversation at its head and the user's row in it; `None` if rows and log do not agree, or may not.
async fn at_one_moment(
    database: &Database,
    id: ConversationId,
    user: UserId,
) -> Result<Option<(Conversation, Option<Member>)>, StoreError> {
    let Some(ConversationRow { mut conversation, projected_seq, .. }) = find_row(database, id).await? else {
        return Ok(None);
    };
    let Some(row) = find_member(database, id, user).await? else { return Ok(None) };
    if projected_seq == Seq::ZERO || row.is_joining || row.member.is_none() {
        return Ok(None);
    }
    let Some(head) = head(database, id).await? else { return Ok(None) };
    if !events_after(database, id, projected_seq).await?.is_empty() {
        return Ok(None);
    }
    conversation.head = head;
    Ok(Some((conversation, row.member)))
}

/// What a list shows of a conversation.
async fn as_mine(database: &Database, standing: Standing) -> Result<MyConversation, StoreError> {
    let Standing { conversation, member } = standing;
    let (last_message, unread) = if member.is_joined() {
        let first = match conversation.visibility() {
            Visibility::Public => Seq::ZERO,
            Visibility::Private => member.since_seq,
        };
        let last_message = newest_message(database, conversation.id, first).await?;
        (last_message, unread(database, conversation.id, conversation.head, &member).await?)
    } else {
        (None, Unread::Exactly(0))
    };
    Ok(MyConversation { conversation, member, last_message, unread })
}

/// How many messages by others are above the read position.
async fn unread(
    database: &Database,
    id: ConversationId,
    head: Head,
    member: &Member,
) -> Result<Unread, StoreError> {
    let read = member.read_seq.max(member.since_seq).min(head.seq);
    if read == head.seq {
        return Ok(Unread::Exactly(0));
    }
    let above = head.messages.saturating_sub(messages_upto(database, id, read).await?);
    if above == 0 {
        return Ok(Unread::Exactly(0));
    }
    // The difference has the user's own messages among it, so they are looked at one by one: until the answer need
    // not be exact, or so many were their own that it cannot be.
    let bound = 2 * hard::UNREAD_EXACT;
    let is_whole = above <= bound;
    let upto =
        if is_whole { head.seq } else { Seq::new(read.get() + bound).unwrap_or(head.seq).min(head.seq) };
    let others = messages_by_others(database, id, member.user_id, (read, upto)).await?;
    Ok(if is_whole && others <= hard::UNREAD_EXACT {
        Unread::Exactly(others)
    } else {
        Unread::AtLeast(others.min(hard::UNREAD_EXACT))
    })
}

/// Messages between two entries that the user did not send; one more than is counted exactly, if there are more.
async fn messages_by_others(
    database: &Database,
    id: ConversationId,
    user: UserId,
    (after, upto): (Seq, Seq),
) -> Result<u64, StoreError> {
    let range = doc! { "$gt": stored_number(after.get()), "$lte": stored_number(upto.get()) };
    let filter = doc! {
        "conversation": object_id(id.as_bytes()),
        "seq": range,
        "sender_id": { "$ne": object_id(user.as_bytes()) },
        "type": { "$in": MESSAGE_KINDS.to_vec() },
    };
    let limit = stored_number(hard::UNREAD_EXACT + 1);
    let count = database.read(doc! { "count": MESSAGES, "query": filter, "limit": limit }).await?;
    Ok(u64::try_from(number(&count, "n")).unwrap_or_default())
}

/// Rows of a user that are joined, invited or about to join.
fn listed(user: UserId, kinds: &[bool], after: Option<ConversationId>) -> Document {
    let mut filter = doc! {
        "user_id": object_id(user.as_bytes()),
        "listed": true,
        "is_room": { "$in": kinds.to_vec() },
    };
    if let Some(after) = after {
        filter.insert("conversation", doc! { "$gt": object_id(after.as_bytes()) });
    }
    filter
}
