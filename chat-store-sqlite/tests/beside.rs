//! What operators do with a database while it is served.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chat_core::id::UserId;
use chat_core::port::{AccountStore, RoomStore};
use chat_core::time::Timestamp;
use chat_store_sqlite::{Beside, OpenError, SqliteConfig, SqliteStore};
use rusqlite::Connection;
use support::{Place, contents, message, room, send, user};

#[tokio::test]
async fn accounts_can_be_changed_and_copied_while_the_database_is_served() {
    let place = Place::new();
    let served = place.open();
    let room = room(&served, user(1)).await;
    let account = account(user(1));
    served.create_account(account).await.unwrap();

    let beside = Beside::open(SqliteConfig::new(place.database())).unwrap();
    assert!(beside.accounts().set_disabled(user(1), true).await.unwrap());
    assert!(served.account(user(1)).await.unwrap().unwrap().disabled);

    let read = beside.rooms().conversation(room).await.unwrap();
    assert_eq!(read, served.conversation(room).await.unwrap());
    assert!(read.is_some());

    beside.backup(place.path("copy.db")).await.unwrap();
    let copy = SqliteStore::open(SqliteConfig::new(place.path("copy.db"))).unwrap();
    assert!(copy.conversation(room).await.unwrap().is_some());
    assert_ne!(copy.epoch().await.unwrap(), served.epoch().await.unwrap());

    drop(beside);
    served.set_disabled(user(1), false).await.unwrap();
    assert!(served.health().is_ok());
}

/// Patience that no test outlasts.
const FOR_EVER: Duration = Duration::from_secs(600);

/// Closes a store on a thread of its own and waits until it is closed.
fn close<T: Send + 'static>(store: T) -> Result<(), mpsc::RecvTimeoutError> {
    let (closed, is_closed) = mpsc::channel();
    thread::spawn(move || {
        drop(store);
        closed.send(()).ok();
    });
    is_closed.recv_timeout(Duration::from_secs(20))
}

/// A reader in another program that holds the state of now until it is dropped.
fn old_reader(place: &Place) -> Connection {
    let reader = Connection::open(place.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM meta;").unwrap();
    reader
}

#[tokio::test]
async fn closing_never_waits_for_readers_of_an_old_state() {
    let place = Place::new();
    let patient = SqliteConfig { busy_timeout: FOR_EVER, ..SqliteConfig::new(place.database()) };
    let served = SqliteStore::open(patient.clone()).unwrap();
    let room_id = room(&served, user(1)).await;
    let reader = old_reader(&place);
    send(&served, room_id, vec![message(user(1), "newer than what the reader sees")]).await;

    let beside = Beside::open(patient).unwrap();
    beside.accounts().create_account(account(user(1))).await.unwrap();
    assert_eq!(close(beside), Ok(()), "a tool waits for the reader, and with it all who write");
    send(&served, room_id, vec![message(user(1), "the server goes on")]).await;
    assert_eq!(close(served), Ok(()), "the server waits for the reader");
    drop(reader);

    let again = place.open();
    assert_eq!(contents(&again, room_id).await.len(), 2);
    drop(again);
    assert!(!place.path("chat.db-wal").exists(), "who closes last leaves a single file behind");
}

#[tokio::test]
async fn a_tool_without_a_server_leaves_a_single_file_behind() {
    let place = Place::new();
    drop(place.open());
    let beside = Beside::open(SqliteConfig::new(place.database())).unwrap();
    beside.accounts().create_account(account(user(1))).await.unwrap();
    drop(beside);
    assert!(!place.path("chat.db-wal").exists());
}

#[test]
fn nothing_is_created_beside() {
    let place = Place::new();
    let opened = Beside::open(SqliteConfig::new(place.database()));
    assert!(matches!(opened, Err(OpenError::Missing { .. })));
    assert!(!place.database().exists());
}

fn account(user_id: UserId) -> chat_core::port::NewAccount {
    chat_core::port::NewAccount {
        user_id,
        username: chat_core::port::UsernameKeys {
            text: "ann".to_owned(),
            folded: "ann".to_owned(),
            skeleton: "ann".to_owned(),
        },
        display_name: chat_core::domain::DisplayName::new("Ann").unwrap(),
        email: None,
        password_hash: "$argon2id$".to_owned(),
        created_at: Timestamp::from_unix_ms(1),
    }
}
