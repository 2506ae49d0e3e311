//! The real binary and what it must keep to itself: nothing that people type in
//! confidence shows in its log, in its files in the clear, or on other people's sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;

use chat_testkit::client::TestClient;
use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use support::people::string;
use support::{Server, Store, on_every_store};

on_every_store! {
    sec_86_the_log_contains_no_token_password_address_or_content,
    sec_24_nobody_is_shown_the_tokens_or_the_address_of_others,
}

const PASSWORD: &str = "canary-password-1";
const NEW_PASSWORD: &str = "canary-password-2";
const WRONG_PASSWORD: &str = "canary-password-3";
const EMAIL: &str = "canary-email@example.org";
const CONTENT: &str = "canary-content";

/// What a conversation left behind.
struct Traces {
    server: Server,
    /// Every token that was given out.
    tokens: Vec<String>,
    /// Everything that somebody got who was told none of it.
    seen_by_bob: Vec<Value>,
}

fn credentials(action: &str, name: &str, password: &str) -> Value {
    let mut request = json!({"action": action, "username": name, "password": password});
    if action == "register" {
        request["email"] = json!(EMAIL);
    }
    request
}

fn tokens_of(granted: &Value) -> Vec<String> {
    vec![string(&granted["token"]), string(&granted["refresh_token"])]
}

/// Two people use most of what there is, with secrets that can be recognised.
async fn use_everything(server: Server) -> Traces {
    let mut bob = server.newcomer("bob").await;
    let mut ann = server.connect().await;
    ann.ok(credentials("register", "ann", PASSWORD)).await;
    ann.refused(credentials("register", "ann", PASSWORD)).await;
    ann.refused(credentials("login", "ann", WRONG_PASSWORD)).await;
    ann.refused(credentials("login", PASSWORD, "typed into the wrong field")).await;
    let granted = ann.ok(credentials("login", "ann", PASSWORD)).await;
    let ann_id = string(&granted["user_id"]);
    let mut tokens = tokens_of(&granted);

    let room = string(&ann.ok(json!({"action": "create_room", "room_name": "Harbour"})).await["room_id"]);
    bob.join(&room).await;
    talk(&mut ann, &tokens[0], &room, &bob.user_id).await;

    let change = json!({"action": "change_password", "old_password": PASSWORD, "new_password": NEW_PASSWORD});
    ann.ok(change.clone()).await;
    assert_eq!(ann.refused(change).await, "invalid_credentials");
    let granted = ann.ok(json!({"action": "refresh_token", "refresh_token": tokens[1]})).await;
    tokens.extend(tokens_of(&granted));
    ann.ok(json!({"action": "authenticate", "token": granted["token"]})).await;
    ann.ok(json!({"action": "get_room_messages", "room_id": room})).await;
    ann.ok(json!({"action": "sync", "cursors": {room: 0}})).await;
    ann.ok(json!({"action": "logout"})).await;
    ann.refused(json!({"action": "authenticate", "token": granted["token"]})).await;

    bob.expect_push("new_private_message").await;
    let mut seen_by_bob = bob.take_pushes();
    seen_by_bob.push(bob.ok(json!({"action": "get_users", "user_ids": [ann_id]})).await);
    seen_by_bob.push(bob.ok(json!({"action": "get_presence", "user_ids": [ann_id]})).await);
    Traces { server, tokens, seen_by_bob }
}

/// Sends contents, well and wrongly, with a token in each request.
async fn talk(ann: &mut TestClient, token: &str, room: &str, bob_id: &str) {
    let open = json!({"action": "open_private_chat", "user_id": bob_id, "token": token});
    let chat = ann.ok(open).await["chat_id"].clone();
    let room = json!(room);
    for (action, field, id) in
        [("send_room_message", "room_id", &room), ("send_private_message", "chat_id", &chat)]
    {
        let message = json!({"action": action, field: id, "content": CONTENT, "token": token});
        ann.ok(message.clone()).await;
        let mut wrong = message;
        wrong[field] = json!(CONTENT);
        assert_eq!(ann.refused(wrong).await, "not_found");
    }
    ann.refused(json!({"action": "get_users", "user_ids": CONTENT, "token": token})).await;
    ann.refused(json!({"action": CONTENT})).await;
    ann.send_text(format!("{{\"content\": \"{CONTENT}\", \"token\": \"{token}\"")).await;
    ann.next_reply().await;
}

/// The passwords, the address, and the tokens.
fn secrets(tokens: &[String]) -> Vec<&str> {
    let typed = [PASSWORD, NEW_PASSWORD, WRONG_PASSWORD, EMAIL];
    typed.into_iter().chain(tokens.iter().map(String::as_str)).collect()
}

async fn sec_86_the_log_contains_no_token_password_address_or_content(store: Store) {
    let server = store.server().set("log_level", "debug").start();
    let Traces { server, tokens, .. } = use_everything(server).await;
    let log = server.into_stopped_log();
    assert!(log.lines().count() > 10, "debug says something: {log}");
    for secret in secrets(&tokens).into_iter().chain([CONTENT, "canary"]) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn sec_24_the_files_contain_no_token_and_no_password() {
    let Traces { server, tokens, .. } = use_everything(Server::start()).await;
    let scan = |directory: &std::path::Path| {
        let mut found_content = false;
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let contains = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            for secret in secrets(&tokens).into_iter().filter(|secret| *secret != EMAIL) {
                assert!(!contains(secret), "{secret} is in {}", path.display());
            }
            found_content |= contains(CONTENT);
        }
        assert!(found_content, "the scan finds what is there");
    };
    scan(&server.data_dir());
    let directory = server.data_dir();
    server.terminate();
    let stopped = server.into_ended();
    assert_eq!(stopped.code, Some(0));
    scan(&stopped.directory().join(directory.file_name().unwrap()));
}

#[tokio::test]
async fn sec_24_the_database_in_mongodb_contains_no_token_and_no_password() {
    let Traces { server, tokens, .. } = use_everything(Store::Mongodb.start()).await;
    let fresh = server.database();
    let database = mongodb::Client::with_uri_str(fresh.uri()).await.unwrap().database(fresh.name());
    let mut everything = String::new();
    for name in database.list_collection_names().await.unwrap() {
        let mut rows = database.collection::<Document>(&name).find(doc! {}).await.unwrap();
        while let Some(row) = rows.try_next().await.unwrap() {
            everything += &row.to_string();
        }
    }
    for secret in secrets(&tokens).into_iter().filter(|secret| *secret != EMAIL) {
        assert!(!everything.contains(secret), "{secret} is in the database");
    }
    assert!(everything.contains(CONTENT) && everything.contains(EMAIL), "the scan finds what is there");
}

async fn sec_24_nobody_is_shown_the_tokens_or_the_address_of_others(store: Store) {
    let Traces { tokens, seen_by_bob, .. } = use_everything(store.start()).await;
    assert!(seen_by_bob.len() > 3, "{seen_by_bob:?}");
    for frame in seen_by_bob.iter().map(Value::to_string) {
        for secret in secrets(&tokens) {
            assert!(!frame.contains(secret), "{secret} is in {frame}");
        }
    }
}
