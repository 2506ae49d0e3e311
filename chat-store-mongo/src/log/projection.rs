//! What the log makes of members and conversations, written down so that lists need not read logs.
//!
//! An entry is in the log before its effect is in these rows, and a crash may come between. So whoever loads a
//! conversation first applies the events above its row's `projected_seq`, in order, and only then believes the rows.
//! Any number of nodes may do that at once: a member row says by which entry it was made, and takes only later ones;
//! a conversation's row moves from exactly the event before to the next.
//!
//! A user's conversations are found by member rows. So that a join that was entered and not applied is found as well,
//! its row is marked as `joining` before the entry is written; who meets the mark loads the conversation.

use std::time::Duration;

use chat_core::domain::{
    Conversation, ConversationKind, Draft, Entry, EntryBody, Event, Head, Member, Role, Seq,
};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, UserId};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use tokio::time::Instant;

use crate::config::WRITE_DEADLINE;
use crate::server::database::Database;
use crate::server::query::{find_one, find_page};
use crate::table::conversations::ConversationRow;
use crate::table::entries::{Place, entry_row, read_entry, read_seq};
use crate::table::members::{INTENT, MemberRow, member_fields, member_id, member_key};
use crate::table::row::{Row, object_id, stored_number};
use crate::table::schema::{CHATS, MEMBERS, MESSAGES, ROOMS};

/// Events applied after one read of the log.
const EVENTS: usize = 100;
/// How long to wait when another node is applying the same events.
const PAUSE: Duration = Duration::from_millis(2);

/// Whether an event was applied by this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Applied,
    /// Another node was faster: what is known here is old.
    Overtaken,
}

/// The conversation at its head, after everything that its log says was applied to its rows.
pub(crate) async fn load(
    database: &Database,
    id: ConversationId,
) -> Result<Option<Conversation>, StoreError> {
    Ok(load_row(database, id).await?.map(|row| row.conversation))
}

/// As [`load`], with what only the store knows of a conversation.
pub(crate) async fn load_row(
    database: &Database,
    id: ConversationId,
) -> Result<Option<ConversationRow>, StoreError> {
    let begin = Instant::now();
    loop {
        // In this order: if there is no event between the row and a head that was read after it, the two agree.
        let Some(mut row) = find_row(database, id).await? else { return Ok(None) };
        if row.projected_seq == Seq::ZERO {
            finish_creation(database, &row).await?;
            continue;
        }
        let head = head(database, id).await?;
        let events = events_after(database, id, row.projected_seq).await?;
        if events.is_empty() {
            row.conversation.head =
                head.ok_or_else(|| StoreError::corrupt(format!("the log of {id} is gone")))?;
            return Ok(Some(row));
        }
        for event in &events {
            if apply(database, &mut row, event).await? == Step::Overtaken {
                tokio::time::sleep(PAUSE).await;
                break;
            }
        }
        if begin.elapsed() >= WRITE_DEADLINE {
            return Err(StoreError::unavailable(format!("the events of {id} are not applied yet")));
        }
    }
}

/// The row of a conversation, of whichever kind; its head is not known.
pub(crate) async fn find_row(
    database: &Database,
    id: ConversationId,
) -> Result<Option<ConversationRow>, StoreError> {
    let find =
        |collection: &str| database.row(find_one(collection, doc! { "_id": object_id(id.as_bytes()) }));
    let (room, chat) = tokio::join!(find(ROOMS), find(CHATS));
    if let Some(room) = room? {
        return ConversationRow::read_room(&room).map(Some);
    }
    match chat? {
        // A chat that was merged into another is no conversation any more.
        Some(chat) if !chat.contains_key("merged_into") => ConversationRow::read_chat(&chat).map(Some),
        _ => Ok(None),
    }
}

/// How far a log has come; `None` for a log without entries.
pub(crate) async fn head(database: &Database, id: ConversationId) -> Result<Option<Head>, StoreError> {
    let filter = doc! { "conversation": object_id(id.as_bytes()), "seq": { "$gte": 0_i64 } };
    let mut find = find_page(MESSAGES, filter, doc! { "seq": -1 }, 1);
    find.insert("projection", doc! { "seq": 1, "messages_so_far": 1 });
    let Some(fields) = database.row(find).await? else { return Ok(None) };
    let row = Row::new(MESSAGES, &fields);
    Ok(Some(Head { seq: read_seq(row, "seq")?, messages: row.number("messages_so_far")? }))
}

/// The oldest events of a log above `after`.
pub(crate) async fn events_after(
    database: &Database,
    id: ConversationId,
    after: Seq,
) -> Result<Vec<Entry>, StoreError> {
    let find = find_events(id, (after, Seq::MAX), EVENTS);
    database.rows(find).await?.iter().map(read_entry).collect()
}

/// Whether there is an event above one entry and up to another.
pub(crate) async fn has_event(
    database: &Database,
    id: ConversationId,
    (after, upto): (Seq, Seq),
) -> Result<bool, StoreError> {
    if after >= upto {
        return Ok(false);
    }
    let mut find = find_events(id, (after, upto), 1);
    // What the index holds is enough.
    find.insert("projection", doc! { "_id": 0, "seq": 1 });
    Ok(database.row(find).await?.is_some())
}

fn find_events(id: ConversationId, (after, upto): (Seq, Seq), limit: usize) -> Document {
    let filter = doc! {
        "event": true,
        "conversation": object_id(id.as_bytes()),
        "seq": { "$gt": stored_number(after.get()), "$lte": stored_number(upto.get()) },
    };
    let mut find = find_page(MESSAGES, filter, doc! { "seq": 1 }, limit);
    // A planner that has seen logs of events alone may take the other index, and read all messages.
    find.insert("hint", "events");
    find
}

/// Marks that this user may be about to become a member.
pub(crate) async fn announce_join(
    database: &Database,
    id: ConversationId,
    place: Place,
    user: UserId,
) -> Result<(), StoreError> {
    let first = doc! {
        "user_id": object_id(user.as_bytes()),
        "is_room": place == Place::Room,
        "state": INTENT,
        "at_seq": 0_i64,
    };
    let update = doc! {
        "q": member_key(id, user),
        "u": { "$set": { "joining": true, "listed": true }, "$setOnInsert": first },
        "upsert": true,
    };
    let reply = database.write(doc! { "update": MEMBERS, "updates": [update] }).await?;
    match reply.row_error {
        // Somebody inserted the row at the same moment, with the same mark.
        Some(error) if !error.is_duplicate() => Err(error.refused(MEMBERS)),
        _ => Ok(()),
    }
}

/// Goes on with a creation from what its row says: entry 1, the first members, the row itself.
async fn finish_creation(database: &Database, row: &ConversationRow) -> Result<(), StoreError> {
    let conversation = &row.conversation;
    let entry = Draft {
        id: row.entry_id,
        by: conversation.created_by,
        timestamp: conversation.created_at,
        body: EntryBody::Event(Event::Created),
    }
    .at(conversation.id, Head::default());
    insert_if_absent(database, MESSAGES, &entry_row(&entry, row.place())).await?;

    let first_members = match &conversation.kind {
        ConversationKind::Room { .. } => vec![(conversation.created_by, Role::Owner)],
        ConversationKind::Private(pair) => pair.users().map(|user| (user, Role::Member)).to_vec(),
    };
    for (user, role) in &first_members {
        let member = Member::by_creation(*user, *role, entry.seq);
        write_member(database, row, &member, entry.seq, false).await?;
    }
    let mut set = doc! {
        "projected_seq": stored_number(entry.seq.get()),
        "member_count": stored_number(first_members.len() as u64),
    };
    if conversation.pair().is_none() {
        set.insert("owners", vec![object_id(conversation.created_by.as_bytes())]);
    }
    move_row(database, row, doc! { "$set": set }).await?;
    Ok(())
}

/// Applies the next event to the rows.
async fn apply(database: &Database, row: &mut ConversationRow, entry: &Entry) -> Result<Step, StoreError> {
    let EntryBody::Event(event) = &entry.body else {
        return Err(StoreError::corrupt(format!(
            "entry {} of {} is no event",
            entry.seq, entry.conversation
        )));
    };
    let mut set = doc! { "projected_seq": stored_number(entry.seq.get()) };
    let mut update = Document::new();
    if let Event::Updated { name, topic } = event {
        if let Some(name) = name {
            set.insert("name", name.as_str());
            set.insert("name_folded", name.folded());
        }
        if let Some(topic) = topic {
            set.insert("topic", topic.as_str());
        }
    }
    if let Some(user) = event.user() {
        let Some(change) = apply_to_member(database, row, entry, user).await? else {
            return Ok(Step::Overtaken);
        };
        update.insert("$inc", doc! { "member_count": change.joined });
        let owners = doc! { "owners": object_id(user.as_bytes()) };
        update.insert(if change.is_owner { "$addToSet" } else { "$pull" }, owners);
    }
    update.insert("$set", set);
    let is_moved = move_row(database, row, update).await?;
    // The caller goes on from here; the rest of the row is read again before it is believed.
    row.projected_seq = entry.seq;
    Ok(if is_moved { Step::Applied } else { Step::Overtaken })
}

/// What an event changed about the conversation's members.
#[derive(Debug, Default)]
struct Change {
    joined: i64,
    is_owner: bool,
}

/// `None` if later events were applied to the member already.
async fn apply_to_member(
    database: &Database,
    row: &ConversationRow,
    entry: &Entry,
    user: UserId,
) -> Result<Option<Change>, StoreError> {
    let EntryBody::Event(event) = &entry.body else { return Ok(None) };
    let before = find_member(database, row.conversation.id, user).await?;
    let (member, was_joined) = match before {
        Some(applied) if applied.at_seq > entry.seq => return Ok(None),
        // Applied, but perhaps not counted.
        Some(applied) if applied.at_seq == entry.seq => (applied.member, applied.was_joined),
        before => {
            let was_joined = before.as_ref().is_some_and(MemberRow::is_joined);
            let before = before.and_then(|row| row.member);
            let after = Member::after(before.clone(), user, entry.by, event, entry.seq);
            if let Some(after) = &after
                && !write_member(database, row, after, entry.seq, was_joined).await?
            {
                return Ok(None);
            }
            (after.or(before), was_joined)
        }
    };
    let is_joined = member.as_ref().is_some_and(Member::is_joined);
    Ok(Some(Change {
        joined: i64::from(is_joined) - i64::from(was_joined),
        is_owner: is_joined && member.is_some_and(|member| member.role == Role::Owner),
    }))
}

/// The row of a user in a conversation.
pub(crate) async fn find_member(
    database: &Database,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<MemberRow>, StoreError> {
    let find = find_one(MEMBERS, doc! { "_id": member_id(conversation, user) });
    database.row(find).await?.as_ref().map(MemberRow::read).transpose()
}

/// Writes a member's row unless this entry or a later one was applied to it. Answers whether it did, or whether
/// an earlier attempt of the same had.
async fn write_member(
    database: &Database,
    row: &ConversationRow,
    member: &Member,
    at_seq: Seq,
    was_joined: bool,
) -> Result<bool, StoreError> {
    let conversation = row.conversation.id;
    let is_room = row.conversation.pair().is_none();
    let mut set = member_fields(conversation, is_room, member, at_seq, was_joined);
    // Somebody may be moving the read position at this moment; it never goes back.
    let read_seq = set.remove("read_seq");
    let mut earlier = member_key(conversation, member.user_id);
    earlier.insert("at_seq", doc! { "$lt": stored_number(at_seq.get()) });
    let update = doc! {
        "q": earlier,
        "u": { "$set": set, "$max": { "read_seq": read_seq } },
        "upsert": true,
    };
    let reply = database.write(doc! { "update": MEMBERS, "updates": [update] }).await?;
    match reply.row_error {
        None => Ok(true),
        // The row exists and was made by this entry or a later one.
        Some(error) if error.is_duplicate() => Ok(false),
        Some(error) => Err(error.refused(MEMBERS)),
    }
}

/// Changes a conversation's row if it still is at the event from which `row` was read. Answers whether it was.
async fn move_row(database: &Database, row: &ConversationRow, change: Document) -> Result<bool, StoreError> {
    let query = doc! {
        "_id": object_id(row.conversation.id.as_bytes()),
        "projected_seq": stored_number(row.projected_seq.get()),
    };
    let update = doc! { "q": query, "u": change };
    let reply = database.write(doc! { "update": row.collection(), "updates": [update] }).await?;
    match reply.row_error {
        None => Ok(reply.matched == 1),
        Some(error) => Err(error.refused(row.collection())),
    }
}

/// Inserts a row; one that exists already stays as it is.
async fn insert_if_absent(
    database: &Database,
    collection: &str,
    row: &RawDocumentBuf,
) -> Result<(), StoreError> {
    let row = Document::try_from(row).map_err(StoreError::corrupt)?;
    let reply = database.write(doc! { "insert": collection, "documents": [row] }).await?;
    match reply.row_error {
        Some(error) if !error.is_duplicate() => Err(error.refused(collection)),
        _ => Ok(()),
    }
}
