//! Databases that cannot be opened: one line that says what to do, an exit code, and nothing written.

use std::net::TcpListener;

use chat_testkit::mongod::Mongod;
use mongodb::bson::{Document, doc};

use crate::place::{Place, complaint, on};
use crate::support::Server;

/// An address at which nobody listens.
fn nowhere() -> String {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("mongodb://127.0.0.1:{}", taken.local_addr().unwrap().port())
}

/// The server refuses the database with this code and a line that has these words, and changes nothing.
async fn assert_refused(place: &Place, code: i32, words: &[&str]) {
    let before = place.contents().await;
    let ended = place.server().try_start().expect_err("the database is refused");
    let line = complaint(&ended);
    assert_eq!(ended.code, Some(code), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is missing in {line}");
    }
    assert_eq!(place.contents().await, before, "something was written");
}

#[test]
fn a_wrong_address_is_wrong_usage() {
    for (uri, database, word) in [
        ("nonsense", "chat", "connection string"),
        ("mongodb://", "chat", "connection string"),
        ("mongodb://u:canary@h:notaport", "chat", "connection string"),
        ("mongodb://u:can/ary@h", "chat", "must be URL encoded"),
        ("mongodb://h/?w=canary&nosuchoption=1&tls=maybe", "chat", "connection string"),
        ("mongodb://127.0.0.1:1", "a/b", "\"a/b\" is no name of a database"),
    ] {
        let ended = on(uri, database).try_start().expect_err("the address is wrong");
        let line = complaint(&ended);
        assert_eq!(ended.code, Some(64), "{line}");
        assert!(line.contains(word) && !ended.log.contains("u:can"), "{uri}: {}", ended.log);
    }
}

#[test]
fn the_store_needs_an_address() {
    let ended = Server::with().set("store", "mongodb").try_start().expect_err("there is no address");
    assert_eq!(ended.code, Some(64), "{}", ended.log);
    assert!(ended.log.contains("mongodb needs mongodb_uri"), "{}", ended.log);
}

#[tokio::test]
async fn a_database_that_never_answers_ends_the_start_after_a_while_and_tools_at_once() {
    let mongod = Mongod::start().await;
    let tls = format!("{}&tls=true", mongod.uri());
    // The second does answer, but not as it should: a server without TLS. Both take a while, so they go together.
    let starts = [nowhere(), tls]
        .map(|uri| std::thread::spawn(move || on(&uri, "chat").try_start().expect_err("nobody answers")));
    for command in [["user", "disable", "ann"].as_slice(), &["epoch", "new"]] {
        let tool = command.iter().fold(on(&nowhere(), "chat"), |tool, word| tool.arg(*word)).run();
        assert_eq!(tool.code, Some(75), "{}", tool.log);
        assert!(complaint(&tool).contains("cannot be reached"), "{}", tool.log);
    }
    for start in starts {
        let ended = start.join().unwrap();
        assert_eq!(ended.code, Some(75), "{}", ended.log);
        assert!(complaint(&ended).contains("MongoDB cannot be reached"), "{}", ended.log);
        assert!(ended.log.contains("waiting for the database"), "{}", ended.log);
    }
}

#[tokio::test]
async fn the_database_of_another_chat_system_is_left_alone() {
    let place = Place::new().await;
    let users = place.database.collection::<Document>("users");
    users
        .insert_one(doc! { "username": "ann", "password": "$2y$10$x", "email": "a@example.org" })
        .await
        .unwrap();
    place.database.collection("messages").insert_one(doc! { "content": "hello" }).await.unwrap();
    assert_refused(&place, 65, &["another chat system", "users, messages", "chat-server migrate"]).await;
}

#[tokio::test]
async fn a_newer_format_is_left_alone() {
    let place = Place::laid_out().await;
    set_meta(&place, "schema", doc! { "value": 99_i64 }).await;
    assert_refused(&place, 65, &["newer version", "99"]).await;
}

#[tokio::test]
async fn a_missing_epoch_is_damage() {
    let place = Place::laid_out().await;
    place.database.collection::<Document>("meta").delete_one(doc! { "_id": "epoch" }).await.unwrap();
    assert_refused(&place, 65, &["damaged", "epoch"]).await;
}

#[tokio::test]
async fn an_index_that_is_missing_or_another_one_is_named() {
    let place = Place::laid_out().await;
    let messages = place.database.collection::<Document>("messages");
    messages.drop_index("log").await.unwrap();
    assert_refused(&place, 65, &["index log of messages is missing", "docs/operations.md"]).await;

    for (index, problem) in [
        (doc! { "key": { "conversation": 1, "seq": 1 }, "name": "log" }, "is not unique"),
        (
            doc! { "key": { "seq": 1, "conversation": 1 }, "name": "log", "unique": true },
            "is on other fields",
        ),
    ] {
        let create = doc! { "createIndexes": "messages", "indexes": [index] };
        place.database.run_command(create).await.unwrap();
        assert_refused(&place, 65, &["index log of messages", problem]).await;
        messages.drop_index("log").await.unwrap();
    }
}

#[tokio::test]
async fn tools_make_no_database() {
    let place = Place::new().await;
    for command in [["user", "disable", "ann"].as_slice(), &["epoch", "new"]] {
        let tool = command.iter().fold(place.server(), |tool, word| tool.arg(*word)).run();
        assert_eq!(tool.code, Some(73), "{}", tool.log);
        assert!(complaint(&tool).contains("there is no chat in the database"), "{}", tool.log);
    }
    assert!(place.database.list_collection_names().await.unwrap().is_empty());
}

#[tokio::test]
async fn backups_are_made_by_another_tool() {
    let place = Place::laid_out().await;
    let refused = place.server().arg("backup").arg("copy.db").run();
    assert_eq!(refused.code, Some(64), "{}", refused.log);
    assert!(complaint(&refused).contains("mongodump"), "{}", refused.log);
    assert!(!refused.directory().join("copy.db").exists());
}

async fn set_meta(place: &Place, id: &str, fields: Document) {
    let meta = place.database.collection::<Document>("meta");
    meta.update_one(doc! { "_id": id }, doc! { "$set": fields }).await.unwrap();
}
