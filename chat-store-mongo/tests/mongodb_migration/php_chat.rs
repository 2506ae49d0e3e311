//! A small database as the PHP chat left it, and what becomes of it.

use chat_core::domain::{Entry, EntryBody, Seq};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::hard;
use chat_core::port::{EntryRange, RoomStore, UsernameKeys};
use chat_store_mongo::migrate_php::{
    Finding, FindingKind, Migration, MigrationError, NameRule, Observer, Outcome, Phase, Progress, Report,
    Stop,
};
use chat_store_mongo::{MongoConfig, MongoStore};
use futures::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::support::TestDatabase;

/// A name is allowed if it has no space and 2 characters; case folds, `1` looks like `l`.
pub(crate) fn rule() -> NameRule {
    NameRule::new(|name| {
        let folded = name.to_lowercase();
        let skeleton = folded.replace('1', "l");
        let is_allowed = name.chars().count() >= 2 && !name.contains(' ');
        is_allowed.then(|| UsernameKeys { text: name.to_owned(), folded, skeleton })
    })
}

/// Hears everything, and stops when it was told of progress so many times.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) findings: Vec<Finding>,
    pub(crate) progress: Vec<Progress>,
    pub(crate) stop_after: Option<usize>,
    /// Whether the last phase, which has no checkpoints, is left in peace.
    pub(crate) checks_in_peace: bool,
}

impl Listener {
    pub(crate) fn stopping_after(calls: usize) -> Self {
        Self { stop_after: Some(calls), ..Self::default() }
    }

    /// The phases that it heard of.
    pub(crate) fn phases(&self) -> Vec<Phase> {
        let mut phases: Vec<Phase> = self.progress.iter().map(|progress| progress.phase).collect();
        phases.dedup();
        phases
    }
}

impl Observer for Listener {
    fn progress(&mut self, progress: Progress) -> Result<(), Stop> {
        assert!(progress.done <= progress.total, "{progress:?}");
        self.progress.push(progress);
        let is_in_peace = self.checks_in_peace && progress.phase == Phase::Check;
        match self.stop_after {
            Some(calls) if self.progress.len() >= calls && !is_in_peace => Err(Stop),
            _ => Ok(()),
        }
    }

    fn found(&mut self, finding: &Finding) -> Result<(), Stop> {
        assert!(!finding.text.contains(['\n', '\u{1b}']), "{finding}");
        self.findings.push(finding.clone());
        Ok(())
    }
}

/// A database of the PHP chat.
#[derive(Debug)]
pub(crate) struct PhpChat {
    pub(crate) test: TestDatabase,
    pub(crate) database: mongodb::Database,
}

/// What was migrated.
#[derive(Debug)]
pub(crate) struct Migrated {
    pub(crate) store: MongoStore,
    pub(crate) report: Report,
    pub(crate) findings: Vec<Finding>,
}

impl PhpChat {
    pub(crate) async fn new() -> Self {
        let test = TestDatabase::new().await;
        let database = test.beside().await;
        Self { test, database }
    }

    /// The id that rows with this number have; later ones are higher.
    pub(crate) fn id(number: u32) -> ObjectId {
        let mut bytes = [0xAB; 12];
        bytes[..4].copy_from_slice(&(1_600_000_000 + number).to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        ObjectId::from_bytes(bytes)
    }

    /// A time so many seconds after another.
    pub(crate) fn at(seconds: i64) -> DateTime {
        DateTime::from_millis((1_600_000_000 + seconds) * 1_000)
    }

    pub(crate) async fn insert(&self, collection: &str, row: Document) {
        self.database.collection::<Document>(collection).insert_one(row).await.unwrap();
    }

    /// A user with this number and name, made at that second.
    pub(crate) async fn user(&self, number: u32, username: &str) -> ObjectId {
        let id = Self::id(number);
        let row = doc! {
            "_id": id,
            "username": username,
            "password": format!("$2y$10$hash of {number}"),
            "email": format!("{number}@example.org"),
            "created_at": Self::at(i64::from(number)),
            "last_login": Self::at(i64::from(number) + 9),
            "status": "online",
            "token": "t0ken",
        };
        self.insert("users", row).await;
        id
    }

    /// Users 1, 2, 3, …
    pub(crate) async fn users<const N: usize>(&self) -> [ObjectId; N] {
        let mut ids = [ObjectId::default(); N];
        for (number, id) in (1..).zip(&mut ids) {
            *id = self.user(number, &format!("user-{number:02}")).await;
        }
        ids
    }

    pub(crate) async fn room(&self, number: u32, participants: &[ObjectId]) -> ObjectId {
        let id = Self::id(number);
        let row = doc! {
            "_id": id,
            "name": format!("Room {number}"),
            "creator_id": participants[0],
            "created_at": Self::at(i64::from(number)),
            "participants": participants,
        };
        self.insert("chat_rooms", row).await;
        id
    }

    pub(crate) async fn chat(&self, number: u32, one: ObjectId, other: ObjectId) -> ObjectId {
        let id = Self::id(number);
        let created_at = Self::at(i64::from(number));
        self.insert(
            "private_chats",
            doc! { "_id": id, "user1_id": one, "user2_id": other, "created_at": created_at },
        )
        .await;
        id
    }

    /// A message that says its number, sent at that second, with these fields in place of the usual ones.
    pub(crate) async fn message(&self, number: u32, fields: Document) -> ObjectId {
        let id = Self::id(number);
        let mut row = doc! {
            "_id": id,
            "content": format!("message {number}"),
            "timestamp": Self::at(i64::from(number)),
            "type": "text",
        };
        row.extend(fields);
        self.insert("messages", row).await;
        id
    }

    pub(crate) async fn migration(&self) -> Migration {
        Migration::connect(&self.config(), rule()).await.unwrap()
    }

    pub(crate) fn config(&self) -> MongoConfig {
        self.test.config()
    }

    pub(crate) async fn survey(&self) -> (Report, Vec<Finding>) {
        let mut listener = Listener::default();
        match self.migration().await.survey(&mut listener).await.unwrap() {
            Outcome::Done(report) => (report, listener.findings),
            nothing => panic!("{nothing:?}"),
        }
    }

    /// Looks, migrates in small pages, and compares what was told before and after.
    pub(crate) async fn migrate(&self) -> Migrated {
        let (expected, mut announced) = self.survey().await;
        let mut listener = Listener::default();
        let outcome = self.migration().await.page_rows(3).run(&mut listener).await.unwrap();
        let Outcome::Done(report) = outcome else { panic!("{outcome:?}") };
        let mut findings = listener.findings;
        assert_eq!(report, expected, "the survey announced something else");
        let by_text = |finding: &Finding| (finding.kind, finding.id.clone(), finding.text.clone());
        announced.sort_by_key(by_text);
        findings.sort_by_key(by_text);
        assert_eq!(findings, announced, "the survey announced other findings");
        Migrated { store: self.test.open().await, report, findings }
    }

    /// A run that is refused.
    pub(crate) async fn refused(&self) -> MigrationError {
        self.migration().await.run(&mut Listener::default()).await.unwrap_err()
    }

    pub(crate) async fn row(&self, collection: &str, id: ObjectId) -> Document {
        let rows = self.database.collection::<Document>(collection);
        rows.find_one(doc! { "_id": id }).await.unwrap().unwrap_or_else(|| panic!("{collection} has no {id}"))
    }

    pub(crate) async fn rows(&self, collection: &str) -> Vec<Document> {
        let rows = self.database.collection::<Document>(collection);
        rows.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap()
    }

    /// A hash of what a collection holds.
    pub(crate) async fn hashes(&self) -> Document {
        let reply = self.database.run_command(doc! { "dbHash": 1 }).await.unwrap();
        reply.get_document("collections").unwrap().clone()
    }
}

impl Migrated {
    pub(crate) fn kinds(&self) -> Vec<FindingKind> {
        self.findings.iter().map(|finding| finding.kind).collect()
    }

    /// The whole log of a conversation.
    pub(crate) async fn log(&self, id: ObjectId) -> Vec<Entry> {
        let conversation = ConversationId::from_bytes(id.bytes());
        let mut log: Vec<Entry> = Vec::new();
        loop {
            let after = log.last().map_or(Seq::ZERO, |entry| entry.seq);
            let range = EntryRange { after, upto: Seq::MAX, limit: 100, max_bytes: hard::PAGE_BYTES };
            let page = self.store.entries(conversation, range).await.unwrap();
            log.extend(page.entries);
            if !page.more {
                return log;
            }
        }
    }

    /// What is said in a conversation, in order.
    pub(crate) async fn said(&self, id: ObjectId) -> Vec<String> {
        let contents = self.log(id).await.into_iter().filter_map(|entry| match entry.body {
            EntryBody::Message(message) => Some(message.content.as_str().to_owned()),
            EntryBody::Event(_) => None,
        });
        contents.collect()
    }
}

pub(crate) fn user(id: ObjectId) -> UserId {
    UserId::from_bytes(id.bytes())
}

pub(crate) fn conversation(id: ObjectId) -> ConversationId {
    ConversationId::from_bytes(id.bytes())
}

/// What a row has in a field.
pub(crate) fn field<'a>(row: &'a Document, name: &str) -> &'a Bson {
    row.get(name).unwrap_or_else(|| panic!("{row} has no {name}"))
}
