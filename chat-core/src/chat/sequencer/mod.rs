//! One log, one writer: the sequencer of a conversation.
//!
//! Whatever wants to add an entry is queued here in the order of arrival. A task that
//! lives while there is work takes everything that arrived during the last append,
//! decides each against the log that it extends, appends it in one call, and then
//! publishes and answers. It belongs to the engine, not to a connection: a client that
//! leaves changes nothing.
//!
//! Named invariants:
//! - *one append in flight* per conversation;
//! - *decided on the prefix*: an operation is authorised against exactly the entries
//!   before its own, and again after every conflict;
//! - *published in order*: entries reach the hub once each, in order, only when durable;
//! - *always answered*: every submission gets one answer, in time, also when a store hangs or panics;
//! - *nothing durable stays unknown*: a write whose outcome is not known is work that goes on, whatever
//!   was answered (`doubt.rs`), and what the log turns out to have is published to everybody whom it
//!   concerns, from the last entry that the hub was given (`read_on` in `append.rs`).

mod append;
mod doubt;
mod publish;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::doubt::Doubt;
use super::engine::Engine;
use super::log_state::{Learned, LogState, RowsVersion};
use super::operation::{ConversationRef, Operation};
use crate::domain::{Conversation, Entry, Head, Member, Seq};
use crate::error::ActionError;
use crate::id::{ConversationId, EntryId, UserId};
use crate::limits::hard;
use crate::port::NewConversation;
use crate::time::Timestamp;

/// How long to wait before it is looked again what became of an unknown outcome; doubles up to the second.
const RESYNC_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What became of an operation: the entry it made or had made before; `None` if nothing had to change.
pub(crate) type Outcome = Result<Option<Arc<Entry>>, ActionError>;

/// Where an outcome goes, once. Answers `internal` if it is dropped without one.
pub(crate) struct Reply(Option<Box<dyn FnOnce(Outcome) + Send + Sync>>);

impl Reply {
    pub(crate) fn new(answer: impl FnOnce(Outcome) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(answer)))
    }

    /// Answers without having asked the log.
    pub(crate) fn refuse(self, error: ActionError) {
        self.send(Err(error));
    }

    fn send(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    /// Answers, and stays with whoever goes on with the operation.
    fn tell(&mut self, outcome: Outcome) {
        if let Some(answer) = self.0.take() {
            answer(outcome);
        }
    }

    fn is_answered(&self) -> bool {
        self.0.is_none()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(Err(ActionError::internal()));
        }
    }
}

/// An operation on its way into the log. Its entry id is fixed here and kept through every retry.
pub(crate) struct Submission {
    pub(crate) operation: Operation,
    pub(crate) named: ConversationRef,
    pub(crate) by: UserId,
    pub(crate) id: EntryId,
    pub(crate) arrived_at: Timestamp,
    pub(crate) reply: Reply,
}

/// Answers a creation.
type CreationReply = oneshot::Sender<Result<Arc<Conversation>, ActionError>>;

/// Answers whoever waits until the log is read. They may have left: then an answer is lost on nobody.
type Reader = oneshot::Sender<Result<(), ActionError>>;

enum Work {
    /// Bring the conversation into being; nobody can know its id before.
    Create(NewConversation, CreationReply),
    Submit(Submission),
    /// Be loaded and have applied the log up to this entry, then answer. [`Seq::MAX`]: whatever it has now.
    Reach(Seq, Option<Reader>),
    /// Make live delivery to a user what the log says it is, then answer.
    Correct(UserId, Reader),
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    is_worked_on: bool,
    used_at: Option<Instant>,
}

pub(crate) struct Sequencer {
    conversation: ConversationId,
    queue: Mutex<Queue>,
    state: Mutex<Option<LogState>>,
    /// What was handed to the store without a clear answer.
    doubt: Mutex<Doubt>,
}

impl std::fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequencer").field("conversation", &self.conversation).finish_non_exhaustive()
    }
}

/// What a reader sees of a conversation at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) conversation: Arc<Conversation>,
    pub(crate) member: Option<Member>,
}

impl Sequencer {
    pub(crate) fn new(conversation: ConversationId) -> Self {
        Self { conversation, queue: Mutex::default(), state: Mutex::default(), doubt: Mutex::default() }
    }

    /// Queues an operation. Never waits; a full queue answers `unavailable`.
    pub(crate) fn submit(self: &Arc<Self>, engine: &Arc<Engine>, submission: Submission) {
        if let Some(Work::Submit(refused)) = self.enqueue(engine, Work::Submit(submission)) {
            refused.reply.send(Err(ActionError::unavailable()));
        }
    }

    /// Creates the conversation, or answers the one that the pair has already.
    pub(crate) async fn create(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        new: NewConversation,
    ) -> Result<Arc<Conversation>, ActionError> {
        let (sender, receiver) = oneshot::channel();
        if self.enqueue(engine, Work::Create(new, sender)).is_some() {
            return Err(ActionError::unavailable());
        }
        receiver.await.unwrap_or_else(|_| Err(ActionError::internal()))
    }

    /// Reads on in its turn if the log is not applied up to `seq`, to which it is said to have come.
    pub(crate) fn catch_up(self: &Arc<Self>, engine: &Arc<Engine>, seq: Seq) {
        // A full queue is work that will find out itself.
        drop(self.enqueue(engine, Work::Reach(seq, None)));
    }

    /// Waits until the log, which has come to `seq`, is applied up to there.
    pub(crate) async fn reach(self: &Arc<Self>, engine: &Arc<Engine>, seq: Seq) -> Result<(), ActionError> {
        if self.applied_head().is_some_and(|applied| applied.seq >= seq) {
            return Ok(());
        }
        self.wait_for(engine, |reader| Work::Reach(seq, Some(reader))).await
    }

    /// Reads on, and makes live delivery to a user what the log says.
    pub(crate) async fn correct(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        user: UserId,
    ) -> Result<(), ActionError> {
        self.wait_for(engine, |reader| Work::Correct(user, reader)).await
    }

    /// The head that this node has applied, if it has loaded the conversation.
    pub(crate) fn applied_head(&self) -> Option<Head> {
        self.lock_state().as_ref().map(LogState::head)
    }

    /// The conversation and a user's row at the applied head.
    pub(crate) async fn snapshot(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        user: UserId,
    ) -> Result<Snapshot, ActionError> {
        loop {
            let known = self.lock_state().as_ref().map(|state| {
                let row = state.knows(user).then(|| state.member(user).cloned());
                (state.conversation().clone(), row, state.rows_version())
            });
            match known {
                Some((conversation, Some(member), _)) => return Ok(Snapshot { conversation, member }),
                Some((_, None, version)) => {
                    if let Learned::Ahead(seq) = self.learn(engine, user, version).await? {
                        self.reach(engine, seq).await?;
                    }
                }
                None => self.reach(engine, Seq::ZERO).await?,
            }
        }
    }

    /// The conversation at the applied head.
    pub(crate) async fn conversation(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
    ) -> Result<Arc<Conversation>, ActionError> {
        loop {
            if let Some(state) = self.lock_state().as_ref() {
                return Ok(state.conversation().clone());
            }
            self.reach(engine, Seq::ZERO).await?;
        }
    }

    /// Whether nothing is queued, nothing was for `idle`, and no write is in doubt.
    pub(crate) fn is_idle(&self, idle: Duration) -> bool {
        if self.is_in_doubt() {
            return false;
        }
        let queue = self.lock_queue();
        !queue.is_worked_on
            && queue.waiting.is_empty()
            && queue.used_at.is_none_or(|used_at| used_at.elapsed() >= idle)
    }

    async fn wait_for(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        work: impl FnOnce(Reader) -> Work,
    ) -> Result<(), ActionError> {
        let (sender, receiver) = oneshot::channel();
        if self.enqueue(engine, work(sender)).is_some() {
            return Err(ActionError::unavailable());
        }
        receiver.await.unwrap_or_else(|_| Err(ActionError::internal()))
    }

    /// Reads a user's row and remembers it, unless it changed meanwhile.
    async fn learn(
        &self,
        engine: &Engine,
        user: UserId,
        version: RowsVersion,
    ) -> Result<Learned, ActionError> {
        let row = engine.read(engine.rooms.member(self.conversation, user)).await?;
        let mut state = self.lock_state();
        Ok(state.as_mut().map_or(Learned::Row, |state| state.remember(user, row, version)))
    }

    /// Answers the work if the queue is full.
    fn enqueue(self: &Arc<Self>, engine: &Arc<Engine>, work: Work) -> Option<Work> {
        {
            let mut queue = self.lock_queue();
            if queue.waiting.len() >= hard::QUEUE_SUBMISSIONS {
                return Some(work);
            }
            queue.waiting.push_back(work);
            queue.used_at = Some(Instant::now());
            if queue.is_worked_on {
                return None;
            }
            queue.is_worked_on = true;
        }
        engine.tasks.spawn(work_off(engine.clone(), self.clone()));
        None
    }

    fn lock_queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_state(&self) -> std::sync::MutexGuard<'_, Option<LogState>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch: everything that waits, within the bounds of an append; an event ends it.
    /// `None`, and nobody works any more, if nothing waits.
    fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.lock_queue();
        let mut batch = Batch::default();
        let mut bytes = 0;
        while let Some(work) = queue.waiting.pop_front() {
            match work {
                Work::Create(new, reply) => batch.creations.push((new, reply)),
                Work::Reach(seq, reader) => {
                    batch.reach = batch.reach.max(Some(seq));
                    batch.readers.extend(reader);
                }
                Work::Correct(user, reader) => {
                    batch.reach = Some(Seq::MAX);
                    batch.corrections.push((user, reader));
                }
                Work::Submit(submission) => {
                    bytes += submission.operation.content_bytes();
                    let is_event = !submission.operation.is_message();
                    if bytes > hard::BATCH_BYTES && !batch.submissions.is_empty() {
                        queue.waiting.push_front(Work::Submit(submission));
                        break;
                    }
                    batch.submissions.push(submission);
                    if is_event || batch.submissions.len() == hard::BATCH_ENTRIES {
                        break;
                    }
                }
            }
        }
        if batch.is_empty() {
            queue.is_worked_on = false;
            return None;
        }
        Some(batch)
    }

    /// Nothing can be done for those who wait: they are told to come again.
    fn refuse_waiting(&self) {
        let waiting = std::mem::take(&mut self.lock_queue().waiting);
        let error = ActionError::unavailable;
        for work in waiting {
            match work {
                Work::Create(_, reply) => drop(reply.send(Err(error()))),
                Work::Submit(submission) => submission.reply.refuse(error()),
                Work::Reach(_, Some(reader)) | Work::Correct(_, reader) => drop(reader.send(Err(error()))),
                // Whoever refuses tries to read on.
                Work::Reach(_, None) => {}
            }
        }
    }
}

#[derive(Default)]
struct Batch {
    creations: Vec<(NewConversation, CreationReply)>,
    submissions: Vec<Submission>,
    readers: Vec<Reader>,
    corrections: Vec<(UserId, Reader)>,
    /// Up to where the log must be applied, if anybody says so.
    reach: Option<Seq>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.creations.is_empty()
            && self.submissions.is_empty()
            && self.readers.is_empty()
            && self.corrections.is_empty()
            && self.reach.is_none()
    }

    fn refuse(self, error: &ActionError) {
        for submission in self.submissions {
            submission.reply.refuse(error.clone());
        }
        let corrections = self.corrections.into_iter().map(|(_, reader)| reader);
        for reader in self.readers.into_iter().chain(corrections) {
            drop(reader.send(Err(error.clone())));
        }
    }
}

/// Works until nothing waits. A batch that panics is answered `internal`; what it may have stored is
/// found in the log before anything else is done.
async fn work_off(engine: Arc<Engine>, sequencer: Arc<Sequencer>) {
    while let Some(batch) = sequencer.next_batch() {
        let work = AssertUnwindSafe(sequencer.work(&engine, batch)).catch_unwind();
        if work.await.is_err() {
            tracing::error!(conversation = %sequencer.conversation, "work on a conversation panicked");
            sequencer.fall_in_doubt(&engine);
            sequencer.resync(&engine).await;
        }
    }
}
