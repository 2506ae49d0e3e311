//! The engine behind the transport, as clients see it on a real socket.

#![allow(clippy::unwrap_used, reason = "a test may fail with a panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_core::Chat;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::memory::MemoryStore;
use chat_core::time::SystemClock;
use chat_testkit::client::{ABNORMAL, TestClient};
use chat_transport_ws::{Config, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Server {
    address: SocketAddr,
    chat: Chat,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let store = Arc::new(MemoryStore::new());
        let settings = AuthSettings { argon2_memory_kib: 8, argon2_passes: 1, ..AuthSettings::default() };
        let auth = PasswordAuth::new(store.clone(), Arc::new(SystemClock), settings).unwrap();
        let chat = Chat::builder().auth(Arc::new(auth)).rooms(store).build().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let shutdown = stop.clone().cancelled_owned();
        let served = TaskTracker::new().spawn(serve(listener, chat.clone(), Config::default(), shutdown));
        Self { address, chat, stop, served }
    }

    async fn connect(&self) -> TestClient {
        TestClient::connect(&format!("ws://{}/ws", self.address)).await
    }

    /// A signed-in client of a new user, and what its login was answered.
    async fn sign_up(&self, name: &str) -> (TestClient, Value) {
        let mut client = self.connect().await;
        let email = format!("{name}@mail.example");
        let account = json!({"action": "register", "username": name, "password": "correct horse battery", "email": email});
        client.ok(account).await;
        let login = json!({"action": "login", "username": name, "password": "correct horse battery"});
        let login = client.ok(login).await;
        (client, login)
    }
}

async fn send(client: &mut TestClient, room: &Value, content: &str) -> Value {
    client.ok(json!({"action": "send_room_message", "room_id": room, "content": content})).await
}

#[tokio::test]
async fn two_people_talk_in_a_room_and_every_device_gets_every_message_in_order() {
    let server = Server::start().await;
    let ((mut ann, _), (mut ben, login)) = (server.sign_up("ann").await, server.sign_up("ben").await);
    let room = ann.ok(json!({"action": "create_room", "room_name": "Garden"})).await["room_id"].clone();
    ben.ok(json!({"action": "join_room", "room_id": room})).await;
    let mut tablet = server.connect().await;
    tablet.ok(json!({"action": "authenticate", "token": login["token"]})).await;

    let mut sent = Vec::new();
    for number in 0..100 {
        let (sender, text) = if number % 2 == 0 { (&mut ann, "你好") } else { (&mut ben, "hello") };
        sent.push(send(sender, &room, &format!("{text} {number}")).await["message_id"].clone());
    }
    for client in [&mut ann, &mut ben, &mut tablet] {
        let mut last_seq = 0;
        for expected in &sent {
            let push = client.expect_push("new_room_message").await;
            assert_eq!(push["message_id"], *expected);
            let seq = push["seq"].as_u64().unwrap();
            assert!(seq > last_seq);
            last_seq = seq;
        }
    }
}

#[tokio::test]
async fn requests_that_are_sent_without_waiting_are_all_answered() {
    let server = Server::start().await;
    let (mut ann, _) = server.sign_up("ann").await;
    let room = ann.ok(json!({"action": "create_room", "room_name": "Garden"})).await["room_id"].clone();
    let mut requests = Vec::new();
    for number in 0..200 {
        let content = format!("{number} {}", "x".repeat(number * 20));
        let message = json!({"action": "send_room_message", "room_id": room, "content": content});
        requests.push(ann.submit(message).await);
    }
    let mut last_seq = 0;
    for request in requests {
        let seq = ann.reply(&request).await["seq"].as_u64().unwrap();
        assert!(seq > last_seq, "a connection's sends keep their order");
        last_seq = seq;
    }
}

#[tokio::test]
async fn a_client_that_talks_nonsense_is_told_so_and_in_the_end_closed() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send_text("nonsense").await;
    let reply = client.next_reply().await;
    assert_eq!((&reply["code"], &reply["request_id"]), (&json!("invalid_json"), &Value::Null));
    assert_eq!(client.refused(json!({"action": "dance"})).await, "unknown_action");
    for _ in 0..9 {
        client.send_text("nonsense").await;
    }
    assert_eq!(client.closed().await, (4400, "too many unreadable frames".to_owned()));
}

#[tokio::test]
async fn revoking_a_session_closes_its_sockets_with_4401_ended() {
    let server = Server::start().await;
    let (mut phone, login) = server.sign_up("ann").await;
    let mut laptop = server.connect().await;
    laptop.ok(json!({"action": "login", "username": "ann", "password": "correct horse battery"})).await;
    let sessions = laptop.ok(json!({"action": "list_sessions"})).await;
    let is_other = |session: &&Value| session["current"] == false;
    let phones = sessions["sessions"].as_array().unwrap().iter().find(is_other).unwrap();
    laptop.ok(json!({"action": "revoke_session", "session_id": phones["session_id"]})).await;
    assert_eq!(phone.closed().await, (4401, "ended".to_owned()));
    let mut again = server.connect().await;
    again.request(json!({"action": "authenticate", "token": login["token"]})).await;
    assert_eq!(again.refused(json!({"action": "list_rooms"})).await, "unauthenticated");
    laptop.ok(json!({"action": "list_rooms"})).await;
}

#[tokio::test]
async fn pages_of_other_hosts_cannot_connect() {
    let server = Server::start().await;
    let url = format!("ws://{}/", server.address);
    let own = format!("http://{}", server.address);
    assert!(TestClient::connect_with(&url, &[("Origin", &own)]).await.is_ok());
    assert_eq!(TestClient::connect_with(&url, &[("Origin", "https://evil.com")]).await.unwrap_err(), 403);
}

#[tokio::test]
async fn shutdown_of_the_listener_closes_its_connections_and_leaves_the_engine_alone() {
    let server = Server::start().await;
    let ((mut ann, _), mut guest) = (server.sign_up("ann").await, server.connect().await);
    server.stop.cancel();
    assert_eq!(ann.closed().await, (1001, "shutting down".to_owned()));
    assert_eq!(guest.close_code().await, 1001);
    server.served.await.unwrap();
    assert!(server.chat.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn shutdown_of_the_engine_answers_what_was_accepted_and_closes_with_1001() {
    let server = Server::start().await;
    let (mut ann, _) = server.sign_up("ann").await;
    let room = ann.ok(json!({"action": "create_room", "room_name": "Garden"})).await["room_id"].clone();
    let (mut acknowledged, mut submitted) = (0, 0);
    for _ in 0..50 {
        let message = json!({"action": "send_room_message", "room_id": room, "content": "before the end"});
        ann.submit(message).await;
        submitted += 1;
    }
    ann.next_reply().await;
    acknowledged += 1;
    assert!(server.chat.shutdown(Duration::from_secs(5)).await);
    let (code, _) = ann.closed().await;
    assert_ne!(code, ABNORMAL);
    assert_eq!(code, 1001);
    acknowledged += ann.take_replies().len();
    let delivered = ann.take_pushes().iter().filter(|push| push["action"] == "new_room_message").count();
    assert_eq!(acknowledged, delivered, "what is stored is acknowledged, of {submitted} that were sent");
}
