//! The real binary: moving everything from one store to another through an archive.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::archives::{Place, export, import, import_all, on, populated, seen_by_all, stop};
use support::people::{login, text};

/// Entries of the largest room: more than a page of export and many appends.
const MANY: usize = 1_300;

#[tokio::test]
async fn a_copy_through_an_archive_is_the_same_for_everybody() {
    let place = Place::new();
    let (source, copy) = (place.path("source"), place.path("copy"));
    populated(&source, MANY).await;
    let server = on(&source).start();
    let before = seen_by_all(&server).await;
    let epoch = server.connect().await.greeting()["epoch"].clone();
    stop(server);
    let done = export(&source, &place.path("a.jsonl"));
    assert!(done.output.contains("accounts 5, conversations 5, entries 13"), "{}", done.output);
    import_all(&copy, &place.path("a.jsonl"));
    export(&copy, &place.path("b.jsonl"));
    assert!(place.text("a.jsonl") == place.text("b.jsonl"), "byte for byte");

    let server = on(&copy).start();
    let after = seen_by_all(&server).await;
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert_ne!(server.connect().await.greeting()["epoch"], epoch, "the copy has a history of its own");
    let mut cid = server.connect().await;
    assert_eq!(cid.refused(login("cid")).await, "invalid_credentials", "who was disabled is disabled");
    stop(server);
    let enabled = on(&copy).arg("user").arg("enable").arg("cid").run();
    assert_eq!(enabled.code, Some(0), "{}", enabled.log);
}

#[tokio::test]
async fn a_copy_goes_on_where_the_original_stood() {
    let place = Place::new();
    populated(&place.path("source"), 10).await;
    export(&place.path("source"), &place.path("a.jsonl"));
    import_all(&place.path("copy"), &place.path("a.jsonl"));

    let server = on(&place.path("copy")).start();
    let mut ann = server.device("ann").await;
    let mut cid = server.connect().await;
    assert_eq!(cid.refused(login("cid")).await, "invalid_credentials");
    let rooms = ann.ok(json!({"action": "list_rooms"})).await;
    let harbour =
        rooms["rooms"].as_array().unwrap().iter().find(|room| room["room_name"] == "Harbour").unwrap();
    let (id, head) = (harbour["room_id"].as_str().unwrap(), harbour["head_seq"].as_u64().unwrap());
    let sent = ann.ok(text(id, "after the move")).await;
    assert_eq!(sent["seq"], head + 1);
    // A message that was sent before the move is recognised when its sender, not sure of it, sends it again.
    let mut bob = server.device("bob").await;
    let history = bob.history(id).await;
    let old = history.iter().find(|message| message["content"] == "message 3").unwrap();
    let again = bob.ok(support::people::keyed(id, "n-3", "message 3")).await;
    assert_eq!((&again["seq"], &again["message_id"]), (&old["seq"], &old["message_id"]));
}

#[tokio::test]
async fn the_sessions_of_the_original_are_over() {
    let place = Place::new();
    let server = on(&place.path("source")).start();
    let ann = server.newcomer("ann").await;
    let tokens = [ann.token.clone(), ann.refresh_token.clone()];
    stop(server);
    export(&place.path("source"), &place.path("a.jsonl"));
    import_all(&place.path("copy"), &place.path("a.jsonl"));
    let server = on(&place.path("copy")).start();
    let mut socket = server.connect().await;
    socket.refused(json!({"action": "authenticate", "token": tokens[0]})).await;
    socket.refused(json!({"action": "refresh_token", "refresh_token": tokens[1]})).await;
    server.device("ann").await;
}

#[tokio::test]
async fn an_archive_of_a_running_server_is_whole() {
    let place = Place::new();
    let source = place.path("source");
    let server = on(&source).start();
    let mut ann = server.newcomer("ann").await;
    let mut bob = server.newcomer("bob").await;
    let room = server.room_of(&mut [&mut ann, &mut bob]).await;
    for round in 0..4 {
        let coming = async {
            let numbers = 0..400;
            ann.pipeline(numbers.map(|number| text(&room, &format!("{round} {number}")))).await;
            for _ in 0..20 {
                bob.ok(json!({"action": "leave_room", "room_id": room})).await;
                bob.join(&room).await;
                bob.ok(json!({"action": "mark_read", "room_id": room, "seq": u64::MAX >> 12})).await;
            }
        };
        let (file, data) = (place.path(&format!("{round}.jsonl")), source.clone());
        let exporting = tokio::task::spawn_blocking(move || export(&data, &file));
        let (_, exported) = tokio::join!(coming, exporting);
        exported.unwrap();
        import_all(&place.path(&format!("copy-{round}")), &place.path(&format!("{round}.jsonl")));
    }
}

#[tokio::test]
async fn an_import_that_was_killed_is_continued() {
    let place = Place::new();
    populated(&place.path("source"), MANY).await;
    let (file, copy) = (place.path("a.jsonl"), place.path("copy"));
    export(&place.path("source"), &file);
    let archive = file.to_str().unwrap();
    let mut killed = 0;
    // The system kills a process that makes a file longer than it may: in the midst of a write, at another place
    // of the import each time.
    for blocks in (120..).step_by(60) {
        let limit = format!("ulimit -c 0; ulimit -f {blocks}");
        let ended = on(&copy).arg("import").arg(archive).after(&limit).run();
        if ended.code == Some(0) {
            break;
        }
        assert_eq!(ended.code, None, "{}", ended.log);
        killed += 1;
    }
    assert!(killed > 3, "it was killed {killed} times");
    export(&copy, &place.path("b.jsonl"));
    assert!(place.text("a.jsonl") == place.text("b.jsonl"));
    let again = import(&copy, &file);
    assert_eq!(again.code, Some(0), "once more changes nothing: {}", again.log);
    assert!(again.log.contains("going on"), "{}", again.log);
}

#[tokio::test]
async fn an_import_into_other_data_is_refused() {
    let place = Place::new();
    populated(&place.path("source"), 10).await;
    export(&place.path("source"), &place.path("a.jsonl"));
    let archive = place.path("a.jsonl");

    let other = place.path("other");
    let server = on(&other).start();
    let mut eve = server.newcomer("eve").await;
    eve.create_room("Elsewhere").await;
    stop(server);
    export(&other, &place.path("before.jsonl"));
    let refused = import(&other, &archive);
    assert_eq!(refused.code, Some(73), "{}", refused.log);
    assert!(refused.log.contains("the store has other data: its account"), "{}", refused.log);
    export(&other, &place.path("after.jsonl"));
    assert_eq!(place.text("before.jsonl"), place.text("after.jsonl"), "nothing was written");

    // A copy that was used meanwhile is no interrupted import any more.
    let copy = place.path("copy");
    import_all(&copy, &archive);
    let server = on(&copy).start();
    let mut ann = server.device("ann").await;
    ann.create_room("New").await;
    stop(server);
    let refused = import(&copy, &archive);
    assert_eq!(refused.code, Some(73), "{}", refused.log);
    assert!(refused.log.contains("the store has other data"), "{}", refused.log);
}

#[tokio::test]
async fn an_import_beside_a_server_is_refused() {
    let place = Place::new();
    populated(&place.path("source"), 1).await;
    export(&place.path("source"), &place.path("a.jsonl"));
    let server = on(&place.path("copy")).start();
    let refused = import(&place.path("copy"), &place.path("a.jsonl"));
    assert_eq!(refused.code, Some(75), "{}", refused.log);
    assert!(refused.log.contains(&format!("in use by process {}", server.process_id())), "{}", refused.log);
}

#[tokio::test]
async fn archives_pass_through_pipes() {
    let place = Place::new();
    populated(&place.path("source"), 10).await;
    export(&place.path("source"), &place.path("a.jsonl"));
    let piped = on(&place.path("source")).arg("export").arg("-").run();
    assert_eq!(piped.code, Some(0), "{}", piped.log);
    assert!(piped.output + "\n" == place.text("a.jsonl"), "nothing else is on standard output");
    assert!(piped.log.contains("accounts 5"), "the figures are in the log: {}", piped.log);

    let take = format!("exec < '{}'", place.path("a.jsonl").display());
    let done = on(&place.path("copy")).arg("import").arg("-").after(&take).run();
    assert_eq!(done.code, Some(0), "{}", done.log);
    export(&place.path("copy"), &place.path("b.jsonl"));
    assert!(place.text("a.jsonl") == place.text("b.jsonl"));
}

#[tokio::test]
async fn sec_88_an_archive_belongs_to_its_owner_and_replaces_no_file() {
    let place = Place::new();
    populated(&place.path("source"), 1).await;
    let file = place.path("a.jsonl");
    let done = on(&place.path("source")).arg("export").arg(file.to_str().unwrap()).after("umask 0").run();
    assert_eq!(done.code, Some(0), "{}", done.log);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, "precious").unwrap();
    for target in [&file, &place.path("link")] {
        if !target.exists() {
            std::os::unix::fs::symlink(&file, target).unwrap();
        }
        let refused = on(&place.path("source")).arg("export").arg(target.to_str().unwrap()).run();
        assert_eq!(refused.code, Some(73), "{}", refused.log);
        assert!(refused.log.contains("exists already"), "{}", refused.log);
    }
    assert_eq!(place.text("a.jsonl"), "precious");
}

#[tokio::test]
async fn sec_88_an_archive_holds_no_token_and_no_hash_of_one() {
    let place = Place::new();
    let source = place.path("source");
    populated(&source, 3).await;
    let server = on(&source).start();
    let ann = server.device("ann").await;
    let tokens = [&ann.token, &ann.refresh_token].map(String::clone);
    stop(server);
    export(&source, &place.path("a.jsonl"));
    let archive = place.text("a.jsonl").to_lowercase();
    let stored = fs::read(source.join("chat.db")).unwrap();
    for token in tokens {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let is_stored = stored.windows(hash.len()).any(|window| window == hash);
        assert!(is_stored, "this is how the store knows the token");
        let hex = data_encoding::HEXLOWER.encode(&hash);
        let base64 = data_encoding::BASE64_NOPAD.encode(&hash).to_lowercase();
        for secret in [token.to_lowercase(), hex, base64] {
            assert!(!archive.contains(&secret), "{secret}");
        }
    }
    let lines: Vec<Value> = archive.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let accounts = lines.iter().filter_map(|line| line["account"].as_object());
    let fields: BTreeSet<&str> = accounts.flat_map(|account| account.keys().map(String::as_str)).collect();
    let expected = [
        "created_at_ms",
        "disabled",
        "display_name",
        "email",
        "last_login_ms",
        "last_seen_ms",
        "password_hash",
        "user_id",
        "username",
        "username_folded",
        "username_skeleton",
    ];
    assert_eq!(fields, BTreeSet::from(expected), "a new field is a decision");
    let kinds: BTreeSet<&str> =
        lines[1..].iter().map(|line| line.as_object().unwrap().keys().next().unwrap().as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["account", "conversation", "end", "entry", "read"]));
}
