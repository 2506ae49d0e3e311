//! Logs get their beginning, which says who is a member, and members get their rows. Everybody has read everything:
//! nobody comes back to years of unread messages.

use chat_core::domain::{Entry, EntryBody, Event, Member, Pair, Role, Seq};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::time::Timestamp;
use mongodb::bson::{Document, doc};

use crate::migrate_php::engine::link::{BY_ID, Scan};
use crate::migrate_php::engine::work::Work;
use crate::migrate_php::phase::order::{LAST_SEQ, forget_order};
use crate::migrate_php::phase::rooms::scan;
use crate::migrate_php::report::MigrationError;
use crate::migrate_php::rows::id::{Ids, event_id};
use crate::migrate_php::rows::room::{Room, room};
use crate::migrate_php::rows::value::id_of;
use crate::table::conversations::ConversationRow;
use crate::table::entries::{Place, entry_row};
use crate::table::members::{member_fields, member_id};
use crate::table::row::{object_id, stored_number};
use crate::table::schema::{CHATS, MEMBERS, MESSAGES, ROOMS, USERS};

/// The position of the second half of the phase begins with this.
const IN_CHATS: &str = "chats";

/// One conversation whose beginning is written.
struct Beginning {
    conversation: ConversationId,
    place: Place,
    at: Timestamp,
    /// The last entry of the log: everybody has read up to here.
    last_seq: Seq,
    /// Events so far.
    seq: Seq,
}

/// Writes the first events of all logs, and all members.
pub(crate) async fn write(work: &mut Work<'_>) -> Result<(), MigrationError> {
    let total = work.link.roughly(ROOMS).await? + work.link.roughly(CHATS).await?;
    let position = work.checkpoint.position.clone();
    if position.is_none() {
        forget_order(work).await?;
        // Of an earlier attempt.
        work.write(doc! { "delete": MEMBERS, "deletes": [{ "q": {}, "limit": 0 }] }).await?;
        work.checkpoint.counts.conversations_of_two = 0;
    }
    let mut done =
        position.as_ref().map_or(0, |position| crate::server::reply::number(position, "done").unsigned_abs());
    let after =
        |field: &str| position.as_ref().and_then(|position| position.get_document(field).ok()).cloned();
    if after(IN_CHATS).is_none() {
        let users = Ids::load(&work.link, USERS).await?;
        let mut rooms = scan(&work.link, work.page_rows, after("rooms"));
        loop {
            let rows = rooms.next().await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                write_room(work, row, &users).await?;
                done += 1;
            }
            let position = doc! { "rooms": rooms.position(), "done": stored_number(done) };
            work.page_done(Some(position), done, total).await?;
        }
    }
    let fields = ["user1_id", "user2_id", "pair", "created_by", "created_at", "entry_id", "projected_seq"];
    let fields =
        fields.into_iter().chain(["member_count", LAST_SEQ]).map(|field| (field.to_owned(), 1.into()));
    let mut chats =
        Scan::new(&work.link, CHATS, BY_ID, fields.collect()).rows(work.page_rows).after(after(IN_CHATS));
    loop {
        let rows = chats.next().await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows.iter().filter(|row| row.contains_key("pair")) {
            write_chat(work, row).await?;
            work.checkpoint.counts.conversations_of_two += 1;
        }
        done += rows.len() as u64;
        let position = doc! { IN_CHATS: chats.position(), "done": stored_number(done) };
        work.page_done(Some(position), done, total).await?;
    }
}

async fn write_room(work: &mut Work<'_>, row: &Document, users: &Ids) -> Result<(), MigrationError> {
    let id = row.get("_id").and_then(id_of).ok_or(MigrationError::Disturbed(ROOMS))?;
    if !row.contains_key("entry_id") {
        return Err(MigrationError::Disturbed(ROOMS));
    }
    let (room, _) = room(row, id, users);
    let Room { creator, created_at, is_closed, .. } = room;
    let mut beginning = Beginning {
        conversation: room.id,
        place: Place::Room,
        at: created_at,
        last_seq: last_seq(row, room.events()),
        seq: Seq::ZERO,
    };
    beginning.event(work, creator, room.entry_id(), Event::Created).await?;
    let owner = Member::by_creation(creator, Role::Owner, beginning.seq);
    if is_closed {
        let left = Event::Left { user: creator };
        beginning.event(work, creator, event_id(room.id, creator, "left"), left.clone()).await?;
        let gone = Member::after(Some(owner), creator, creator, &left, beginning.seq);
        if let Some(member) = gone {
            beginning.member(work, member, true).await?;
        }
    } else {
        beginning.member(work, owner, false).await?;
    }
    for user in room.others {
        let joined = Event::Joined { user };
        beginning.event(work, user, event_id(room.id, user, "joined"), joined.clone()).await?;
        if let Some(member) = Member::after(None, user, user, &joined, beginning.seq) {
            beginning.member(work, member, false).await?;
        }
    }
    beginning.finish(work, ROOMS).await
}

async fn write_chat(work: &mut Work<'_>, row: &Document) -> Result<(), MigrationError> {
    let chat = ConversationRow::read_chat(row).map_err(|error| MigrationError::Check(error.to_string()))?;
    let conversation = chat.conversation;
    let pair: Pair = conversation.pair().ok_or(MigrationError::Disturbed(CHATS))?;
    let mut beginning = Beginning {
        conversation: conversation.id,
        place: Place::Chat(pair),
        at: conversation.created_at,
        last_seq: last_seq(row, 1),
        seq: Seq::ZERO,
    };
    beginning.event(work, conversation.created_by, chat.entry_id, Event::Created).await?;
    for user in pair.users() {
        let member = Member::by_creation(user, Role::Member, beginning.seq);
        beginning.member(work, member, false).await?;
    }
    beginning.finish(work, CHATS).await
}

/// The number of the last entry: what the numbering has left in the row, else that of the last event.
fn last_seq(row: &Document, events: u64) -> Seq {
    let numbered = crate::server::reply::number(row, LAST_SEQ).unsigned_abs();
    Seq::new(numbered.max(events)).unwrap_or(Seq::MAX)
}

impl Beginning {
    /// The next event.
    async fn event(
        &mut self,
        work: &mut Work<'_>,
        by: UserId,
        id: EntryId,
        event: Event,
    ) -> Result<(), MigrationError> {
        self.seq = self.seq.next();
        let entry = Entry {
            conversation: self.conversation,
            seq: self.seq,
            id,
            by,
            timestamp: self.at,
            messages_so_far: 0,
            body: EntryBody::Event(event),
        };
        let row = Document::try_from(entry_row(&entry, self.place));
        let mut fields = row.map_err(|error| MigrationError::Check(error.to_string()))?;
        let id = fields.remove("_id");
        work.update(MESSAGES, &doc! { "q": { "_id": id }, "u": { "$set": fields }, "upsert": true }).await
    }

    /// A member by the last event.
    async fn member(
        &self,
        work: &mut Work<'_>,
        member: Member,
        was_joined: bool,
    ) -> Result<(), MigrationError> {
        let read_seq = if member.is_joined() { self.last_seq } else { member.read_seq };
        let member = Member { read_seq, ..member };
        let is_room = self.place == Place::Room;
        let fields = member_fields(self.conversation, is_room, &member, self.seq, was_joined);
        let id = member_id(self.conversation, member.user_id);
        work.update(MEMBERS, &doc! { "q": { "_id": id }, "u": { "$set": fields }, "upsert": true }).await
    }

    /// The conversation is complete.
    async fn finish(self, work: &mut Work<'_>, collection: &'static str) -> Result<(), MigrationError> {
        let update = doc! { "$set": { "projected_seq": stored_number(self.seq.get()) } };
        let id = object_id(self.conversation.as_bytes());
        work.update(collection, &doc! { "q": { "_id": id }, "u": update }).await
    }
}
