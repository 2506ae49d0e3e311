//! What a sequencer does with a batch: decide, append in one call, publish, answer; and
//! how it finds its way again when the log has moved on or an outcome is unknown.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::time::timeout;

use super::publish::publish;
use super::{Batch, CreationReply, Outcome, RESYNC_WAITS, Sequencer, Submission};
use crate::chat::engine::Engine;
use crate::chat::log_state::{Learned, LogState};
use crate::chat::operation::{Operation, decide};
use crate::domain::{Conversation, Draft, Entry, EntryBody, Event, Head, Seq};
use crate::error::{ActionError, Retry, StoreError};
use crate::id::UserId;
use crate::limits::hard;
use crate::port::{Append, Appended, Creation, Delivery, EntryRange, NewConversation};

/// How often a batch is decided again after another node was faster.
const CONFLICT_ATTEMPTS: u32 = 8;
/// A submission that may become an entry.
struct Candidate {
    submission: Submission,
    draft: Draft,
}

impl Sequencer {
    pub(super) async fn work(&self, engine: &Arc<Engine>, mut batch: Batch) {
        for (new, reply) in batch.creations.drain(..) {
            self.bring_into_being(engine, new, reply).await;
        }
        if batch.is_empty() {
            return;
        }
        let applied = self.applied_head().map(|head| head.seq);
        if applied.is_none() || applied < batch.reach {
            match self.read_on(engine).await {
                Ok(true) => {}
                Ok(false) => {
                    self.give_up(engine);
                    return batch.refuse(&ActionError::not_found());
                }
                Err(error) => return batch.refuse(&ActionError::from(&error)),
            }
        }
        for reader in batch.readers.drain(..) {
            drop(reader.send(Ok(())));
        }
        for (user, reader) in batch.corrections.drain(..) {
            drop(reader.send(self.correct_delivery(engine, user).await));
        }
        let mut submissions = batch.submissions;
        for _ in 0..CONFLICT_ATTEMPTS {
            // If the log is read on while deciding, what was decided before that does not hold: the append conflicts.
            let Some(head) = self.applied_head() else { break };
            let candidates = self.decide_all(engine, submissions).await;
            if candidates.is_empty() {
                return;
            }
            submissions = self.append(engine, head, candidates).await;
            if submissions.is_empty() {
                return;
            }
            metrics::counter!("chat_append_conflicts_total").increment(1);
        }
        for submission in submissions {
            submission.reply.refuse(ActionError::unavailable());
        }
    }

    async fn bring_into_being(&self, engine: &Arc<Engine>, new: NewConversation, reply: CreationReply) {
        let first = Draft {
            id: new.entry_id,
            by: new.created_by,
            timestamp: new.created_at,
            body: EntryBody::Event(Event::Created),
        };
        // Should the outcome be unknown, the log is read on from nothing.
        *self.lock_state() = Some(LogState::new(nothing_yet(&new)));
        self.lock_doubt().begin(vec![first.id]);
        let mut reply = Some(reply);
        // Whoever asked may have left: answers may be lost.
        let mut answer = |created: Result<Arc<Conversation>, ActionError>| {
            reply.take().map(|reply| reply.send(created));
        };
        let call = engine.rooms.create(new);
        let created = self.until_known(engine, call, |error| answer(Err(ActionError::from(error)))).await;
        match created {
            Ok(Creation::New(conversation)) => {
                let first = Arc::new(first.at(conversation.id, Head::default()));
                self.lock_doubt().end();
                let state = LogState::new(conversation);
                let conversation = state.conversation().clone();
                *self.lock_state() = Some(state);
                publish(engine, &conversation, std::slice::from_ref(&first), true);
                answer(Ok(conversation.clone()));
                engine.observe(&conversation, &[first]);
            }
            Ok(Creation::Existing(conversation)) if conversation.id == self.conversation => {
                // An attempt before this one has made it.
                self.resync(engine).await;
                answer(Ok(Arc::new(conversation)));
            }
            Ok(Creation::Existing(conversation)) => {
                self.lock_doubt().end();
                self.give_up(engine);
                answer(engine.deliver_existing(&conversation).await.map(|()| Arc::new(conversation)));
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot create a conversation");
                answer(Err(ActionError::from(&error)));
                if error.retry() == Retry::Safe {
                    self.lock_doubt().end();
                    self.give_up(engine);
                } else {
                    self.fall_in_doubt(engine);
                    self.resync(engine).await;
                }
            }
        }
    }

    /// There is no such conversation; unless its creation is in doubt, it is forgotten.
    fn give_up(&self, engine: &Engine) {
        if !self.is_in_doubt() {
            *self.lock_state() = None;
            engine.forget(self.conversation);
        }
    }

    /// Makes live delivery to a user what the log says, as it is applied here.
    async fn correct_delivery(&self, engine: &Arc<Engine>, user: UserId) -> Result<(), ActionError> {
        self.ensure_known(engine, [Some(user), None]).await?;
        let delivery = {
            let state = self.lock_state();
            let state = state.as_ref().ok_or_else(ActionError::unavailable)?;
            state.member(user).filter(|member| member.is_joined()).map(|member| Delivery {
                after: member.since_seq.previous(),
                head: state.head().seq,
                member_count: state.conversation().member_count,
            })
        };
        engine.hub.correct(user, self.conversation, delivery);
        Ok(())
    }

    /// Answers what is refused or changes nothing; returns what is to be appended.
    async fn decide_all(&self, engine: &Arc<Engine>, submissions: Vec<Submission>) -> Vec<Candidate> {
        let mut candidates = Vec::with_capacity(submissions.len());
        for submission in submissions {
            match self.decide_one(engine, &submission).await {
                Ok(Some(body)) => {
                    let draft = Draft {
                        id: submission.id,
                        by: submission.by,
                        timestamp: submission.arrived_at,
                        body,
                    };
                    candidates.push(Candidate { submission, draft });
                }
                Ok(None) => submission.reply.send(Ok(None)),
                Err(error) => {
                    let outcome = self.stored_before(engine, &submission).await.unwrap_or(Err(error));
                    submission.reply.send(outcome);
                }
            }
        }
        candidates
    }

    async fn decide_one(
        &self,
        engine: &Arc<Engine>,
        submission: &Submission,
    ) -> Result<Option<EntryBody>, ActionError> {
        self.ensure_known(engine, [Some(submission.by), submission.operation.target()]).await?;
        let body = {
            let state = self.lock_state();
            let state = state.as_ref().ok_or_else(ActionError::unavailable)?;
            decide(&submission.operation, submission.named, submission.by, state)?
        };
        match (&body, &submission.operation) {
            (Some(EntryBody::Message(message)), _) => {
                engine.check_hooks(self.conversation, submission.by, message).await?;
            }
            (Some(EntryBody::Event(Event::Joined { .. })), _) => {
                self.check_room_limits(engine, submission.by).await?;
            }
            (Some(EntryBody::Event(_)) | None, _) => {}
        }
        Ok(body)
    }

    /// Makes sure that the rows of these users are known, and stay known while they decide.
    async fn ensure_known(
        &self,
        engine: &Arc<Engine>,
        users: [Option<UserId>; 2],
    ) -> Result<(), ActionError> {
        loop {
            let (unknown, version) = match self.lock_state().as_mut() {
                Some(state) => {
                    state.pin(users);
                    let unknown = users.into_iter().flatten().find(|user| !state.knows(*user));
                    (unknown, state.rows_version())
                }
                None => return Err(ActionError::unavailable()),
            };
            let Some(user) = unknown else { return Ok(()) };
            if let Learned::Ahead(_) = self.learn(engine, user, version).await? {
                self.read_on(engine).await.map_err(|error| ActionError::from(&error))?;
            }
        }
    }

    async fn check_room_limits(&self, engine: &Engine, user: UserId) -> Result<(), ActionError> {
        let members = self.lock_state().as_ref().map_or(0, |state| state.conversation().member_count);
        if members >= engine.limits.room_members {
            return Err(ActionError::limit_exceeded("The room is full"));
        }
        engine.check_rooms_of(user).await
    }

    /// The first result of a message that is refused now but was stored before.
    async fn stored_before(&self, engine: &Engine, submission: &Submission) -> Option<Outcome> {
        let Operation::Send { message, .. } = &submission.operation else { return None };
        message.client_id.as_ref()?;
        let entry = engine.read(engine.rooms.entry(self.conversation, submission.id)).await.ok()??;
        let same = entry.by == submission.by && entry.body == EntryBody::Message(message.clone());
        same.then(|| Ok(Some(Arc::new(entry))))
    }

    /// Appends in one call. Returns what must be decided again because the log had moved on.
    async fn append(
        &self,
        engine: &Arc<Engine>,
        head: Head,
        mut candidates: Vec<Candidate>,
    ) -> Vec<Submission> {
        let drafts = candidates.iter().map(|candidate| candidate.draft.clone()).collect();
        self.lock_doubt().begin(candidates.iter().map(|candidate| candidate.draft.id).collect());
        metrics::histogram!("chat_append_batch_entries").record(candidates.len() as f64);
        let call = engine.rooms.append(self.conversation, head, drafts);
        let late = |error: &StoreError| {
            for candidate in &mut candidates {
                candidate.submission.reply.tell(Err(ActionError::from(error)));
            }
        };
        match self.until_known(engine, call, late).await {
            Ok(Append::Done(outcomes)) => {
                self.lock_doubt().end();
                self.commit(engine, candidates, outcomes);
                Vec::new()
            }
            Ok(Append::Conflict(_)) => {
                let again = self.resolve_conflict(engine, candidates).await;
                self.lock_doubt().end();
                again
            }
            Err(error) => {
                tracing::warn!(conversation = %self.conversation, error = %error, "append failed");
                for candidate in candidates {
                    candidate.submission.reply.send(Err(ActionError::from(&error)));
                }
                if error.retry() == Retry::Safe {
                    self.lock_doubt().end();
                } else {
                    self.fall_in_doubt(engine);
                    self.resync(engine).await;
                }
                Vec::new()
            }
        }
    }

    /// Applies and publishes what is durable, then answers.
    fn commit(&self, engine: &Arc<Engine>, candidates: Vec<Candidate>, outcomes: Vec<Appended>) {
        let mut committed = Vec::with_capacity(outcomes.len());
        let mut answers = Vec::with_capacity(outcomes.len());
        for (candidate, outcome) in candidates.into_iter().zip(outcomes) {
            match outcome {
                Appended::New(entry) => {
                    let entry = Arc::new(entry);
                    committed.push(entry.clone());
                    answers.push((candidate.submission.reply, Ok(Some(entry))));
                }
                Appended::Duplicate(entry) => {
                    let outcome = first_result(&candidate.draft, entry);
                    answers.push((candidate.submission.reply, outcome));
                }
            }
        }
        let conversation = self.apply(engine, &committed, true);
        for (reply, outcome) in answers {
            reply.send(outcome);
        }
        if let Some(conversation) = conversation {
            engine.observe(&conversation, &committed);
        }
    }

    /// Makes entries part of the state and hands them to the hub, as one step for whoever reads the state.
    fn apply(&self, engine: &Engine, entries: &[Arc<Entry>], is_ours: bool) -> Option<Arc<Conversation>> {
        if entries.is_empty() {
            return None;
        }
        let conversation = {
            let mut state = self.lock_state();
            let state = state.as_mut()?;
            for entry in entries {
                state.apply(entry);
            }
            state.conversation().clone()
        };
        publish(engine, &conversation, entries, is_ours);
        Some(conversation)
    }

    async fn resolve_conflict(&self, engine: &Arc<Engine>, candidates: Vec<Candidate>) -> Vec<Submission> {
        if let Err(error) = self.read_on(engine).await {
            let error = ActionError::from(&error);
            for candidate in candidates {
                candidate.submission.reply.send(Err(error.clone()));
            }
            return Vec::new();
        }
        let mut again = Vec::new();
        // Who was told that nobody knows will send again.
        for candidate in candidates.into_iter().filter(|candidate| !candidate.submission.reply.is_answered())
        {
            match engine.read(engine.rooms.entry(self.conversation, candidate.draft.id)).await {
                Ok(Some(entry)) => candidate.submission.reply.send(first_result(&candidate.draft, entry)),
                Ok(None) => again.push(candidate.submission),
                Err(error) => candidate.submission.reply.send(Err(error)),
            }
        }
        again
    }

    /// After an unknown outcome: reads until the log is known again, so that nothing is built on a guess and
    /// whatever was stored after all is delivered. As long as that fails, whoever waits is refused.
    pub(super) async fn resync(&self, engine: &Arc<Engine>) {
        let (mut wait, longest) = RESYNC_WAITS;
        while self.applied_head().is_some() {
            match AssertUnwindSafe(self.read_on(engine)).catch_unwind().await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => return self.give_up(engine),
                Ok(Err(error)) => {
                    tracing::warn!(conversation = %self.conversation, error = %error, "cannot resync");
                }
                Err(_panic) => {
                    tracing::error!(conversation = %self.conversation, "the store panicked in a resync");
                }
            }
            self.refuse_waiting();
            // Senders know that the outcome is unknown; whoever starts next reads the log.
            if timeout(wait, engine.draining.cancelled()).await.is_ok() {
                *self.lock_state() = None;
                return;
            }
            wait = longest.min(wait * 2);
        }
    }

    /// Loads the conversation at its head, and publishes what the hub does not have, page by page: the entries
    /// above those that were applied here or, when nothing was, above the last one that the hub was given.
    /// Answers whether the conversation exists.
    async fn read_on(&self, engine: &Arc<Engine>) -> Result<bool, StoreError> {
        let Some(conversation) = engine.read_store(engine.rooms.conversation(self.conversation)).await?
        else {
            if !self.is_in_doubt() {
                *self.lock_state() = None;
            }
            return Ok(false);
        };
        let head = conversation.head.seq;
        let applied = self.applied_head().map(|applied| applied.seq);
        let mut after = applied.or_else(|| engine.hub.head(self.conversation)).unwrap_or(head);
        let mut missed = Vec::new();
        while after < head {
            self.publish_missed(engine, &conversation, &missed);
            missed = self.entries_after(engine, after, head).await?;
            after = missed.last().map_or(head, |last| last.seq);
        }
        let state = LogState::new(conversation);
        let conversation = state.conversation().clone();
        *self.lock_state() = Some(state);
        self.publish_missed(engine, &conversation, &missed);
        Ok(true)
    }

    fn publish_missed(&self, engine: &Engine, conversation: &Conversation, missed: &[Arc<Entry>]) {
        let ours = self.lock_doubt().resolve(missed);
        publish(engine, conversation, missed, !ours.is_empty());
        engine.observe(conversation, &ours);
    }

    /// The next entries of the log, at least one.
    async fn entries_after(
        &self,
        engine: &Engine,
        after: Seq,
        upto: Seq,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let limit = hard::RING_ENTRIES as u32;
        let range = EntryRange { after, upto, limit, max_bytes: hard::PAGE_BYTES };
        let page = engine.read_store(engine.rooms.entries(self.conversation, range)).await?;
        let contiguous =
            page.entries.iter().zip(1..).all(|(entry, offset)| entry.seq.get() == after.get() + offset);
        if page.entries.is_empty() || !contiguous {
            return Err(StoreError::corrupt(format!(
                "the log of {} has a hole after {after}",
                self.conversation
            )));
        }
        Ok(page.entries.into_iter().map(Arc::new).collect())
    }
}

/// The conversation before its first entry.
fn nothing_yet(new: &NewConversation) -> Conversation {
    Conversation {
        id: new.id,
        kind: new.kind.clone(),
        created_by: new.created_by,
        created_at: new.created_at,
        head: Head::default(),
        member_count: 0,
        owners: Vec::new(),
    }
}

fn first_result(draft: &Draft, entry: Entry) -> Outcome {
    if entry.is_same_as(draft) {
        return Ok(Some(Arc::new(entry)));
    }
    Err(ActionError {
        field: Some("client_id".into()),
        ..ActionError::conflict("This client_id was used for another message")
    })
}
