//! Member rows: one user's, all of a conversation, and what they say of a user. Lists of a user's conversations are in
//! `lists.rs`.
//!
//! These read rows alone. Rows are at least as new as the head that their reader knows: whoever read a head has
//! applied the log up to there.

use std::collections::HashSet;

use chat_core::domain::{Member, Seq};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, UserId};
use mongodb::bson::{Bson, Document, doc};

use crate::log::projection::{find_member, head};
use crate::log::read::ROWS;
use crate::server::database::Database;
use crate::server::query::find_page;
use crate::server::reply::number;
use crate::table::entries::read_seq;
use crate::table::members::{JOINED, MemberRow, member_key};
use crate::table::row::{Row, object_id, stored_number};
use crate::table::schema::MEMBERS;

/// Conversations that are searched at once for users who share one.
const SEARCHED_AT_ONCE: usize = 200;

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
    let (mut members, mut after): (Vec<Member>, _) = (Vec::new(), after);
    loop {
        let rows = limit.saturating_sub(members.len() as u32).min(ROWS) as usize;
        if rows == 0 {
            return Ok(members);
        }
        let mut filter = doc! { "conversation": object_id(conversation.as_bytes()), "state": JOINED };
        if let Some(after) = after {
            filter.insert("user_id", doc! { "$gt": object_id(after.as_bytes()) });
        }
        let found = database.rows(find_page(MEMBERS, filter, doc! { "user_id": 1 }, rows)).await?;
        for row in &found {
            members.extend(MemberRow::read(row)?.member);
        }
        after = members.last().map(|member| member.user_id);
        if found.len() < rows {
            return Ok(members);
        }
    }
}

/// As [`RoomStore::mark_read`](chat_core::port::RoomStore::mark_read).
pub(crate) async fn mark_read(
    database: &Database,
    conversation: ConversationId,
    user: UserId,
    seq: Seq,
) -> Result<Option<Seq>, StoreError> {
    let (head, row) =
        tokio::try_join!(head(database, conversation), find_member(database, conversation, user))?;
    let member = row.and_then(|row| row.member).filter(Member::is_joined);
    let (Some(head), Some(member)) = (head, member) else { return Ok(None) };
    let seq = seq.min(head.seq);
    // What is read already is not written again.
    if seq <= member.read_seq {
        return Ok(Some(member.read_seq));
    }
    let mut joined = member_key(conversation, user);
    joined.insert("state", JOINED);
    let mark = doc! {
        "findAndModify": MEMBERS,
        "query": joined,
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
    let pipeline = vec![doc! { "$match": filter }, doc! { "$count": "n" }];
    let count = doc! { "aggregate": MEMBERS, "pipeline": pipeline, "cursor": Document::new() };
    let count = database.row(count).await?.map_or(0, |row| number(&row, "n"));
    u32::try_from(count).map_err(StoreError::corrupt)
}

/// As [`RoomStore::sharing`](chat_core::port::RoomStore::sharing).
pub(crate) async fn sharing(
    database: &Database,
    user: UserId,
    others: Vec<UserId>,
) -> Result<Vec<UserId>, StoreError> {
    let (mut sharing, mut strangers) = (Vec::new(), others);
    let mut after = None;
    while !strangers.is_empty() {
        let mine = joined_in(database, user, after).await?;
        let members = members_among(database, &mine, &strangers).await?;
        let (found, rest) = strangers.into_iter().partition(|other| members.contains(other));
        sharing.extend::<Vec<UserId>>(found);
        strangers = rest;
        after = mine.last().copied();
        if mine.len() < SEARCHED_AT_ONCE {
            break;
        }
    }
    Ok(sharing)
}

/// Some of the conversations that a user is joined in, those above `after`.
async fn joined_in(
    database: &Database,
    user: UserId,
    after: Option<ConversationId>,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut filter = listed_rows(user, &[true, false], after);
    filter.insert("state", JOINED);
    let find = find_page(MEMBERS, filter, doc! { "conversation": 1 }, SEARCHED_AT_ONCE);
    let rows = database.rows(find).await?;
    rows.iter().map(|row| Row::new(MEMBERS, row).id("conversation").map(ConversationId::from_bytes)).collect()
}

/// Which of the users are joined in one of the conversations.
async fn members_among(
    database: &Database,
    conversations: &[ConversationId],
    users: &[UserId],
) -> Result<HashSet<UserId>, StoreError> {
    let conversations: Vec<_> = conversations.iter().map(|id| object_id(id.as_bytes())).collect();
    let users: Vec<_> = users.iter().map(|user| object_id(user.as_bytes())).collect();
    let filter =
        doc! { "conversation": { "$in": conversations }, "state": JOINED, "user_id": { "$in": users } };
    let find = doc! {
        "aggregate": MEMBERS,
        "pipeline": [{ "$match": filter }, { "$group": { "_id": "$user_id" } }],
        "cursor": { "batchSize": ROWS },
        // It holds all that is asked for.
        "hint": "by_conversation",
    };
    let rows = database.rows(find).await?;
    rows.iter().map(|row| Row::new(MEMBERS, row).id("_id").map(UserId::from_bytes)).collect()
}

/// Rows of a user who is joined, invited or about to join: in rooms (`true`), private chats, or both.
pub(crate) fn listed_rows(user: UserId, kinds: &[bool], after: Option<ConversationId>) -> Document {
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
