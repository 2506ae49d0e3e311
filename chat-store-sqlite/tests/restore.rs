//! Files that are put in the place of a database, with and without the write-ahead log of the one before.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::fs;
use std::path::Path;

use chat_core::id::ConversationId;
use chat_core::port::RoomStore;
use chat_store_sqlite::{Beside, OpenError, SqliteConfig, SqliteStore};
use support::{Place, contents, message, room, send, user};

/// Copies the files of an open database as they are: what a killed server leaves behind.
fn kill(store: SqliteStore, from: &Place) -> Place {
    let killed = Place::new();
    for name in ["chat.db", "chat.db-wal", "chat.db.lock"] {
        fs::copy(from.path(name), killed.path(name)).unwrap();
    }
    drop(store);
    killed
}

/// What may be put back: a backup, a copy of the file of a stopped server, and what is in both.
struct Copies {
    room: ConversationId,
    epoch: String,
}

/// A killed server's directory, with `backup.db` and `copy.db` of before its last message.
async fn killed_server() -> (Place, Copies) {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    send(&store, room, vec![message(user(1), "kept")]).await;
    drop(store);
    fs::copy(place.database(), place.path("copy.db")).unwrap();
    let store = place.open();
    let epoch = store.epoch().await.unwrap();
    store.backup(place.path("backup.db")).await.unwrap();
    send(&store, room, vec![message(user(1), "lost")]).await;
    let killed = kill(store, &place);
    for name in ["backup.db", "copy.db"] {
        fs::copy(place.path(name), killed.path(name)).unwrap();
    }
    (killed, Copies { room, epoch })
}

fn assert_refused(place: &Place, what: &str) {
    let config = || SqliteConfig::new(place.database());
    for refused in [SqliteStore::open(config()).err(), Beside::open(config()).err()] {
        assert!(matches!(refused, Some(OpenError::Replaced { .. })), "{what}: {refused:?}");
        let message = refused.unwrap().to_string();
        assert!(message.contains("chat.db-wal and") && message.contains("move"), "{message}");
    }
}

/// Puts a copy in the place of the database, into the same file or as another one.
fn put_back(place: &Place, copy: &str, into_the_same_file: bool) {
    let bytes = fs::read(place.path(copy)).unwrap();
    if into_the_same_file {
        fs::write(place.database(), bytes).unwrap();
    } else {
        fs::remove_file(place.database()).unwrap();
        fs::write(place.database(), bytes).unwrap();
    }
}

#[tokio::test]
async fn a_killed_server_goes_on_from_its_log() {
    let (place, Copies { room, epoch }) = killed_server().await;
    let store = place.open();
    assert_eq!(contents(&store, room).await, ["kept", "lost"]);
    assert_eq!(store.epoch().await.unwrap(), epoch);
}

#[tokio::test]
async fn a_copy_put_back_beside_the_old_log_is_refused_and_not_touched() {
    for copy in ["backup.db", "copy.db"] {
        for into_the_same_file in [true, false] {
            let (place, Copies { room, epoch }) = killed_server().await;
            put_back(&place, copy, into_the_same_file);
            let log = fs::read(place.path("chat.db-wal")).unwrap();
            for _ in 0..2 {
                assert_refused(&place, copy);
            }
            assert_eq!(fs::read(place.path("chat.db-wal")).unwrap(), log);
            assert_eq!(fs::read(place.database()).unwrap(), fs::read(place.path(copy)).unwrap());

            // As the message says.
            fs::rename(place.path("chat.db-wal"), place.path("old-wal")).unwrap();
            let store = place.open();
            assert_eq!(contents(&store, room).await, ["kept"], "{copy}");
            let restored = store.epoch().await.unwrap();
            assert_ne!(restored, epoch, "{copy}: clients see that it is another history");
            drop(store);
            assert_eq!(place.open().epoch().await.unwrap(), restored);
        }
    }
}

#[tokio::test]
async fn the_database_before_can_be_put_back_beside_its_log() {
    let (place, Copies { room, epoch }) = killed_server().await;
    fs::rename(place.database(), place.path("before.db")).unwrap();
    fs::copy(place.path("backup.db"), place.database()).unwrap();
    assert_refused(&place, "backup.db");
    fs::rename(place.path("before.db"), place.database()).unwrap();
    let store = place.open();
    assert_eq!(contents(&store, room).await, ["kept", "lost"]);
    assert_eq!(store.epoch().await.unwrap(), epoch);
}

#[tokio::test]
async fn a_log_whose_database_is_missing_is_not_thrown_away() {
    let (place, _) = killed_server().await;
    fs::rename(place.database(), place.path("before.db")).unwrap();
    let refused = SqliteStore::open(SqliteConfig::new(place.database())).unwrap_err();
    assert!(matches!(refused, OpenError::Replaced { .. }), "{refused:?}");
    assert!(place.path("chat.db-wal").exists() && !place.database().exists());
}

/// Whether a killed server's files open as they are, whatever the lock file says.
async fn opens_with_lock(text: Option<&str>) {
    let (place, Copies { room, epoch }) = killed_server().await;
    let lock = place.path("chat.db.lock");
    match text {
        Some(text) => fs::write(&lock, text).unwrap(),
        None => fs::remove_file(&lock).unwrap(),
    }
    let store = place.open();
    assert_eq!(contents(&store, room).await, ["kept", "lost"], "{text:?}");
    assert_eq!(store.epoch().await.unwrap(), epoch, "{text:?}");
}

#[tokio::test]
async fn a_lock_file_that_names_no_whole_run_refuses_nothing() {
    for text in
        [None, Some(""), Some("4711"), Some("4711\n"), Some("4711\n0123456789abcdef"), Some("\0\0\0\0")]
    {
        opens_with_lock(text).await;
    }
}

#[tokio::test]
async fn a_backup_is_known_without_a_lock_file_too() {
    let (place, _) = killed_server().await;
    fs::remove_file(place.path("chat.db.lock")).unwrap();
    put_back(&place, "backup.db", true);
    assert_refused(&place, "backup.db");
}

#[tokio::test]
async fn a_restored_backup_whose_server_is_killed_goes_on_from_its_log() {
    let (place, Copies { room, .. }) = killed_server().await;
    fs::remove_file(place.path("chat.db-wal")).unwrap();
    put_back(&place, "backup.db", true);
    let store = place.open();
    send(&store, room, vec![message(user(1), "after")]).await;
    let epoch = store.epoch().await.unwrap();
    let killed = kill(store, &place);
    let store = killed.open();
    assert_eq!(contents(&store, room).await, ["kept", "after"]);
    assert_eq!(store.epoch().await.unwrap(), epoch);
}

#[tokio::test]
async fn paths_with_any_characters_are_looked_at() {
    let place = Place::new();
    let odd = place.path("100% sure? #1 张三.db");
    let config = || SqliteConfig::new(&odd);
    let store = SqliteStore::open(config()).unwrap();
    let epoch = store.epoch().await.unwrap();
    store.backup(place.path("backup.db")).await.unwrap();
    room(&store, user(1)).await;
    let log = fs::read(beside(&odd)).unwrap();
    drop(store);
    assert_eq!(SqliteStore::open(config()).unwrap().epoch().await.unwrap(), epoch);
    fs::copy(place.path("backup.db"), &odd).unwrap();
    fs::write(beside(&odd), log).unwrap();
    let refused = SqliteStore::open(config()).unwrap_err();
    assert!(matches!(refused, OpenError::Replaced { .. }), "{refused:?}");
}

fn beside(database: &Path) -> std::path::PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
