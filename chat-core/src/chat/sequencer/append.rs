//! What a sequencer does with a batch: decide, append in one call, publish, answer; and
//! how it finds its way again when the log has moved on or an outcome is unknown.

use std::sync::Arc;
use std::time::Duration;

use super::publish::publish;
use super::{Batch, Outcome, Sequencer, Submission};
use crate::chat::engine::Engine;
use crate::chat::log_state::LogState;
use crate::chat::operation::{Operation, decide};
use crate::domain::{Conversation, Draft, Entry, EntryBody, Event, Head};
use crate::error::{Retry, StoreError};
use crate::id::UserId;
use crate::limits::hard;
use crate::port::{Append, Appended, Creation, EntryRange, NewConversation};
use crate::protocol::ActionError;

/// How often a batch is decided again after another node was faster.
const CONFLICT_ATTEMPTS: u32 = 8;
/// How long to wait before the log is read again after an unknown outcome; doubles up to the second.
const RESYNC_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A submission that may become an entry.
struct Candidate {
    submission: Submission,
    draft: Draft,
}

impl Sequencer {
    pub(super) async fn work(&self, engine: &Arc<Engine>, mut batch: Batch) {
        for (new, reply) in batch.creations.drain(..) {
            // Whoever asked may have left.
            let _ = reply.send(self.bring_into_being(engine, new).await);
        }
        if batch.is_empty() {
            return;
        }
        let is_loaded = self.lock_state().is_some();
        if !is_loaded || batch.must_catch_up {
            match self.read_on(engine).await {
                Ok(true) => {}
                Ok(false) => {
                    engine.forget(self.conversation);
                    return batch.refuse(&ActionError::not_found());
                }
                Err(error) => return batch.refuse(&ActionError::from(&error)),
            }
        }
        for load in batch.loads.drain(..) {
            // Whoever asked may have left.
            let _ = load.send(Ok(()));
        }
        let mut submissions = batch.submissions;
        for _ in 0..CONFLICT_ATTEMPTS {
            let candidates = self.decide_all(engine, submissions).await;
            if candidates.is_empty() {
                return;
            }
            submissions = self.append(engine, candidates).await;
            if submissions.is_empty() {
                return;
            }
            metrics::counter!("chat_append_conflicts_total").increment(1);
        }
        for submission in submissions {
            submission.reply.send(Err(ActionError::unavailable()));
        }
    }

    async fn bring_into_being(
        &self,
        engine: &Engine,
        new: NewConversation,
    ) -> Result<Arc<Conversation>, ActionError> {
        let first = Draft {
            id: new.entry_id,
            by: new.created_by,
            timestamp: new.created_at,
            body: EntryBody::Event(Event::Created),
        };
        match engine.write(engine.rooms.create(new)).await {
            Ok(Creation::New(conversation)) => {
                let first = Arc::new(first.at(conversation.id, Head::default()));
                let state = LogState::new(conversation);
                let conversation = state.conversation().clone();
                *self.lock_state() = Some(state);
                publish(engine, &conversation, std::slice::from_ref(&first), true);
                engine.observe(&conversation, &[first]);
                Ok(conversation)
            }
            Ok(Creation::Existing(conversation)) => {
                if conversation.id != self.conversation {
                    engine.forget(self.conversation);
                }
                Ok(Arc::new(conversation))
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot create a conversation");
                engine.forget(self.conversation);
                Err(ActionError::from(&error))
            }
        }
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
        let deciding = [Some(submission.by), submission.operation.target()];
        if let Some(state) = self.lock_state().as_mut() {
            state.pin(deciding);
        }
        for user in deciding.into_iter().flatten() {
            self.ensure_known(engine, user).await?;
        }
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

    async fn ensure_known(&self, engine: &Engine, user: UserId) -> Result<(), ActionError> {
        loop {
            let unknown = match self.lock_state().as_ref() {
                Some(state) => (!state.knows(user)).then(|| state.rows_version()),
                None => return Err(ActionError::unavailable()),
            };
            match unknown {
                Some(version) => self.learn(engine, user, version).await?,
                None => return Ok(()),
            }
        }
    }

    async fn check_room_limits(&self, engine: &Engine, user: UserId) -> Result<(), ActionError> {
        let members = self.lock_state().as_ref().map_or(0, |state| state.conversation().member_count);
        if members >= engine.limits.room_members {
            return Err(ActionError::limit_exceeded("The room is full"));
        }
        if engine.read(engine.rooms.room_count(user)).await? >= engine.limits.user_rooms {
            return Err(ActionError::limit_exceeded("You are in too many rooms"));
        }
        Ok(())
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
    async fn append(&self, engine: &Arc<Engine>, candidates: Vec<Candidate>) -> Vec<Submission> {
        let Some(head) = self.applied_head() else {
            return candidates.into_iter().map(|candidate| candidate.submission).collect();
        };
        let drafts = candidates.iter().map(|candidate| candidate.draft.clone()).collect();
        metrics::histogram!("chat_append_batch_entries").record(candidates.len() as f64);
        match engine.write(engine.rooms.append(self.conversation, head, drafts)).await {
            Ok(Append::Done(outcomes)) => {
                self.commit(engine, candidates, outcomes);
                Vec::new()
            }
            Ok(Append::Conflict(_)) => self.resolve_conflict(engine, candidates).await,
            Err(error) => {
                tracing::warn!(conversation = %self.conversation, error = %error, "append failed");
                for candidate in candidates {
                    candidate.submission.reply.send(Err(ActionError::from(&error)));
                }
                if error.retry() != Retry::Safe {
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
        for candidate in candidates {
            match engine.read(engine.rooms.entry(self.conversation, candidate.draft.id)).await {
                Ok(Some(entry)) => candidate.submission.reply.send(first_result(&candidate.draft, entry)),
                Ok(None) => again.push(candidate.submission),
                Err(error) => candidate.submission.reply.send(Err(error)),
            }
        }
        again
    }

    /// After an unknown outcome: reads until the log is known again, so that nothing is built on a guess and
    /// whatever was stored after all is delivered.
    async fn resync(&self, engine: &Arc<Engine>) {
        let (mut wait, longest) = RESYNC_WAITS;
        loop {
            match self.read_on(engine).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(conversation = %self.conversation, error = %error, "cannot resync");
                }
            }
            if engine.is_closing() {
                *self.lock_state() = None;
                return;
            }
            tokio::time::sleep(wait).await;
            wait = longest.min(wait * 2);
        }
    }

    /// Loads the conversation at its head; publishes the entries that this node had not applied.
    /// Answers whether it exists.
    async fn read_on(&self, engine: &Engine) -> Result<bool, StoreError> {
        let Some(conversation) = engine.read_store(engine.rooms.conversation(self.conversation)).await?
        else {
            *self.lock_state() = None;
            return Ok(false);
        };
        let applied = self.applied_head();
        let head = conversation.head;
        let mut missed = Vec::new();
        let mut after = applied.map_or(head.seq, |applied| applied.seq);
        while after < head.seq {
            let range = EntryRange {
                after,
                upto: head.seq,
                limit: hard::RING_ENTRIES as u32,
                max_bytes: hard::PAGE_BYTES,
            };
            let page = engine.read_store(engine.rooms.entries(self.conversation, range)).await?;
            let contiguous =
                page.entries.iter().zip(1..).all(|(entry, offset)| entry.seq.get() == after.get() + offset);
            let Some(last) = page.entries.last().filter(|_| contiguous) else {
                return Err(StoreError::corrupt(format!(
                    "the log of {} has a hole after {after}",
                    self.conversation
                )));
            };
            after = last.seq;
            missed.extend(page.entries.into_iter().map(Arc::new));
        }
        let state = LogState::new(conversation);
        let conversation = state.conversation().clone();
        *self.lock_state() = Some(state);
        publish(engine, &conversation, &missed, false);
        Ok(true)
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
