//! The real binary: from the embedded store to MongoDB and back, through archives.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::path::Path;

use chat_testkit::mongod::{FreshDatabase, shared};
use support::archives::{Place, export, import_all, on, populated, seen_by_all, stop};
use support::{Builder, Server};

/// Entries of the largest room: more than a page of export and many appends.
const MANY: usize = 700;

/// `chat-server` on a database in MongoDB.
fn on_mongodb(database: &FreshDatabase) -> Builder {
    Server::with()
        .set("store", "mongodb")
        .set("mongodb_uri", database.uri())
        .set("mongodb_database", database.name())
}

/// Runs `export` or `import` there; it must succeed.
fn move_data(database: &FreshDatabase, command: &str, file: &Path) {
    let done = on_mongodb(database).arg(command).arg(file.to_str().unwrap()).run();
    assert_eq!(done.code, Some(0), "{command}: {}", done.log);
}

#[tokio::test]
async fn everything_moves_from_sqlite_to_mongodb_and_back() {
    let place = Place::new();
    let (source, back) = (place.path("source"), place.path("back"));
    populated(&source, MANY).await;
    let server = on(&source).start();
    let before = seen_by_all(&server).await;
    stop(server);
    export(&source, &place.path("sqlite.jsonl"));

    let database = shared().await.fresh_database();
    move_data(&database, "import", &place.path("sqlite.jsonl"));
    move_data(&database, "export", &place.path("mongodb.jsonl"));
    assert!(place.text("sqlite.jsonl") == place.text("mongodb.jsonl"), "byte for byte");
    let server = on_mongodb(&database).start();
    let moved = seen_by_all(&server).await;
    stop(server);
    assert_eq!(before.len(), moved.len());
    for (before, moved) in before.iter().zip(&moved) {
        assert_eq!(before, moved);
    }

    // Signing in was noted meanwhile, so the way back begins with a new archive.
    move_data(&database, "export", &place.path("later.jsonl"));
    import_all(&back, &place.path("later.jsonl"));
    export(&back, &place.path("back.jsonl"));
    assert!(place.text("later.jsonl") == place.text("back.jsonl"), "byte for byte");
    let server = on(&back).start();
    for (before, after) in before.iter().zip(&seen_by_all(&server).await) {
        assert_eq!(before, after);
    }
}

#[tokio::test]
async fn a_mongodb_with_other_data_takes_no_import() {
    let place = Place::new();
    populated(&place.path("source"), 5).await;
    export(&place.path("source"), &place.path("a.jsonl"));
    let database = shared().await.fresh_database();
    let server = on_mongodb(&database).start();
    server.newcomer("somebody").await;
    stop(server);
    let file = place.path("a.jsonl");
    let refused = on_mongodb(&database).arg("import").arg(file.to_str().unwrap()).run();
    assert_eq!(refused.code, Some(73), "{}", refused.log);
    move_data(&database, "export", &place.path("b.jsonl"));
    assert_eq!(place.text("b.jsonl").lines().filter(|line| line.contains("somebody")).count(), 1);
    assert!(!place.text("b.jsonl").contains("Harbour"), "nothing was written");
}
