//! Appending to a log: optimistic, fenced by the unique index on (conversation, seq), and idempotent by `_id`.
//!
//! The rule behind all of it: *entry n + 1 is written only when n is known to be on the disks of a majority.* Without it
//! a failover can lose n and keep n + 1, and the log has a hole for ever. So drafts are numbered from a head that was
//! acknowledged ([`Heads`]), a conversation has one insert under way, and after anything but a plain success the log is
//! read behind a barrier before anybody is told anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::{Draft, Entry, EntryBody, Event, Head};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId};
use chat_core::port::{Append, Appended};
use mongodb::bson::doc;
use tokio::time::Instant;

use crate::config::WRITE_DEADLINE;
use crate::log::heads::{Heads, Known};
use crate::log::lane::{Insert, Inserted, Lanes};
use crate::log::projection::{announce_join, load_row};
use crate::server::database::Database;
use crate::server::error::unknown;
use crate::server::query::find_page;
use crate::table::conversations::ConversationRow;
use crate::table::entries::{entry_row, read_entry};
use crate::table::row::object_id;
use crate::table::schema::MESSAGES;

/// Waits while an entry of somebody else is neither durable nor gone: the first, doubled up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// Writes logs.
#[derive(Debug)]
pub(crate) struct Appender {
    database: Database,
    heads: Arc<Heads>,
    lanes: Lanes,
}

/// One call of `append`, while it runs.
struct Call {
    conversation: ConversationId,
    expected: Head,
    drafts: Vec<Draft>,
    began: Instant,
    /// What is known to be durable of the drafts.
    stored: HashMap<EntryId, Appended>,
    /// The head behind the last of them that is new.
    reached: Head,
    /// Whether something may have been written, so that failing does not mean that nothing was.
    may_have_written: bool,
}

/// What the log says of a call after it was read.
enum Tail {
    /// Above the expected head are only drafts of this call.
    Ours,
    /// Somebody else has appended.
    Others(Head),
}

impl Appender {
    pub(crate) fn start(database: &Database) -> Self {
        let heads = Arc::new(Heads::default());
        let lanes = Lanes::start(database, &heads);
        Self { database: database.clone(), heads, lanes }
    }

    /// As [`RoomStore::append`](chat_core::port::RoomStore::append).
    pub(crate) async fn append(
        &self,
        conversation: ConversationId,
        expected: Head,
        drafts: Vec<Draft>,
    ) -> Result<Append, StoreError> {
        let known = self.known_at(conversation, expected).await?;
        if known.head != expected {
            return Ok(Append::Conflict(known.head));
        }
        if let Some(Draft { body: EntryBody::Event(Event::Joined { user }), .. }) = drafts.last() {
            announce_join(&self.database, conversation, known.place, *user).await.map_err(not_appended)?;
        }
        let mut call = Call {
            conversation,
            expected,
            drafts,
            began: Instant::now(),
            stored: HashMap::new(),
            reached: expected,
            may_have_written: false,
        };
        let outcome = self.run(&mut call, known).await;
        match outcome {
            Err(error) if call.may_have_written => Err(unknown(error)),
            outcome => outcome,
        }
    }

    /// What is known of the log; read again if it is not known to be at `expected`.
    async fn known_at(&self, conversation: ConversationId, expected: Head) -> Result<Known, StoreError> {
        if let Some(known) = self.heads.get(conversation)
            && (known.head == expected || known.head.seq > expected.seq)
        {
            return Ok(known);
        }
        Ok(self.heads.learn(&self.read(conversation).await?))
    }

    /// The conversation as a majority has it.
    async fn read(&self, conversation: ConversationId) -> Result<ConversationRow, StoreError> {
        self.database.barrier().await?;
        let row = load_row(&self.database, conversation).await?;
        row.ok_or_else(|| StoreError::corrupt(format!("there is no conversation {conversation}")))
    }

    async fn run(&self, call: &mut Call, known: Known) -> Result<Append, StoreError> {
        let (mut pause, longest) = PAUSES;
        loop {
            let (entries, rows) = call.next_rows(known);
            if rows.is_empty() {
                return self.finish(call).await;
            }
            let becomes = entries.last().map_or(call.reached, Entry::head);
            let insert = Insert { conversation: call.conversation, expected: call.reached, becomes, rows };
            match self.lanes.insert(insert).await {
                Inserted::All => {
                    call.note_new(entries);
                    return self.finish(call).await;
                }
                Inserted::Nothing(error) => return Err(error),
                Inserted::HeadMoved => {}
                Inserted::Stuck | Inserted::Unknown => call.may_have_written = true,
            }
            if let Tail::Others(head) = self.find_out(call).await? {
                return Ok(Append::Conflict(head));
            }
            if call.began.elapsed() + pause >= WRITE_DEADLINE {
                return Err(StoreError::unavailable(format!(
                    "the next entry of {} is not decided yet",
                    call.conversation
                )));
            }
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Reads what has become of the drafts and of the log. Everything that a primary had before this began is
    /// durable afterwards, or gone.
    async fn find_out(&self, call: &mut Call) -> Result<Tail, StoreError> {
        self.heads.forget(call.conversation);
        let row = self.read(call.conversation).await?;
        let head = row.conversation.head;
        let entries = self.entries_of(call).await?;
        self.database.flush().await?;
        let tail = call.compare(entries, head)?;
        self.heads.learn(&row);
        Ok(tail)
    }

    /// The drafts that are in the log.
    async fn entries_of(&self, call: &Call) -> Result<Vec<Entry>, StoreError> {
        let ids: Vec<_> = call.drafts.iter().map(|draft| object_id(draft.id.as_bytes())).collect();
        let limit = ids.len();
        let filter = doc! { "_id": { "$in": ids }, "conversation": object_id(call.conversation.as_bytes()) };
        let find = find_page(MESSAGES, filter, doc! {}, limit);
        self.database.rows(find).await?.iter().map(read_entry).collect()
    }

    /// All drafts are in the log; applies what they changed, and answers.
    async fn finish(&self, call: &mut Call) -> Result<Append, StoreError> {
        let is_new_event = call.drafts.last().is_some_and(|last| {
            !last.body.is_message() && matches!(call.stored.get(&last.id), Some(Appended::New(_)))
        });
        if is_new_event {
            call.may_have_written = true;
            let row = load_row(&self.database, call.conversation).await?;
            row.ok_or_else(|| StoreError::corrupt(format!("{} has disappeared", call.conversation)))?;
        }
        call.outcomes()
    }
}

impl Call {
    /// The drafts that are not stored yet, numbered from behind what is.
    fn next_rows(&self, known: Known) -> (Vec<Entry>, Vec<mongodb::bson::RawDocumentBuf>) {
        let mut entries: Vec<Entry> = Vec::with_capacity(self.drafts.len());
        let mut rows = Vec::with_capacity(self.drafts.len());
        let mut head = self.reached;
        for draft in &self.drafts {
            // A draft that comes twice in a call is written once.
            if self.stored.contains_key(&draft.id) || entries.iter().any(|entry| entry.id == draft.id) {
                continue;
            }
            let entry = draft.clone().at(self.conversation, head);
            head = entry.head();
            rows.push(entry_row(&entry, known.place));
            entries.push(entry);
        }
        (entries, rows)
    }

    fn note_new(&mut self, entries: Vec<Entry>) {
        if let Some(last) = entries.last() {
            self.reached = last.head();
        }
        self.stored.extend(entries.into_iter().map(|entry| (entry.id, Appended::New(entry))));
    }

    /// Sorts what was found in the log into what was there before and what this call wrote.
    fn compare(&mut self, entries: Vec<Entry>, head: Head) -> Result<Tail, StoreError> {
        let (old, mut new): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.seq <= self.expected.seq);
        new.sort_by_key(|entry| entry.seq);
        let appended = head.seq.since(self.expected.seq);
        if head.seq < self.expected.seq {
            return Err(StoreError::corrupt(format!("the log of {} has become shorter", self.conversation)));
        }
        self.stored.extend(old.into_iter().map(|entry| (entry.id, Appended::Duplicate(entry))));
        // Rows of a call go in in its order, so it is enough that all of the tail is ours: these drafts, and not others
        // that somebody sent elsewhere under the same ids.
        let is_ours = |entry: &Entry| self.drafts.iter().any(|draft| entry.is_same_as(draft));
        if new.len() as u64 != appended || !new.iter().all(is_ours) {
            return Ok(Tail::Others(head));
        }
        self.may_have_written |= !new.is_empty();
        self.reached = head;
        self.stored.extend(new.into_iter().map(|entry| (entry.id, Appended::New(entry))));
        Ok(Tail::Ours)
    }

    /// What became of each draft. One that came twice is a duplicate the second time.
    fn outcomes(&mut self) -> Result<Append, StoreError> {
        let mut outcomes = Vec::with_capacity(self.drafts.len());
        for draft in &self.drafts {
            let stored = self.stored.get_mut(&draft.id);
            let stored =
                stored.ok_or_else(|| StoreError::corrupt(format!("entry {} is missing", draft.id)))?;
            outcomes.push(stored.clone());
            if let Appended::New(entry) = stored {
                *stored = Appended::Duplicate(entry.clone());
            }
        }
        Ok(Append::Done(outcomes))
    }
}

/// A failure before any entry was sent.
fn not_appended(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(source) | StoreError::Timeout(source) => StoreError::Unavailable(source),
        StoreError::Corrupt(source) => StoreError::Corrupt(source),
    }
}
