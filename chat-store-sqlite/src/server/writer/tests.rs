//! The writing thread, with commands that fail in every way.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use chat_core::error::{Retry, StoreError};
use rusqlite::Connection;

use crate::error::{Work, WorkError};
use crate::{SqliteConfig, SqliteStore};

struct Place {
    store: SqliteStore,
    directory: tempfile::TempDir,
}

fn open() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(SqliteConfig::new(directory.path().join("chat.db"))).unwrap();
    Place { store, directory }
}

fn note(connection: &Connection, name: &str) -> Work<()> {
    connection.execute("INSERT INTO meta (name, value) VALUES (?1, zeroblob(5000) || '')", [name])?;
    Ok(())
}

async fn notes(store: &SqliteStore) -> Vec<String> {
    let names = store.read(|connection| {
        let sql = "SELECT name FROM meta WHERE name NOT IN ('epoch', 'run') ORDER BY name";
        let mut statement = connection.prepare(sql)?;
        let names: Result<_, _> = statement.query_map([], |row| row.get(0))?.collect();
        Ok(names?)
    });
    names.await.unwrap()
}

fn retry<T>(result: Result<T, StoreError>) -> Option<Retry> {
    result.err().map(|error| error.retry())
}

/// Keeps the writing thread busy until what comes out is dropped.
async fn hold(store: &SqliteStore) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (entered, mut is_held) = tokio::sync::mpsc::channel(1);
    let work = move |_: &Connection| {
        entered.try_send(()).ok();
        held.recv_timeout(Duration::from_secs(30)).ok();
        Ok(())
    };
    drop(queue(store.write(work)).await);
    is_held.recv().await.unwrap();
    release
}

/// Polls a write once, which puts its command into the queue.
async fn queue<F: Future>(write: F) -> Pin<Box<F>> {
    let mut write = Box::pin(write);
    let is_queued = poll_fn(|context| Poll::Ready(write.as_mut().poll(context).is_pending())).await;
    assert!(is_queued, "the writing thread is held");
    write
}

/// Queues commands while the writing thread is busy, so that one transaction takes them all; their results in order.
async fn together(
    store: &SqliteStore,
    commands: Vec<fn(&Connection) -> Work<()>>,
) -> Vec<Result<(), StoreError>> {
    let release = hold(store).await;
    let mut writes = Vec::new();
    for command in commands {
        writes.push(queue(store.write(command)).await);
    }
    drop(release);
    let mut results = Vec::new();
    for write in writes {
        results.push(write.await);
    }
    results
}

fn break_the_commit(connection: &Connection) -> Work<()> {
    connection.execute_batch(
        "PRAGMA defer_foreign_keys = TRUE;
         INSERT INTO replaced_tokens (refresh, session_id, replaced_at) VALUES (x'00', x'00', 0);",
    )?;
    Ok(())
}

#[tokio::test]
async fn a_command_that_fails_or_panics_does_not_disturb_the_others() {
    let Place { store, directory: _directory } = open();
    let results = together(
        &store,
        vec![
            |connection| note(connection, "before"),
            |connection| {
                note(connection, "undone")?;
                Err(WorkError::damaged("on purpose"))
            },
            |connection| {
                note(connection, "undone too")?;
                panic!("on purpose")
            },
            |connection| note(connection, "after"),
        ],
    )
    .await;
    let retries: Vec<_> = results.into_iter().map(retry).collect();
    assert_eq!(retries, [None, Some(Retry::Never), Some(Retry::Never), None]);
    assert_eq!(notes(&store).await, ["after", "before"]);
    assert_eq!(store.health(), Ok(()));
}

#[tokio::test]
async fn a_failed_commit_stops_the_store_for_good() {
    let Place { store, directory: _directory } = open();
    let stopped = store.stopped();
    let results = together(&store, vec![|connection| note(connection, "lost"), break_the_commit]).await;
    // All that were in the transaction, which shows that it gathered them.
    assert!(results.into_iter().all(|result| retry(result) == Some(Retry::OutcomeUnknown)));

    assert_eq!(retry(store.write(|connection| note(connection, "late")).await), Some(Retry::Safe));
    assert_eq!(retry(store.read(|_| Ok(())).await), Some(Retry::Safe));
    let reason = store.health().unwrap_err();
    assert!(reason.to_string().contains("FOREIGN KEY"), "{reason}");
    assert_eq!(stopped.await, reason);
}

#[tokio::test]
async fn what_is_queued_behind_a_failed_commit_is_not_stored() {
    let Place { store, directory: _directory } = open();
    let failing = store.write(break_the_commit).await;
    assert_eq!(retry(failing), Some(Retry::OutcomeUnknown));
    let path = store.inner.config.path.clone();
    drop(store);
    let store = SqliteStore::open(SqliteConfig::new(path)).unwrap();
    assert_eq!(notes(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_full_disk_only_refuses_writes() {
    let Place { store, directory: _directory } = open();
    let limit = |connection: &Connection, pages: i64| -> Work<()> {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    };
    store.write(move |connection| limit(connection, 1)).await.unwrap();
    let results = together(
        &store,
        vec![|connection| note(connection, "first"), |connection| note(connection, "second")],
    )
    .await;
    assert!(results.into_iter().all(|result| retry(result) == Some(Retry::Safe)));
    assert_eq!(notes(&store).await, Vec::<String>::new());
    assert_eq!(store.health(), Ok(()));

    store.write(move |connection| limit(connection, 1_000_000)).await.unwrap();
    store.write(|connection| note(connection, "later")).await.unwrap();
    assert_eq!(notes(&store).await, ["later"]);
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let Place { store, directory } = open();
    let release = hold(&store).await;
    for name in ["a", "b", "c"] {
        // Nobody waits for the answer.
        drop(queue(store.write(move |connection| note(connection, name))).await);
    }
    drop(release);
    drop(store);
    let path = directory.path().join("chat.db");
    let store = SqliteStore::open(SqliteConfig::new(path)).unwrap();
    assert_eq!(notes(&store).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_long_log_is_copied_while_the_store_works() {
    let Place { store, directory } = open();
    let pages_of_all_commits = 120 * 100 * 2;
    for _ in 0..120 {
        let overwrite = |connection: &Connection| {
            let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, hex(zeroblob(2000)))";
            let mut statement = connection.prepare_cached(sql)?;
            for name in 0..100 {
                statement.execute([name.to_string()])?;
            }
            Ok(())
        };
        store.write(overwrite).await.unwrap();
    }
    let log_bytes = std::fs::metadata(directory.path().join("chat.db-wal")).unwrap().len();
    assert!(log_bytes < pages_of_all_commits * 4_096 / 2, "{log_bytes}");
}
