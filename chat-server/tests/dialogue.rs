//! The real binary and the dialogue that existing clients have with it: names, texts and
//! fields, word for word, with a token in each request and without, in Chinese and English.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use chat_testkit::client::TestClient;
use serde_json::{Value, json};
use support::people::{registration, string, text};
use support::{Store, on_every_store};

on_every_store! {
    the_dialogue_works_word_for_word_bound_or_with_a_token_each_time,
    the_texts_of_errors_are_those_that_clients_know,
    request_ids_come_back_as_they_were_written,
    chinese_names_and_messages_arrive_unchanged_and_rooms_are_found_by_a_part_of_their_name,
}

/// How a client shows who it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    /// The connection is signed in.
    Bound,
    /// Every request carries the token, on a connection that has not signed in.
    TokenEachTime,
}

/// Someone in the dialogue.
struct Person {
    socket: TestClient,
    token: Option<String>,
    user_id: String,
}

impl Person {
    async fn new(url: &str, name: &str, style: Style) -> Self {
        let mut socket = TestClient::connect(url).await;
        let account = json!({"action": "register", "username": name, "password": "secret-horse-9", "email": "a@example.org"});
        let registered = socket.ok(account.clone()).await;
        assert_eq!(fields(&registered), ["success", "request_id", "user_id"]);
        assert_refused(&mut socket, account, "already_exists", "Username already exists").await;
        let mut login = json!({"action": "login", "username": name, "password": "wrong"});
        assert_refused(&mut socket, login.clone(), "invalid_credentials", "Invalid username or password")
            .await;
        login["password"] = json!("secret-horse-9");
        let granted = socket.ok(login).await;
        let expected =
            ["success", "request_id", "token", "refresh_token", "expires_in", "user_id", "username"];
        assert_eq!(fields(&granted), expected);
        assert_eq!((&granted["user_id"], &granted["username"]), (&registered["user_id"], &json!(name)));
        assert_eq!(granted["expires_in"], 3600);
        let token = match style {
            Style::Bound => None,
            Style::TokenEachTime => {
                socket = TestClient::connect(url).await;
                Some(string(&granted["token"]))
            }
        };
        Self { socket, token, user_id: string(&granted["user_id"]) }
    }

    async fn ask(&mut self, mut request: Value) -> Value {
        if let Some(token) = &self.token {
            request["token"] = json!(token);
        }
        self.socket.ok(request).await
    }
}

fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    // JSON objects are sorted here; the order of the documentation reads better.
    let order = [
        "success",
        "request_id",
        "token",
        "refresh_token",
        "expires_in",
        "action",
        "room_id",
        "chat_id",
        "seq",
        "message_id",
        "user_id",
        "username",
        "sender_id",
        "receiver_id",
        "content",
        "type",
        "timestamp",
        "messages",
        "has_more",
    ];
    names.sort_by_key(|name| order.iter().position(|known| known == name));
    names
}

async fn assert_refused(socket: &mut TestClient, request: Value, code: &str, message: &str) {
    let reply = socket.request(request).await;
    assert_eq!(
        (&reply["success"], &reply["code"], &reply["message"]),
        (&json!(false), &json!(code), &json!(message))
    );
}

async fn whole_dialogue(url: &str, names: [&str; 2], style: Style) {
    let mut ann = Person::new(url, names[0], style).await;
    let mut bob = Person::new(url, names[1], style).await;

    let created = ann.ask(json!({"action": "create_room", "room_name": "Harbour"})).await;
    assert_eq!(fields(&created), ["success", "request_id", "room_id"]);
    let room = string(&created["room_id"]);
    bob.ask(json!({"action": "join_room", "room_id": room})).await;

    let sent = ann.ask(text(&room, "Hello, 世界!")).await;
    assert_eq!(fields(&sent), ["success", "request_id", "seq", "message_id", "timestamp"]);
    for person in [&mut ann, &mut bob] {
        let push = person.socket.expect_push("new_room_message").await;
        let expected =
            ["action", "room_id", "seq", "message_id", "sender_id", "content", "type", "timestamp"];
        assert_eq!(fields(&push), expected);
        assert_eq!(push["content"], "Hello, 世界!");
        assert_eq!((&push["room_id"], &push["message_id"]), (&created["room_id"], &sent["message_id"]));
    }
    let history = json!({"action": "get_room_messages", "room_id": room, "limit": 50, "offset": 0});
    let history = bob.ask(history).await;
    assert_eq!(fields(&history), ["success", "request_id", "messages", "has_more"]);
    let expected = json!([{
        "seq": sent["seq"], "message_id": sent["message_id"], "timestamp": sent["timestamp"],
        "sender_id": ann.user_id, "content": "Hello, 世界!", "type": "text",
    }]);
    assert_eq!((&history["messages"], &history["has_more"]), (&expected, &json!(false)));

    private_part(&mut ann, &mut bob).await;
    leave(&mut ann, &room).await;
}

async fn private_part(ann: &mut Person, bob: &mut Person) {
    let (ann_id, bob_id) = (ann.user_id.clone(), bob.user_id.clone());
    let chat = ann.ask(json!({"action": "open_private_chat", "user_id": bob_id})).await["chat_id"].clone();
    let again = bob.ask(json!({"action": "open_private_chat", "user_id": ann_id})).await;
    assert_eq!(again["chat_id"], chat, "one chat of two people, whoever opens it");

    let message =
        json!({"action": "send_private_message", "chat_id": chat, "receiver_id": ann_id, "content": "Hi"});
    let sent = bob.ask(message).await;
    for person in [&mut *ann, &mut *bob] {
        let push = person.socket.expect_push("new_private_message").await;
        let expected = json!({
            "action": "new_private_message", "chat_id": chat, "seq": sent["seq"],
            "message_id": sent["message_id"], "sender_id": bob_id, "receiver_id": ann_id,
            "content": "Hi", "type": "text", "timestamp": sent["timestamp"],
        });
        assert_eq!(push, expected);
    }
    for person in [ann, bob] {
        let history = person.ask(json!({"action": "get_private_messages", "chat_id": chat})).await;
        let expected = json!([{
            "seq": sent["seq"], "message_id": sent["message_id"], "timestamp": sent["timestamp"],
            "sender_id": bob_id, "receiver_id": ann_id, "content": "Hi", "type": "text",
        }]);
        assert_eq!(history["messages"], expected);
    }
}

/// Logs out; afterwards the connection is open and nobody's, and the token is good for nothing.
async fn leave(ann: &mut Person, room: &str) {
    let reply = ann.ask(json!({"action": "logout"})).await;
    assert_eq!(fields(&reply), ["success", "request_id"]);
    assert_refused(&mut ann.socket, text(room, "x"), "unauthenticated", "Authentication required").await;
    if let Some(token) = &ann.token {
        let mut late = text(room, "x");
        late["token"] = json!(token);
        let refused = ann.socket.request(late).await;
        assert_eq!((&refused["code"], &refused["reason"]), (&json!("unauthenticated"), &json!("ended")));
    }
}

async fn the_dialogue_works_word_for_word_bound_or_with_a_token_each_time(store: Store) {
    let server = store.start();
    let (named, root) = (format!("ws://{}/ws", server.address), format!("ws://{}/", server.address));
    whole_dialogue(&named, ["ann", "bob"], Style::Bound).await;
    whole_dialogue(&named, ["cid", "dora"], Style::TokenEachTime).await;
    whole_dialogue(&root, ["张三", "李四"], Style::TokenEachTime).await;
    whole_dialogue(&root, ["emil", "fatma"], Style::Bound).await;
}

async fn the_texts_of_errors_are_those_that_clients_know(store: Store) {
    let server = store.start();
    let mut socket = server.connect().await;
    socket.send_text("{\"action\": ").await;
    let reply = socket.next_reply().await;
    let expected =
        json!({"success": false, "request_id": null, "code": "invalid_json", "message": "Invalid JSON"});
    assert_eq!(reply, expected);

    let create = json!({"action": "create_room", "room_name": "Harbour"});
    assert_refused(&mut socket, create.clone(), "unauthenticated", "Authentication required").await;
    let mut forged = create;
    forged["token"] = json!("no such token");
    assert_refused(&mut socket, forged, "unauthenticated", "Invalid token").await;
    let unknown = json!({"action": "login", "username": "nobody", "password": "whatever it is"});
    assert_refused(&mut socket, unknown, "invalid_credentials", "Invalid username or password").await;
    assert_refused(&mut socket, json!({"action": "dance"}), "unknown_action", "Unknown action").await;
}

async fn request_ids_come_back_as_they_were_written(store: Store) {
    let server = store.start();
    let mut socket = server.connect().await;
    for request_id in [json!(7), json!("七"), json!(-1.5), json!("")] {
        let reply = socket.request(json!({"action": "ping", "request_id": request_id})).await;
        assert_eq!(reply["request_id"], request_id);
        let reply = socket.request(json!({"action": "dance", "request_id": request_id})).await;
        assert_eq!(reply["request_id"], request_id);
    }
}

async fn chinese_names_and_messages_arrive_unchanged_and_rooms_are_found_by_a_part_of_their_name(
    store: Store,
) {
    let server = store.start();
    let mut zhang = server.newcomer("张三").await;
    let mut li = server.newcomer("李四").await;
    assert_eq!(li.refused(registration("张三")).await, "already_exists");

    let room = zhang.create_room("北京读书会").await;
    zhang.create_room("上海足球").await;
    for query in ["读书", "京读", "会"] {
        let found = li.ok(json!({"action": "list_rooms", "scope": "public", "query": query})).await;
        let names: Vec<&Value> =
            found["rooms"].as_array().unwrap().iter().map(|room| &room["room_name"]).collect();
        assert_eq!(names, ["北京读书会"], "{query}");
    }
    li.join(&room).await;
    let content = "你好，世界 👋🏽\n第二行\t„ü“ 한국어";
    zhang.ok(text(&room, content)).await;
    assert_eq!(li.expect_push("new_room_message").await["content"], content);
    assert_eq!(li.history(&room).await[0]["content"], content);

    let chat = li.ok(json!({"action": "open_private_chat", "username": "张三"})).await;
    assert_eq!(chat["user_id"], zhang.user_id);
    let shown = li.ok(json!({"action": "get_users", "user_ids": [zhang.user_id]})).await;
    assert_eq!(
        (&shown["users"][0]["username"], &shown["users"][0]["display_name"]),
        (&json!("张三"), &json!("张三"))
    );
}
