//! What every phase works with: the link, the observer, what was found and counted, and, unless it only looks, the
//! writer and the row that says how far the work has come.
//!
//! A survey has no writer, and there is no other way to write from a phase.

use std::collections::BTreeMap;
use std::time::Duration;

use chat_core::id::UserId;
use mongodb::bson::{Bson, Document, doc};
use tokio::time::Instant;

use crate::migrate_php::engine::checkpoint::Checkpoint;
use crate::migrate_php::engine::link::{BY_ID, Link, Scan, Writer};
use crate::migrate_php::report::{
    Counts, Finding, FindingKind, MigrationError, Observer, Phase, Progress, Report, shown_id,
};
use crate::table::row::object_id;
use crate::table::schema::{CHATS, MESSAGES, META, MIGRATION_ROW, ROOMS, USERS};

/// What was found, row by row, until it is cleared away.
pub(crate) const FINDINGS: &str = "migration_findings";
/// Pages after which it is written down how far the work has come.
const PAGES: u32 = 8;
/// How long a run believes that it is the latest.
const TRUST: Duration = Duration::from_secs(5);

/// What only a run has.
#[derive(Debug)]
struct Hand {
    writer: Writer,
    /// Which run this is: only the latest may go on.
    run: [u8; 12],
    pages: u32,
    /// When it was last seen that it is the latest.
    asked: Instant,
}

impl Hand {
    /// Whether it is the latest run still. One that stood still for long may find another's work, or a server.
    async fn ask(&mut self, link: &Link) -> Result<(), MigrationError> {
        let filter = doc! { "_id": MIGRATION_ROW, "run": object_id(&self.run) };
        let find = doc! { "find": META, "filter": filter, "limit": 1, "singleBatch": true };
        if link.rows(find).await?.is_empty() {
            return Err(MigrationError::Superseded);
        }
        self.asked = Instant::now();
        Ok(())
    }
}

/// See the module.
pub(crate) struct Work<'a> {
    pub(crate) link: Link,
    /// Rows in a page.
    pub(crate) page_rows: u32,
    pub(crate) checkpoint: Checkpoint,
    observer: &'a mut dyn Observer,
    findings: BTreeMap<FindingKind, u64>,
    hand: Option<Hand>,
}

impl<'a> Work<'a> {
    /// Work that only looks.
    pub(crate) fn survey(link: &Link, page_rows: u32, observer: &'a mut dyn Observer) -> Self {
        let checkpoint = Checkpoint::beginning();
        Self { link: link.clone(), page_rows, checkpoint, observer, findings: BTreeMap::new(), hand: None }
    }

    /// Work that writes, from where an earlier run has come. That run can go on no longer.
    pub(crate) async fn run(
        link: &Link,
        page_rows: u32,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, MigrationError> {
        let found = Checkpoint::load(link).await?;
        let mut work = Self::survey(link, page_rows, observer);
        let run = *UserId::generate().as_bytes();
        let update = doc! { "q": { "_id": MIGRATION_ROW }, "u": { "$set": { "run": object_id(&run) } }, "upsert": true };
        link.write(doc! { "update": META, "updates": [update] }).await?;
        work.checkpoint = found.unwrap_or(work.checkpoint);
        work.hand = Some(Hand { writer: Writer::new(link), run, pages: 0, asked: Instant::now() });
        Ok(work)
    }

    /// Whether it writes.
    pub(crate) fn writes(&self) -> bool {
        self.hand.is_some()
    }

    /// Changes a row, if this work writes.
    pub(crate) async fn update(
        &mut self,
        collection: &'static str,
        statement: &Document,
    ) -> Result<(), MigrationError> {
        let Some(hand) = &mut self.hand else { return Ok(()) };
        if hand.asked.elapsed() > TRUST {
            hand.ask(&self.link).await?;
        }
        hand.writer.update(collection, statement).await
    }

    /// Sends a command that writes, if this work does, after everything before it is durable.
    pub(crate) async fn write(&mut self, command: Document) -> Result<(), MigrationError> {
        let Some(hand) = &mut self.hand else { return Ok(()) };
        hand.ask(&self.link).await?;
        hand.writer.settle().await?;
        self.link.write(command).await.map(drop)
    }

    /// Tells of something that was found. A run writes it down, so that its report is whole however often it is
    /// broken off.
    pub(crate) async fn found(
        &mut self,
        kind: FindingKind,
        (collection, id): (&'static str, Option<&Bson>),
        text: String,
    ) -> Result<(), MigrationError> {
        let finding = Finding { kind, collection, id: shown_id(id), text };
        if !self.writes() {
            *self.findings.entry(kind).or_default() += 1;
            return Ok(self.observer.found(&finding)?);
        }
        // The same finding has the same id, and the ids of a kind stand together.
        let key = UserId::from_external(&finding.id, &finding.text);
        let id = doc! { "kind": kind.index(), "of": &finding.id, "key": object_id(key.as_bytes()) };
        let row = doc! { "collection": collection, "text": &finding.text };
        self.update(FINDINGS, &doc! { "q": { "_id": id }, "u": { "$set": row }, "upsert": true }).await
    }

    /// The end of a page. Now and then it is written down that the work has come so far.
    pub(crate) async fn page_done(
        &mut self,
        position: Option<Document>,
        done: u64,
        total: u64,
    ) -> Result<(), MigrationError> {
        self.checkpoint.position = position;
        if let Some(hand) = &mut self.hand {
            hand.pages += 1;
            if hand.pages >= PAGES {
                self.save().await?;
            }
        }
        self.tell(done, total)
    }

    /// Tells the observer how far the phase has come.
    pub(crate) fn tell(&mut self, done: u64, total: u64) -> Result<(), MigrationError> {
        let phase = self.checkpoint.phase;
        Ok(self.observer.progress(Progress { phase, done, total: total.max(done) })?)
    }

    /// The end of a phase.
    pub(crate) async fn phase_done(&mut self) -> Result<(), MigrationError> {
        self.enter(self.checkpoint.phase.next()).await
    }

    /// What was done is not what it should be, or not any more: the next run begins again. Every step finds what it
    /// has done before, and does it again.
    pub(crate) async fn begin_again(&mut self) -> Result<(), MigrationError> {
        self.checkpoint.counts = Counts::default();
        self.enter(Phase::Indexes).await
    }

    /// Goes on with this phase, from its beginning.
    async fn enter(&mut self, phase: Phase) -> Result<(), MigrationError> {
        self.checkpoint.phase = phase;
        self.checkpoint.position = None;
        self.save().await
    }

    /// Makes everything so far durable, and writes down that it is.
    async fn save(&mut self) -> Result<(), MigrationError> {
        let Some(hand) = &mut self.hand else { return Ok(()) };
        hand.pages = 0;
        hand.ask(&self.link).await?;
        hand.writer.settle().await?;
        let checkpoint = &self.checkpoint;
        let update = doc! {
            "q": { "_id": MIGRATION_ROW, "run": object_id(&hand.run) },
            "u": { "$set": {
                "phase": checkpoint.phase.name(),
                "position": checkpoint.position.clone(),
                "counts": checkpoint.counts.to_document(),
            } },
        };
        let reply = self.link.write(doc! { "update": META, "updates": [update] }).await?;
        if reply.matched == 1 { Ok(()) } else { Err(MigrationError::Superseded) }
    }

    /// Waits for writes that are on their way, after a failure.
    pub(crate) async fn abandon(&mut self) {
        if let Some(hand) = &mut self.hand {
            hand.writer.abandon().await;
        }
    }

    /// What was found and counted. A run tells its findings now.
    pub(crate) async fn report(self) -> Result<Report, MigrationError> {
        if self.writes() {
            return self.stored_report().await;
        }
        Ok(Report { counts: self.checkpoint.counts, findings: self.findings })
    }

    /// What runs have found and counted, by what they wrote down.
    pub(crate) async fn stored_report(mut self) -> Result<Report, MigrationError> {
        self.tell_findings().await?;
        Ok(Report { counts: self.checkpoint.counts, findings: self.findings })
    }

    async fn tell_findings(&mut self) -> Result<(), MigrationError> {
        let fields = doc! { "collection": 1, "text": 1 };
        let mut scan = Scan::new(&self.link, FINDINGS, BY_ID, fields).rows(1_000);
        loop {
            let rows = scan.next().await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                let Some(finding) = read_finding(row) else { continue };
                *self.findings.entry(finding.kind).or_default() += 1;
                self.observer.found(&finding)?;
            }
        }
    }
}

/// What was found, as it is stored: of the kinds that come first, as many as a page holds.
pub(crate) async fn read_findings(link: &Link) -> Result<Vec<Finding>, MigrationError> {
    let fields = doc! { "collection": 1, "text": 1 };
    let rows = Scan::new(link, FINDINGS, BY_ID, fields).rows(1_000).next().await?;
    Ok(rows.iter().filter_map(read_finding).collect())
}

fn read_finding(row: &Document) -> Option<Finding> {
    let id = row.get_document("_id").ok()?;
    let collection = row.get_str("collection").ok()?;
    Some(Finding {
        kind: FindingKind::at(i64::from(id.get_i32("kind").ok()?))?,
        collection: [USERS, ROOMS, CHATS, MESSAGES].into_iter().find(|known| *known == collection)?,
        id: id.get_str("of").ok()?.to_owned(),
        text: row.get_str("text").ok()?.to_owned(),
    })
}
