//! What must not be said: no token, password, address or content in a log, and no token in any frame but the
//! reply that gives it out. A target of its own, as it listens to everything that the process logs.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]
#![cfg(all(feature = "password", feature = "memory"))]

#[allow(dead_code, reason = "shared with the target `engine`")]
#[path = "engine/support.rs"]
mod support;

use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::chat::{MessageHook, PendingMessage};
use chat_core::limits::{Limits, Rate};
use chat_core::memory::MemoryStore;
use chat_core::protocol::{ActionError, Code};
use chat_core::time::SystemClock;
use chat_testkit::double::{Fault, FaultyRoomStore};
use serde_json::{Value, json};
use support::{Client, World};
use tracing_subscriber::fmt::MakeWriter;

/// Everything that was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_the_process() -> Self {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Refuses, takes too long and panics, all of which is logged.
#[derive(Debug)]
struct Moody;

#[async_trait]
impl MessageHook for Moody {
    async fn check(&self, message: &PendingMessage) -> Result<(), ActionError> {
        match message.content.as_str() {
            "canary-content refused" => Err(ActionError::new(Code::Forbidden, "Not here")),
            "canary-content slow" => std::future::pending().await,
            "canary-content panic" => panic!("a hook that fails"),
            _ => Ok(()),
        }
    }
}

/// What only its owner may know.
#[derive(Default)]
struct Secrets {
    tokens: Vec<String>,
    /// What came on connections, without the replies that give tokens out.
    frames: Vec<String>,
}

impl Secrets {
    /// Remembers the tokens of a reply, and forgets that this frame has them.
    async fn grant(&mut self, client: &mut Client, request: Value) -> [String; 2] {
        client.send(&request).await;
        let text = client.reply_text().await;
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(reply["success"], true, "{text}");
        client.frames.retain(|frame| *frame != text);
        let tokens = ["token", "refresh_token"].map(|name| reply[name].as_str().unwrap().to_owned());
        self.tokens.extend(tokens.clone());
        tokens
    }

    fn check(&self, log: &str, stored: &str) {
        assert!(log.lines().count() > 5, "the log was not heard:\n{log}");
        let spoken: Vec<&str> = log.lines().filter(|line| line.contains("canary-")).collect();
        assert!(spoken.is_empty(), "{spoken:#?}");
        for token in &self.tokens {
            assert!(!log.contains(token), "a token is logged");
            assert!(!stored.contains(token), "a token is stored");
            assert!(self.frames.iter().all(|frame| !frame.contains(token)), "a token is sent to somebody");
        }
        for secret in ["canary-password", "canary-ann@", "canary-bob@"] {
            assert!(!stored.contains(secret), "{secret} is shown by the store");
            assert!(self.frames.iter().all(|frame| !frame.contains(secret)), "{secret} is sent");
        }
    }

    fn collect(&mut self, client: &mut Client) {
        self.frames.append(&mut client.frames);
    }
}

fn login(name: &str) -> Value {
    json!({"action": "login", "username": name, "password": "canary-password one", "device": "laptop"})
}

async fn registered(world: &World, name: &str) -> Client {
    let mut client = world.stranger();
    let register = json!({
        "action": "register", "username": name, "password": "canary-password one",
        "email": format!("canary-{name}@example.org"),
    });
    client.ok(register).await;
    client
}

/// Everything that a client can do wrong, with secrets in it.
async fn misbehave(client: &mut Client, token: &str, room: &str) {
    let wrong = [
        json!({"action": "login", "username": "ann", "password": "canary-password wrong"}),
        json!({"action": "login", "username": "canary-nobody", "password": "canary-password wrong"}),
        json!({"action": "register", "username": "ann", "password": "canary-password two", "email": "canary-ann@example.org"}),
        json!({"action": "change_password", "old_password": "canary-password wrong", "new_password": "canary-password x"}),
        json!({"action": "refresh_token", "refresh_token": token}),
        json!({"action": "list_rooms", "token": format!("{token}x")}),
        json!({"action": "authenticate", "token": "canary-token"}),
        json!({"action": token, "request_id": 1}),
        json!({"action": "send_room_message", "room_id": room, "content": "canary-content", "password": token}),
        json!({"action": "send_room_message", "room_id": token, "content": "canary-content"}),
        json!({"action": "send_room_message", "room_id": room, "content": "canary-content refused"}),
        json!({"action": "send_room_message", "room_id": room, "content": "canary-content slow"}),
        json!({"action": "send_room_message", "room_id": room, "content": "canary-content panic"}),
    ];
    for request in wrong {
        assert_eq!(client.request(request.clone()).await["success"], false, "{request}");
    }
    for text in [r#"{"canary-content"#, "canary-content", r#"["canary-password"]"#] {
        client.inbound.room().await;
        client.inbound.accept(text);
        client.reply_text().await;
    }
}

#[tokio::test]
async fn sec_86_no_secret_is_logged_and_sec_24_tokens_go_to_their_owner_only() {
    let log = Log::of_the_process();
    let memory = Arc::new(MemoryStore::new());
    let settings = AuthSettings { argon2_memory_kib: 8, argon2_passes: 1, ..AuthSettings::default() };
    let auth = Arc::new(PasswordAuth::new(memory.clone(), Arc::new(SystemClock), settings).unwrap());
    let store = Arc::new(FaultyRoomStore::new(memory.clone()));
    let faults = store.faults();
    let limits = Limits {
        send_rate: Rate { per_second: 1, burst: 30 },
        flood_refusals: 10,
        hook_deadline: std::time::Duration::from_millis(50),
        ..Limits::default()
    };
    let world = World::with(store, |builder| builder.auth(auth).limits(limits).hook(Arc::new(Moody))).await;
    let mut secrets = Secrets::default();

    let mut ann = registered(&world, "ann").await;
    let mut bob = registered(&world, "bob").await;
    let [token, refresh_token] = secrets.grant(&mut ann, login("ann")).await;
    secrets.grant(&mut bob, login("bob")).await;
    let created = json!({"action": "create_room", "token": token, "room_name": "lounge"});
    let room = ann.ok(created).await["room_id"].as_str().unwrap().to_owned();
    bob.ok(json!({"action": "join_room", "room_id": room})).await;
    let send = json!({
        "action": "send_room_message", "token": token, "room_id": room, "content": "canary-content", "client_id": "k",
    });
    ann.ok(send.clone()).await;
    assert_eq!(bob.push("new_room_message").await["content"], "canary-content");
    let chat = ann.ok(json!({"action": "open_private_chat", "token": token, "username": "bob"})).await;
    let psst = json!({"action": "send_private_message", "chat_id": chat["chat_id"], "content": "canary-content psst"});
    ann.ok(psst).await;
    bob.push("new_private_message").await;

    for fault in [Fault::Unavailable, Fault::AnswerLost, Fault::Corrupt, Fault::PanicBefore] {
        faults.next("append", [fault]);
        let mut lost = send.clone();
        lost["client_id"] = json!(secrets.tokens.len());
        assert_eq!(ann.request(lost).await["success"], false);
    }
    misbehave(&mut ann, &token, &room).await;
    let refresh = json!({"action": "refresh_token", "refresh_token": refresh_token});
    let [token, _] = secrets.grant(&mut ann, refresh).await;
    ann.ok(json!({"action": "authenticate", "token": token})).await;
    ann.ok(json!({"action": "list_sessions"})).await;
    let change = json!({
        "action": "change_password", "old_password": "canary-password one", "new_password": "canary-password two",
    });
    ann.ok(change).await;
    assert_eq!(
        bob.refused(json!({"action": "update_room", "room_id": room, "topic": "x"})).await,
        "forbidden"
    );
    for _ in 0..60 {
        bob.send(&json!({"action": "send_room_message", "room_id": room, "content": "canary-content flood"}))
            .await;
        tokio::task::yield_now().await;
        if !bob.inbound.has_room() {
            break;
        }
    }
    bob.end().await;
    ann.ok(json!({"action": "logout", "token": token})).await;

    for client in [&mut ann, &mut bob] {
        secrets.collect(client);
    }
    assert_eq!(secrets.tokens.len(), 6);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    secrets.check(&log, &format!("{memory:?}"));
    for event in ["denied", "rate_limited", "flooding"] {
        assert!(log.contains(&format!("event=\"{event}\"")), "{event} is a security event");
    }
}
