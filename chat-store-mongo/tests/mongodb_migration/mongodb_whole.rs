//! Whole databases with all their flaws: nothing is written by a survey, nothing is lost by a run.

use std::collections::BTreeMap;

use chat_store_mongo::OpenError;
use chat_store_mongo::migrate_php::{FindingKind, Migration, MigrationError, Outcome, Phase, State};
use chat_testkit::php_database::PhpDatabase;
use mongodb::bson::{Bson, Document, doc};

use crate::php_chat::{Listener, PhpChat, rule};

/// Large enough to have every flaw.
const LARGE: PhpDatabase = PhpDatabase { users: 1_500, rooms: 80, messages: 6_000, seed: 11 };

async fn large() -> PhpChat {
    let php = PhpChat::new().await;
    LARGE.write(&php.database).await.unwrap();
    php
}

/// What each message says, by its id.
async fn contents(php: &PhpChat) -> BTreeMap<String, Bson> {
    let rows = php.rows("messages").await.into_iter();
    rows.map(|row| (row.get("_id").unwrap().to_string(), row.get("content").cloned().unwrap_or(Bson::Null)))
        .collect()
}

#[tokio::test]
async fn a_survey_writes_nothing() {
    let php = large().await;
    let before = (php.hashes().await, php.database.list_collection_names().await.unwrap().len());
    let (report, findings) = php.survey().await;
    let after = (php.hashes().await, php.database.list_collection_names().await.unwrap().len());
    assert_eq!(after, before);
    assert_eq!(report.counts.users, LARGE.users);
    assert_eq!(report.counts.messages, LARGE.messages);
    assert_eq!(report.counts.placed + report.counts.unplaced, LARGE.messages);
    assert_eq!(report.findings.values().sum::<u64>(), findings.len() as u64);
    assert_eq!(php.migration().await.state().await.unwrap(), State::PhpChat);
}

#[tokio::test]
async fn every_flaw_is_found_in_a_large_database() {
    let php = large().await;
    let (report, _) = php.survey().await;
    for kind in FindingKind::ALL {
        assert!(report.findings.contains_key(kind), "no {kind:?} in {report:#?}");
    }
}

#[tokio::test]
async fn nothing_is_lost_and_every_log_is_whole() {
    let php = large().await;
    let before = contents(&php).await;
    let (expected, _) = php.survey().await;
    let mut listener = Listener::default();
    let outcome = php.migration().await.run(&mut listener).await.unwrap();
    assert_eq!(outcome, Outcome::Done(expected.clone()));
    assert_eq!(listener.phases().first(), Some(&Phase::Indexes));
    assert_eq!(listener.phases().last(), Some(&Phase::Check));

    let rows = php.rows("messages").await;
    let mut logs: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    let mut originals = 0;
    for row in &rows {
        let id = row.get("_id").unwrap().to_string();
        let Some(content) = before.get(&id) else { continue };
        originals += 1;
        let kept = row.get("content_before").or(row.get("content")).unwrap_or(&Bson::Null);
        assert_eq!(kept, content, "{id} says something else");
    }
    assert_eq!(originals, before.len(), "messages have disappeared");
    for row in &rows {
        let conversation = row.get("conversation").unwrap().to_string();
        let seq = row.get_i64("seq").unwrap();
        logs.entry(conversation).or_default().push((seq, row.get_i64("messages_so_far").unwrap_or(-1)));
    }
    let homeless = logs.remove(&Bson::Null.to_string()).unwrap();
    assert_eq!(homeless.len() as u64, expected.counts.unplaced);
    for (conversation, mut log) in logs {
        log.sort_unstable();
        let numbers: Vec<i64> = log.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(numbers, (1..=log.len() as i64).collect::<Vec<_>>(), "{conversation} has holes");
    }
}

#[tokio::test]
async fn a_second_run_has_nothing_to_do() {
    let php = PhpChat::new().await;
    PhpDatabase { users: 20, rooms: 4, messages: 50, seed: 3 }.write(&php.database).await.unwrap();
    let mut first = Listener::default();
    let outcome = php.migration().await.run(&mut first).await.unwrap();
    let Outcome::Done(report) = outcome else { panic!("{outcome:?}") };
    let before = php.hashes().await;
    let mut listener = Listener::default();
    // Telling may have been cut off.
    let again = php.migration().await.run(&mut listener).await.unwrap();
    assert_eq!((again, &listener.findings), (Outcome::Earlier(report), &first.findings));
    let survey = php.migration().await.survey(&mut listener).await.unwrap();
    assert_eq!(survey, Outcome::Nothing(State::Ours));
    assert_eq!(php.hashes().await, before);
    assert!(listener.progress.is_empty());
}

#[tokio::test]
async fn an_empty_database_has_nothing_to_migrate() {
    let php = PhpChat::new().await;
    let outcome = php.migration().await.run(&mut Listener::default()).await.unwrap();
    assert_eq!(outcome, Outcome::Nothing(State::Empty));
    assert!(php.database.list_collection_names().await.unwrap().is_empty());
    php.test.open().await;
    assert_eq!(php.migration().await.state().await.unwrap(), State::Ours);
}

#[tokio::test]
async fn what_no_rule_covers_is_refused_before_anything_is_written() {
    let php = PhpChat::new().await;
    let [ann] = php.users().await;
    php.insert("users", doc! { "_id": "ben", "username": "ben" }).await;
    php.insert("sessions", doc! { "user": ann }).await;
    let validated = doc! { "create": "private_chats", "validator": { "user1_id": { "$exists": true } } };
    php.database.run_command(validated).await.unwrap();
    php.database.run_command(doc! { "create": "messages", "capped": true, "size": 4_096 }).await.unwrap();
    let collated = doc! { "create": "chat_rooms", "collation": { "locale": "en", "strength": 2 } };
    php.database.run_command(collated).await.unwrap();
    let before = php.hashes().await;
    let MigrationError::Obstacles(found) = php.refused().await else { panic!("it is not refused") };
    for (obstacle, word) in found.iter().zip(["users", "sessions", "capped", "validator", "collation"]) {
        assert!(found.iter().any(|found| found.contains(word)), "{obstacle}: {found:?}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
    let survey = php.migration().await.survey(&mut Listener::default()).await.unwrap_err();
    assert!(matches!(survey, MigrationError::Obstacles(_)));
    assert_eq!(php.hashes().await, before);
    assert_eq!(php.migration().await.state().await.unwrap(), State::PhpChat);
}

#[tokio::test]
async fn indexes_that_would_do_harm_are_dropped_and_told() {
    let php = PhpChat::new().await;
    let [ann] = php.users().await;
    let room = php.room(10, &[ann]).await;
    php.message(20, doc! { "room_id": room, "sender_id": ann }).await;
    for (collection, index) in [
        ("users", doc! { "key": { "username": 1 }, "name": "username_1", "unique": true }),
        ("users", doc! { "key": { "email": 1 }, "name": "email_1", "unique": true }),
        ("messages", doc! { "key": { "timestamp": 1 }, "name": "ttl", "expireAfterSeconds": 1_000_000_000 }),
        ("messages", doc! { "key": { "room_id": 1 }, "name": "room_id_1" }),
    ] {
        php.database.run_command(doc! { "createIndexes": collection, "indexes": [index] }).await.unwrap();
    }
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::IndexDropped; 3]);
    assert!(migrated.findings.iter().any(|finding| finding.text.contains("expireAfterSeconds")));
    let names = php.database.collection::<Document>("messages").list_index_names().await.unwrap();
    assert!(names.contains(&"room_id_1".to_owned()) && !names.contains(&"ttl".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("migration")), "{names:?}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let php = PhpChat::new().await;
    php.insert("meta", doc! { "_id": "schema", "value": 99_i64 }).await;
    let refused = php.refused().await;
    assert!(matches!(refused, MigrationError::Database(OpenError::Newer { found: 99, .. })), "{refused}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_its_password_is_not() {
    let wrong = chat_store_mongo::MongoConfig::new("mongodb://ann:s3cr3t@127.0.0.1:1", "chat_system");
    let error = Migration::connect(&wrong, rule()).await.unwrap_err();
    assert!(matches!(error, OpenError::Unreachable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}
