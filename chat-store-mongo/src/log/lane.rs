//! Lanes: each sends one insert at a time, with the rows of all conversations that arrived while the last one was on
//! its way. This is the group commit of the store.
//!
//! An insert is ordered, so what is written of a log is always its beginning: a row is tried only after all rows
//! before it are in. A conversation has at most one call in an insert, and always goes through the same lane, so that
//! nothing is numbered after what is not known to be durable.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::Head;
use chat_core::error::StoreError;
use chat_core::id::ConversationId;
use futures::FutureExt as _;
use mongodb::bson::{RawArrayBuf, RawDocumentBuf, cstr, rawdoc};
use tokio::sync::{mpsc, oneshot};

use crate::config::MAJORITY_WAIT;
use crate::log::heads::Heads;
use crate::server::database::{Database, Deployment};
use crate::server::error::CallError;
use crate::server::reply::WriteReply;
use crate::table::schema::MESSAGES;

/// Lanes: while one waits for the disks the other fills.
const LANES: usize = 2;
/// Calls that wait for a lane.
const QUEUE: usize = 4_096;
/// How often senders may go first after an insert: those whose rows went in send their next at once, and are to be in
/// the next insert and not in the one after.
const YIELDS: usize = 3;
/// Rows in one insert.
const ROWS: usize = 1_000;
/// Bytes of rows in one insert; servers take 16 MiB.
const BYTES: usize = 4 * 1_024 * 1_024;
/// How long to wait for the reply: the servers have answered by then, or nobody knows.
const REPLY: Duration = MAJORITY_WAIT.saturating_add(Duration::from_secs(1));

/// Rows of one conversation, numbered from behind `expected`.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) conversation: ConversationId,
    pub(crate) expected: Head,
    /// The head when all rows are in.
    pub(crate) becomes: Head,
    pub(crate) rows: Vec<RawDocumentBuf>,
}

/// What became of an [`Insert`].
#[derive(Debug)]
pub(crate) enum Inserted {
    /// All rows are durable.
    All,
    /// The log is not at the expected head any more. Nothing was written.
    HeadMoved,
    /// A row was refused because its number or its id is there. Rows before it may be written.
    Stuck,
    /// Nothing was written.
    Nothing(StoreError),
    /// Rows may be written or not.
    Unknown,
}

#[derive(Debug)]
struct Call {
    insert: Insert,
    reply: oneshot::Sender<Inserted>,
}

impl Call {
    fn bytes(&self) -> usize {
        self.insert.rows.iter().map(|row| row.as_bytes().len()).sum()
    }

    fn answer(self, inserted: Inserted) {
        // Whoever called may have given up; what is in the log is found there.
        let _ = self.reply.send(inserted);
    }
}

/// All lanes of a store.
#[derive(Debug)]
pub(crate) struct Lanes {
    senders: [mpsc::Sender<Call>; LANES],
}

impl Lanes {
    pub(crate) fn start(database: &Database, heads: &Arc<Heads>) -> Self {
        let senders = std::array::from_fn(|_| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let lane =
                Lane { database: database.clone(), heads: heads.clone(), waiting: VecDeque::new(), receiver };
            database.tasks().spawn(lane.run());
            sender
        });
        Self { senders }
    }

    /// Inserts rows together with those of others.
    pub(crate) async fn insert(&self, insert: Insert) -> Inserted {
        let (reply, answer) = oneshot::channel();
        let Some(sender) = self.senders.get(lane_of(insert.conversation)) else { return Inserted::Unknown };
        if sender.try_send(Call { insert, reply }).is_err() {
            return Inserted::Nothing(StoreError::unavailable("too many appends wait for the database"));
        }
        answer.await.unwrap_or(Inserted::Unknown)
    }
}

/// Which lane serves a conversation. Ids are counted, and not each number is one of a conversation: without mixing, those
/// that are made alike would share a lane.
fn lane_of(conversation: ConversationId) -> usize {
    /// 2^32 divided by the golden ratio: spreads what is counted in any steps.
    const MIX: u32 = 0x9e37_79b9;
    let [.., a, b, c, d] = *conversation.as_bytes();
    (u32::from_be_bytes([a, b, c, d]).wrapping_mul(MIX) >> 16) as usize % LANES
}

struct Lane {
    database: Database,
    heads: Arc<Heads>,
    /// Calls that were taken from the channel, the oldest first.
    waiting: VecDeque<Call>,
    receiver: mpsc::Receiver<Call>,
}

impl Lane {
    /// Works until the store is dropped. A defect costs the calls of one turn, whose outcome is then unknown.
    async fn run(mut self) {
        loop {
            match AssertUnwindSafe(self.turn()).catch_unwind().await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(_panic) => {
                    tracing::error!("a lane of appends panicked");
                    self.heads.forget_all();
                }
            }
        }
    }

    /// Waits for calls, sends one insert and tells what became of it.
    async fn turn(&mut self) -> ControlFlow<()> {
        if self.waiting.is_empty() {
            match self.receiver.recv().await {
                Some(call) => self.waiting.push_back(call),
                None => return ControlFlow::Break(()),
            }
        }
        while self.waiting.len() < QUEUE
            && let Ok(call) = self.receiver.try_recv()
        {
            self.waiting.push_back(call);
        }
        let batch = self.next_batch();
        if !batch.is_empty() {
            self.send(batch).await;
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
        }
        ControlFlow::Continue(())
    }

    /// The oldest calls that fit into one insert, at most one for each conversation.
    fn next_batch(&mut self) -> Vec<Call> {
        let (mut batch, mut later) = (Vec::new(), VecDeque::new());
        let (mut taken, mut rows, mut bytes) = (HashSet::new(), 0, 0);
        while let Some(call) = self.waiting.pop_front() {
            if call.reply.is_closed() {
                // Its caller has given up and told somebody that nobody knows; unsent, it is not written.
                continue;
            }
            let conversation = call.insert.conversation;
            if !taken.insert(conversation) {
                later.push_back(call);
                continue;
            }
            if self.heads.get(conversation).map(|known| known.head) != Some(call.insert.expected) {
                // Its rows would not be numbered after the head; the next of this conversation may be.
                taken.remove(&conversation);
                call.answer(Inserted::HeadMoved);
                continue;
            }
            rows += call.insert.rows.len();
            bytes += call.bytes();
            if !batch.is_empty() && (rows > ROWS || bytes > BYTES) {
                later.push_back(call);
                break;
            }
            batch.push(call);
        }
        later.append(&mut self.waiting);
        self.waiting = later;
        batch
    }

    async fn send(&mut self, batch: Vec<Call>) {
        let rows: usize = batch.iter().map(|call| call.insert.rows.len()).sum();
        metrics::histogram!("chat_store_insert_rows").record(rows as f64);
        let command = match self.command(&batch) {
            Ok(command) => command,
            Err(error) => {
                let error = error.to_string();
                batch
                    .into_iter()
                    .for_each(|call| call.answer(Inserted::Nothing(StoreError::corrupt(error.clone()))));
                return;
            }
        };
        match self.database.write_once(command, REPLY).await {
            Ok(reply) => self.settle(batch, &reply),
            Err(error) => self.fail(batch, &error),
        }
    }

    fn command(&self, batch: &[Call]) -> mongodb::bson::error::Result<RawDocumentBuf> {
        let mut documents = RawArrayBuf::new();
        for row in batch.iter().flat_map(|call| &call.insert.rows) {
            documents.push(row.as_ref());
        }
        let concern = RawDocumentBuf::try_from(&self.database.write_concern(MAJORITY_WAIT))?;
        let mut command = rawdoc! { "insert": MESSAGES, "ordered": true };
        command.append(cstr!("writeConcern"), concern);
        command.append(cstr!("documents"), documents);
        Ok(command)
    }

    /// The server has answered. Both kinds of errors count: a row that is there is not durable because of that.
    fn settle(&mut self, batch: Vec<Call>, reply: &WriteReply) {
        if let Some(error) = &reply.concern_error {
            tracing::warn!(error = %error, "rows were not acknowledged by a majority in time");
            return self.leave_open(batch);
        }
        // What a router says of a failed row says nothing about the rows before it.
        if reply.row_error.is_some() && self.database.deployment() == Deployment::Routed {
            return self.leave_open(batch);
        }
        let failed_at = reply.row_error.as_ref().map(|error| error.index);
        let mut first_row = 0;
        let mut untried = VecDeque::new();
        for call in batch {
            let rows = first_row..first_row + call.insert.rows.len();
            first_row = rows.end;
            match failed_at {
                Some(index) if rows.contains(&index) => {
                    if let Some(error) = reply.row_error.as_ref().filter(|error| !error.is_duplicate()) {
                        tracing::warn!(conversation = %call.insert.conversation, code = error.code(), "a row was refused");
                    }
                    self.heads.forget(call.insert.conversation);
                    call.answer(Inserted::Stuck);
                }
                Some(index) if index < rows.start => untried.push_back(call),
                _ => {
                    self.heads.advance(call.insert.conversation, call.insert.becomes);
                    call.answer(Inserted::All);
                }
            }
        }
        untried.append(&mut self.waiting);
        self.waiting = untried;
    }

    /// There is no reply.
    fn fail(&self, batch: Vec<Call>, error: &CallError) {
        tracing::warn!(error = %error, "an insert failed");
        match error {
            CallError::NotExecuted(_) | CallError::NotSent | CallError::Refused(_) => {
                for call in batch {
                    call.answer(Inserted::Nothing(error.clone().of_write()));
                }
            }
            CallError::Unknown(_) | CallError::Late | CallError::NotAcknowledged(_) => self.leave_open(batch),
        }
    }

    fn leave_open(&self, batch: Vec<Call>) {
        for call in batch {
            self.heads.forget(call.insert.conversation);
            call.answer(Inserted::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_core::domain::Seq;
    use chat_core::id::EntryId;
    use mongodb::bson::doc;

    use super::*;
    use crate::log::heads::Known;
    use crate::table::entries::Place;

    /// What is said of two inserts in one command when the row of the second is there already.
    async fn settled(deployment: Deployment) -> [Inserted; 2] {
        let mut lane = lane(deployment).await;
        let (batch, [one, other]) = two_calls();
        let error = doc! { "index": 1, "code": 11_000, "errmsg": "it is there" };
        lane.settle(batch, &WriteReply::read(&doc! { "ok": 1, "n": 1, "writeErrors": [error] }));
        [one.await.unwrap(), other.await.unwrap()]
    }

    /// A lane that nobody sends to.
    async fn lane(deployment: Deployment) -> Lane {
        let client = mongodb::Client::with_uri_str("mongodb://127.0.0.1:1").await.unwrap();
        let (_sender, receiver) = mpsc::channel(1);
        let database = Database::new(client, "chat", deployment);
        Lane { database, heads: Arc::default(), waiting: VecDeque::new(), receiver }
    }

    fn two_calls() -> (Vec<Call>, [oneshot::Receiver<Inserted>; 2]) {
        let call = || {
            let (reply, answer) = oneshot::channel();
            let becomes = Head { seq: Seq::ZERO.next(), messages: 1 };
            let insert = Insert {
                conversation: ConversationId::generate(),
                expected: Head::default(),
                becomes,
                rows: vec![rawdoc! { "seq": 1 }],
            };
            (Call { insert, reply }, answer)
        };
        let ((one, first), (other, second)) = (call(), call());
        (vec![one, other], [first, second])
    }

    #[tokio::test]
    async fn rows_before_a_failed_one_are_durable_only_where_servers_would_say_that_they_are_not() {
        let settled = [settled(Deployment::Replicated).await, settled(Deployment::Routed).await];
        assert!(matches!(settled[0], [Inserted::All, Inserted::Stuck]), "{settled:?}");
        assert!(matches!(settled[1], [Inserted::Unknown, Inserted::Unknown]), "{settled:?}");
    }

    #[test]
    fn conversations_share_the_lanes_whatever_else_was_made_with_each() {
        for others in 0..8 {
            let mut conversations = [0_usize; LANES];
            for _ in 0..1_000 {
                conversations[lane_of(ConversationId::generate())] += 1;
                for _ in 0..others {
                    let _other = EntryId::generate();
                }
            }
            let share = 1_000 / LANES;
            assert!(conversations.iter().all(|count| count.abs_diff(share) < share / 5), "{conversations:?}");
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_sent() {
        let mut lane = lane(Deployment::Replicated).await;
        let (calls, [one, other]) = two_calls();
        for call in &calls {
            let known = Known { head: call.insert.expected, place: Place::Room };
            lane.heads.insert(call.insert.conversation, known);
        }
        let stays = calls[1].insert.conversation;
        lane.waiting.extend(calls);
        drop(one);
        let batch = lane.next_batch();
        assert_eq!(batch.iter().map(|call| call.insert.conversation).collect::<Vec<_>>(), [stays]);
        drop(other);
    }
}
