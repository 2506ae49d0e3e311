//! How many messages a user has not read.
//!
//! The log counts messages, but not whose they are, so the senders of unread messages are looked at one by one. What
//! that may cost is bounded: it ends when the answer need not be exact any more, and runs of events are jumped over.

use chat_core::domain::{Conversation, Head, Member, Seq};
use chat_core::error::StoreError;
use chat_core::id::UserId;
use chat_core::limits::hard;
use chat_core::port::Unread;
use mongodb::bson::{Document, doc};

use crate::log::messages::nth_message;
use crate::log::read::Log;
use crate::server::database::Database;
use crate::server::reply::number;
use crate::table::row::{object_id, stored_number};
use crate::table::schema::MESSAGES;

/// Entries that are looked at with one command: if all are messages by others, no more are needed.
const STRETCH: u64 = hard::UNREAD_EXACT + 1;
/// How often at most. Only where most entries are the user's own, or events between single messages, it takes many.
const STRETCHES: usize = 5;

/// Messages by others above the read position of `member`, in the conversation at its head.
pub(crate) async fn unread(
    database: &Database,
    conversation: &Conversation,
    member: &Member,
) -> Result<Unread, StoreError> {
    let head = conversation.head;
    let read = member.read_seq.max(member.since_seq);
    if read >= head.seq {
        return Ok(Unread::Exactly(0));
    }
    let log = Log::new(database, conversation.id);
    let mut at = log.head_at(read).await?;
    let mut others = 0;
    for _ in 0..STRETCHES {
        if at.messages >= head.messages {
            return Ok(Unread::Exactly(others));
        }
        let end = Seq::new(at.seq.get() + STRETCH).unwrap_or(Seq::MAX).min(head.seq);
        let (more, next) = tokio::try_join!(by_others(log, member.user_id, (at.seq, end)), async {
            if end == head.seq { Ok(head) } else { log.head_at(end).await }
        })?;
        others += more;
        if others > hard::UNREAD_EXACT {
            return Ok(Unread::AtLeast(hard::UNREAD_EXACT));
        }
        let is_mostly_events = next.messages.saturating_sub(at.messages) < STRETCH / 2;
        at = if is_mostly_events { before_next_message(log, next, head).await? } else { next };
    }
    Ok(if at.messages >= head.messages { Unread::Exactly(others) } else { Unread::AtLeast(others) })
}

/// The last place at or behind `at` that counts as many messages, if there are more messages.
async fn before_next_message(log: Log<'_>, at: Head, head: Head) -> Result<Head, StoreError> {
    if at.messages >= head.messages {
        return Ok(at);
    }
    let next = nth_message(log, at.messages + 1, (at, head)).await?;
    Ok(Head { seq: next.previous(), ..at })
}

/// Messages above one entry and up to another that the user did not send.
async fn by_others(log: Log<'_>, user: UserId, (after, upto): (Seq, Seq)) -> Result<u64, StoreError> {
    let filter = doc! {
        "conversation": object_id(log.conversation.as_bytes()),
        "seq": { "$gt": stored_number(after.get()), "$lte": stored_number(upto.get()) },
        "sender_id": { "$ne": object_id(user.as_bytes()) },
        "event": { "$ne": true },
    };
    let pipeline = vec![doc! { "$match": filter }, doc! { "$count": "n" }];
    let counted = doc! { "aggregate": MESSAGES, "pipeline": pipeline, "cursor": Document::new() };
    let counted = log.database.row(counted).await?;
    Ok(counted.map_or(0, |row| u64::try_from(number(&row, "n")).unwrap_or_default()))
}
