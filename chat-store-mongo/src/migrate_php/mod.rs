//! Migrating, in place, the database of a chat written in PHP (the *PHP chat*): `users`, `chat_rooms`,
//! `private_chats` and `messages` as it left them, with everything that it never checked.
//!
//! # How
//!
//! Phase by phase (see [`Phase`]). Rows keep their ids and fields; what is added beside them is what this store reads,
//! and a value that has to be replaced is kept in a field with `_before` at its end. So the PHP chat can be started
//! again on the same database, after [`Migration::back`] and until [`Migration::finish`] clears that away.
//!
//! # Invariants
//!
//! - *The same again.* What a row becomes follows from what the PHP chat wrote, by functions without memory
//!   (`rows/`), and added rows have ids that follow from what they are. Doing a step twice is doing it once, so a crash costs nothing but the pages since the last checkpoint.
//! - *The survey cannot write.* It runs the same phases without a writer (`engine/work.rs`).
//! - *Durable, then noted.* A checkpoint is written after everything before it is durable.
//! - *Memory follows users and conversations, never messages.* Names are decided about in 24 bytes for each user and
//!   chats in 60 bytes for each; of messages there are a page and a few batches at a time.
//! - *Nothing is dropped.* A row of `messages` gets a place in exactly one log, or says in `unplaced` why not, and the
//!   last phase counts.

mod engine;
mod phase;
mod report;
mod rows;

use mongodb::bson::doc;

pub use phase::finish::{Finished, Unplaced};
pub use report::{Counts, Finding, FindingKind, MigrationError, Observer, Phase, Progress, Report, Stop};
pub use rows::name::NameRule;

use crate::config::MongoConfig;
use crate::open::index::INDEXES;
use crate::open::{connect, create_indexes, schema_version, seal};
use crate::server::error::OpenError;
use crate::table::schema::VERSION;
use engine::checkpoint::Checkpoint;
use engine::link::Link;
use engine::work::Work;
use phase::indexes::MIGRATED;

/// Rows that are read at once. A row has a few hundred bytes, and a reply of the server has 16 MiB at most.
const PAGE_ROWS: u32 = 2_000;

/// What a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It holds nothing, and nothing is in the way of the store.
    Empty,
    /// It holds the data of the PHP chat.
    PhpChat,
    /// Taking it over was begun, and has come to this phase.
    Unfinished(Phase),
    /// It is one of this version. Nothing has to be migrated.
    Ours,
}

/// What came of a survey or a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing to do, because the database is in this state.
    Nothing(State),
    /// This is what becomes of it, or has become of it.
    Done(Report),
    /// It was migrated before; this is what has become of it then.
    Earlier(Report),
}

/// A database that may have to be migrated.
#[derive(Debug)]
pub struct Migration {
    link: Link,
    rule: NameRule,
    database: String,
    page_rows: u32,
    warnings: Vec<String>,
}

impl Migration {
    /// Connects. `rule` answers the keys of names that are allowed today.
    ///
    /// # Errors
    /// No server can be reached or is allowed to be used; the message says what to do.
    pub async fn connect(config: &MongoConfig, rule: NameRule) -> Result<Self, OpenError> {
        let (database, warnings) = connect(config).await?;
        let link = Link::new(database);
        Ok(Self { link, rule, database: config.database.clone(), page_rows: PAGE_ROWS, warnings })
    }

    /// Reads so many rows at once, at least one. Fewer need less memory and take longer.
    #[must_use]
    pub fn page_rows(mut self, rows: u32) -> Self {
        self.page_rows = rows.max(1);
        self
    }

    /// What the operator should know about the servers.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the database is.
    ///
    /// # Errors
    /// It cannot be read, or belongs to a newer version.
    pub async fn state(&self) -> Result<State, MigrationError> {
        match schema_version(self.link.database()).await? {
            Some(VERSION) => return Ok(State::Ours),
            Some(found) => {
                let database = self.database.clone();
                return Err(OpenError::Newer { database, found, known: VERSION }.into());
            }
            None => {}
        }
        if let Some(checkpoint) = Checkpoint::load(&self.link).await? {
            return Ok(State::Unfinished(checkpoint.phase));
        }
        for collection in MIGRATED {
            let find = doc! { "find": collection, "limit": 1, "singleBatch": true };
            if !self.link.rows(find).await?.is_empty() {
                return Ok(State::PhpChat);
            }
        }
        // Without rows, its indexes would still be in the way.
        Ok(if phase::indexes::has_indexes_in_the_way(&self.link).await? {
            State::PhpChat
        } else {
            State::Empty
        })
    }

    /// Looks what would become of the database. Writes nothing.
    ///
    /// # Errors
    /// The database cannot be read or migrated as it is, or `observer` wants it to stop.
    pub async fn survey(&self, observer: &mut dyn Observer) -> Result<Outcome, MigrationError> {
        let state = self.state().await?;
        if state != State::PhpChat {
            return Ok(Outcome::Nothing(state));
        }
        self.refuse_obstacles().await?;
        let mut work = Work::survey(&self.link, self.page_rows, observer);
        while work.checkpoint.phase <= Phase::Messages {
            self.phase(&mut work).await?;
            work.phase_done().await?;
        }
        Ok(Outcome::Done(work.report().await?))
    }

    /// Migrates the database, or goes on with that.
    ///
    /// # Errors
    /// The database cannot be migrated as it is, a write fails, or `observer` wants it to stop. What was done stays
    /// done; another run goes on from there.
    pub async fn run(&self, observer: &mut dyn Observer) -> Result<Outcome, MigrationError> {
        match self.state().await? {
            State::PhpChat => self.refuse_obstacles().await?,
            State::Unfinished(_) => {}
            State::Ours => return self.tell_again(observer).await,
            State::Empty => return Ok(Outcome::Nothing(State::Empty)),
        }
        let mut work = Work::run(&self.link, self.page_rows, observer).await?;
        match self.phases(&mut work).await {
            Ok(()) => Ok(Outcome::Done(work.report().await?)),
            Err(error) => {
                work.abandon().await;
                if matches!(error, MigrationError::Disturbed(_) | MigrationError::Check(_)) {
                    work.begin_again().await?;
                }
                Err(error)
            }
        }
    }

    /// Tells what a run has found that came to its end, as its own telling may have been cut off.
    async fn tell_again(&self, observer: &mut dyn Observer) -> Result<Outcome, MigrationError> {
        let Some(checkpoint) = Checkpoint::load(&self.link).await? else {
            return Ok(Outcome::Nothing(State::Ours));
        };
        let mut work = Work::survey(&self.link, self.page_rows, observer);
        work.checkpoint = checkpoint;
        Ok(Outcome::Earlier(work.stored_report().await?))
    }

    /// Clears away what only going back to the PHP chat needs. May be done while a server runs.
    ///
    /// # Errors
    /// The database was not migrated, a write fails, or `observer` wants it to stop; what is left is cleared away by
    /// another call.
    pub async fn finish(
        &self,
        unplaced: Unplaced,
        observer: &mut dyn Observer,
    ) -> Result<Finished, MigrationError> {
        match self.state().await? {
            State::Ours => phase::finish::finish(&self.link, unplaced, observer).await,
            State::Empty | State::PhpChat | State::Unfinished(_) => Err(MigrationError::NotMigrated),
        }
    }

    /// Gives the database back to the PHP chat, with the messages that were sent since. No server may run. Answers
    /// how many rows were restored.
    ///
    /// # Errors
    /// The database was not migrated, or [`finish`](Self::finish) was called; a write fails, or `observer` wants it to
    /// stop. Then another call goes on.
    pub async fn back(&self, observer: &mut dyn Observer) -> Result<u64, MigrationError> {
        match self.state().await? {
            State::Empty | State::PhpChat => Err(MigrationError::NotMigrated),
            State::Ours if Checkpoint::load(&self.link).await?.is_none() => Err(MigrationError::NoWayBack),
            State::Ours | State::Unfinished(_) => phase::back::back(&self.link, observer).await,
        }
    }

    async fn refuse_obstacles(&self) -> Result<(), MigrationError> {
        match phase::indexes::obstacles(&self.link).await? {
            obstacles if obstacles.is_empty() => Ok(()),
            obstacles => Err(MigrationError::Obstacles(obstacles)),
        }
    }

    async fn phases(&self, work: &mut Work<'_>) -> Result<(), MigrationError> {
        while work.checkpoint.phase < Phase::Done {
            self.phase(work).await?;
            if work.checkpoint.phase == Phase::Check {
                seal(self.link.database()).await?;
            }
            work.phase_done().await?;
        }
        Ok(())
    }

    async fn phase(&self, work: &mut Work<'_>) -> Result<(), MigrationError> {
        match work.checkpoint.phase {
            Phase::Indexes => phase::indexes::migrate(work).await,
            Phase::Users => phase::users::migrate(work, self.rule.clone()).await,
            Phase::Rooms => phase::rooms::migrate(work).await,
            Phase::Chats => phase::chats::migrate(work).await,
            Phase::Messages => phase::messages::migrate(work).await,
            Phase::Order => phase::order::order(work).await,
            Phase::Numbers => phase::numbers::number(work).await,
            Phase::Members => phase::members::write(work).await,
            Phase::NewIndexes => build_indexes(work).await,
            Phase::Check => phase::check::check(work).await,
            Phase::Done => Ok(()),
        }
    }
}

/// Builds the indexes. Rows that have come since their phase lack what is unique, and only one of them would fit in.
async fn build_indexes(work: &mut Work<'_>) -> Result<(), MigrationError> {
    phase::order::forget_last_numbers(work).await?;
    let mut done = 0;
    for of_collection in INDEXES.chunk_by(|one, other| one.collection == other.collection) {
        work.tell(done, INDEXES.len() as u64)?;
        if let Err(error) = create_indexes(work.link.database(), of_collection).await {
            phase::check::refuse_newcomers(work).await?;
            return Err(error.into());
        }
        done += of_collection.len() as u64;
    }
    Ok(())
}
