//! The real binary and its data: the directory, the lock, backups, accounts, and a store that fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use chat_testkit::client::TestClient;
use serde_json::{Value, json};
use support::{Server, Store, on_every_store};

on_every_store! {
    data_survive_a_restart,
    a_disabled_user_is_signed_out_and_kept_out_until_enabled,
    sec_88_a_new_epoch_lets_clients_drop_what_they_know,
}

fn registration(username: &str) -> Value {
    json!({"action": "register", "username": username, "password": "correct horse", "email": "a@example.org"})
}

fn login(username: &str) -> Value {
    json!({"action": "login", "username": username, "password": "correct horse"})
}

async fn data_survive_a_restart(store: Store) {
    let server = store.start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(registration("ann")).await;
    let server = server.kill().again().start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(login("ann")).await;
}

#[test]
fn files_belong_to_their_owner_only() {
    let server = Server::start();
    for path in [server.data_dir(), server.data_dir().join("chat.db")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[tokio::test]
async fn a_stopped_server_leaves_one_file_and_its_lock() {
    let mut server = Server::start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(registration("ann")).await;
    server.terminate();
    assert_eq!(server.wait(), Some(0));
    let files = fs::read_dir(server.data_dir()).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["chat.db", "chat.db.lock"]);
}

#[tokio::test]
async fn the_memory_store_needs_no_directory() {
    let server = Server::with().set("store", "memory").start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(registration("ann")).await;
    ann.ok(login("ann")).await;
    assert!(!server.data_dir().exists());
}

#[test]
fn a_directory_in_use_is_named_and_refused() {
    let server = Server::start();
    let second = Server::with().set("data_dir", server.data_dir().to_str().unwrap()).try_start();
    let refused = second.expect_err("the directory is in use");
    assert_eq!(refused.code, Some(75), "{}", refused.log);
    assert!(refused.log.contains(&format!("in use by process {}", server.process_id())), "{}", refused.log);
}

#[test]
fn a_file_in_use_is_refused_behind_a_link_too() {
    let server = Server::start();
    let second = Server::with();
    let data = second.directory().join("chat-data");
    fs::create_dir(&data).unwrap();
    symlink(server.data_dir().join("chat.db"), data.join("chat.db")).unwrap();
    let refused = second.try_start().expect_err("the file is in use");
    assert_eq!(refused.code, Some(75), "{}", refused.log);
    assert!(refused.log.contains(&format!("in use by process {}", server.process_id())), "{}", refused.log);
}

#[test]
fn data_that_are_no_database_are_refused() {
    let builder = Server::with();
    fs::create_dir(builder.directory().join("chat-data")).unwrap();
    fs::write(builder.directory().join("chat-data/chat.db"), "no database ".repeat(1_000)).unwrap();
    let refused = builder.try_start().expect_err("the file is no database");
    assert_eq!(refused.code, Some(65), "{}", refused.log);
    assert!(refused.log.contains("chat.db is not a database"), "{}", refused.log);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let builder = Server::with().set("data_dir", "occupied/data");
    fs::write(builder.directory().join("occupied"), "a file").unwrap();
    let refused = builder.try_start().expect_err("there is a file in the way");
    assert_eq!(refused.code, Some(73), "{}", refused.log);
    assert!(refused.log.contains("occupied/data") && refused.log.contains("--data-dir"), "{}", refused.log);
}

#[tokio::test]
async fn a_backup_of_a_running_server_starts_elsewhere() {
    let server = Server::start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(registration("ann")).await;
    let epoch = ann.greeting()["epoch"].clone();

    let target = Server::with();
    let data = target.directory().join("chat-data");
    fs::create_dir(&data).unwrap();
    let file = data.join("chat.db");
    let done = server.tool(&["backup", file.to_str().unwrap()]);
    assert_eq!(done.code, Some(0), "{}", done.log);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
    let again = server.tool(&["backup", file.to_str().unwrap()]);
    assert_eq!(again.code, Some(73), "an existing file is never overwritten: {}", again.log);

    let restored = target.start();
    let mut ann = TestClient::connect(&restored.socket_url()).await;
    ann.ok(login("ann")).await;
    assert_ne!(ann.greeting()["epoch"], epoch, "clients see that it is another history");
}

#[tokio::test]
async fn a_restore_beside_the_log_of_a_killed_server_is_refused() {
    let server = Server::start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(registration("ann")).await;
    let epoch = ann.greeting()["epoch"].clone();
    let backup = server.directory().join("copy.db");
    let done = server.tool(&["backup", backup.to_str().unwrap()]);
    assert_eq!(done.code, Some(0), "{}", done.log);
    ann.ok(registration("bert")).await;
    let (database, log) = (server.data_dir().join("chat.db"), server.data_dir().join("chat.db-wal"));
    let killed = server.kill();
    fs::copy(&backup, &database).unwrap();

    let tool = killed.tool(&["user", "disable", "ann"]);
    assert_eq!(tool.code, Some(65), "{}", tool.log);
    let refused = killed.again().try_start().expect_err("the log is that of another file");
    assert_eq!(refused.code, Some(65), "{}", refused.log);
    assert!(refused.log.contains("chat.db was replaced") && refused.log.contains("move"), "{}", refused.log);

    fs::remove_file(log).unwrap();
    let server = refused.again().start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    assert_ne!(ann.greeting()["epoch"], epoch);
    ann.ok(login("ann")).await;
    assert_eq!(ann.refused(login("bert")).await, "invalid_credentials", "what came later is gone");
}

#[tokio::test]
async fn a_damaged_database_is_not_backed_up() {
    let mut server = Server::start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(registration("ann")).await;
    ann.ok(login("ann")).await;
    let created = ann.ok(json!({"action": "create_room", "room_name": "Harbour"})).await;
    for number in 0..40 {
        let content = format!("{number} {}", "x".repeat(8_000));
        ann.ok(json!({"action": "send_room_message", "room_id": created["room_id"], "content": content}))
            .await;
    }
    server.terminate();
    assert_eq!(server.wait(), Some(0));

    let database = server.data_dir().join("chat.db");
    let file = fs::File::options().write(true).open(&database).unwrap();
    file.write_all_at(&[0xA5; 64 * 1_024], file.metadata().unwrap().len() / 2).unwrap();
    let backup = server.directory().join("copy.db");
    let refused = server.tool(&["backup", backup.to_str().unwrap()]);
    assert_eq!(refused.code, Some(65), "{}", refused.log);
    assert!(refused.log.contains("chat.db is damaged"), "{}", refused.log);
    assert!(!refused.output.contains("complete") && !backup.exists(), "{}", refused.output);
}

async fn a_disabled_user_is_signed_out_and_kept_out_until_enabled(store: Store) {
    let server = store.start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(registration("ann")).await;
    ann.ok(login("ann")).await;

    let done = server.tool(&["user", "disable", "ANN"]);
    assert_eq!(
        (done.code, done.output.as_str()),
        (Some(0), "ANN is disabled; sessions ended: 1"),
        "{}",
        done.log
    );
    assert_eq!(ann.close_code().await, 4401, "the running server ends the connection");
    let mut ann = TestClient::connect(&server.socket_url()).await;
    assert_eq!(ann.refused(login("ann")).await, "invalid_credentials");

    let done = server.tool(&["user", "enable", "ann"]);
    assert_eq!((done.code, done.output.as_str()), (Some(0), "ann is enabled"), "{}", done.log);
    ann.ok(login("ann")).await;

    let unknown = server.tool(&["user", "disable", "nobody"]);
    assert_eq!(unknown.code, Some(67));
    assert!(unknown.log.contains("there is no user nobody"), "{}", unknown.log);
}

async fn sec_88_a_new_epoch_lets_clients_drop_what_they_know(store: Store) {
    let server = store.start();
    let mut ann = server.newcomer("ann").await;
    let room = ann.create_room("Harbour").await;
    let sync = |epoch: &Value| json!({"action": "sync", "cursors": {&room: 1}, "epoch": epoch});
    let old = ann.greeting()["epoch"].clone();
    assert_eq!(ann.ok(sync(&old)).await["conversations"][&room]["state"], "ok");
    server.terminate();
    let stopped = server.into_ended();

    let done = stopped.tool(&["epoch", "new"]);
    assert_eq!(done.code, Some(0), "{}", done.log);
    let server = stopped.again().start();
    let mut ann = server.resume(&ann).await;
    let new = ann.greeting()["epoch"].clone();
    assert_ne!(new, old);
    assert!(done.output.contains(new.as_str().unwrap()), "{}", done.output);
    assert_eq!(ann.ok(sync(&old)).await["conversations"][&room]["state"], "reset");
    assert_eq!(ann.ok(sync(&new)).await["conversations"][&room]["state"], "ok");
}

#[test]
fn a_new_epoch_is_not_begun_while_a_server_has_the_file() {
    let server = Server::start();
    let refused = server.tool(&["epoch", "new"]);
    assert_eq!(refused.code, Some(75), "{}", refused.log);
    assert!(refused.log.contains("in use"), "{}", refused.log);
}

#[test]
fn tools_need_a_database() {
    for command in [["backup", "copy.db"], ["epoch", "new"]] {
        let missing = command.into_iter().fold(Server::with(), |builder, word| builder.arg(word)).run();
        assert_eq!(missing.code, Some(73), "{}", missing.log);
        assert!(missing.log.contains("there is no database"), "{}", missing.log);
        assert!(!missing.directory().join("chat-data").exists(), "{command:?} made one");
    }
    let memory = Server::with().set("store", "memory").arg("user").arg("disable").arg("ann").run();
    assert_eq!(memory.code, Some(64));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_store_that_fails_lets_the_server_drain_and_exit_with_74() {
    let mut server = Server::with().after("trap '' XFSZ").start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(registration("ann")).await;
    ann.ok(login("ann")).await;
    let log_size = fs::metadata(server.data_dir().join("chat.db-wal")).unwrap().len();
    server.limit_file_size(log_size);
    // The log begins anew when it is copied: what it has of before is filled first.
    let mut reply = json!({"success": true});
    for number in 0..200 {
        if reply["success"] == false {
            break;
        }
        reply = ann.request(json!({"action": "create_room", "room_name": format!("Harbour {number}")})).await;
    }
    assert_eq!(reply["success"], false);
    for internal in ["sqlite", "disk", "i/o", "chat.db", "commit"] {
        assert!(!reply.to_string().to_lowercase().contains(internal), "sec_85: {reply}");
    }
    assert_eq!(ann.close_code().await, 1001);
    assert_eq!(server.wait(), Some(74), "{}", server.log());
    assert!(server.log().contains("the database has stopped after a failed commit"), "{}", server.log());

    let server = server.into_ended().again().start();
    let mut ann = TestClient::connect(&server.socket_url()).await;
    ann.ok(login("ann")).await;
}
