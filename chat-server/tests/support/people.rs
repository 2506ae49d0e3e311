//! People who use a server: accounts, their devices, and the requests that most tests make.

use std::ops::{Deref, DerefMut};

use chat_testkit::client::TestClient;
use serde_json::{Value, json};

use super::Server;

/// Everybody's password.
pub const PASSWORD: &str = "correct horse";

/// A connection on which somebody is signed in.
#[derive(Debug)]
pub struct Device {
    pub socket: TestClient,
    pub user_id: String,
    pub token: String,
    pub refresh_token: String,
}

impl Server {
    /// A connection on which nobody is signed in.
    pub async fn connect(&self) -> TestClient {
        TestClient::connect(&self.socket_url()).await
    }

    /// A new account and its first device.
    pub async fn newcomer(&self, username: &str) -> Device {
        let mut socket = self.connect().await;
        socket.ok(registration(username)).await;
        sign_in(socket, username).await
    }

    /// Another device of an account, in a session of its own.
    pub async fn device(&self, username: &str) -> Device {
        sign_in(self.connect().await, username).await
    }

    /// The same session on a new connection.
    pub async fn resume(&self, device: &Device) -> Device {
        let mut socket = self.connect().await;
        socket.ok(json!({"action": "authenticate", "token": device.token})).await;
        Device {
            socket,
            user_id: device.user_id.clone(),
            token: device.token.clone(),
            refresh_token: device.refresh_token.clone(),
        }
    }

    /// A public room of the first of these devices that all of their users have joined.
    pub async fn room_of(&self, devices: &mut [&mut Device]) -> String {
        let room = devices[0].create_room("Harbour").await;
        for device in &mut devices[1..] {
            device.join(&room).await;
        }
        room
    }
}

async fn sign_in(mut socket: TestClient, username: &str) -> Device {
    let granted = socket.ok(login(username)).await;
    Device {
        socket,
        user_id: string(&granted["user_id"]),
        token: string(&granted["token"]),
        refresh_token: string(&granted["refresh_token"]),
    }
}

impl Device {
    /// A new public room; answers its id.
    pub async fn create_room(&mut self, name: &str) -> String {
        string(&self.ok(json!({"action": "create_room", "room_name": name})).await["room_id"])
    }

    /// Joins a room.
    pub async fn join(&mut self, room: &str) {
        self.ok(json!({"action": "join_room", "room_id": room})).await;
    }

    /// The private chat with `user_id`; answers its id.
    pub async fn chat_with(&mut self, user_id: &str) -> String {
        string(&self.ok(json!({"action": "open_private_chat", "user_id": user_id})).await["chat_id"])
    }

    /// Sends the requests without waiting for each reply, 16 at a time; all must succeed.
    pub async fn pipeline(&mut self, requests: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut requests = requests.into_iter();
        let mut waiting = std::collections::VecDeque::new();
        let mut replies = Vec::new();
        loop {
            while waiting.len() < 16
                && let Some(request) = requests.next()
            {
                waiting.push_back(self.submit(request).await);
            }
            let Some(request_id) = waiting.pop_front() else { return replies };
            let reply = self.reply(&request_id).await;
            assert_eq!(reply["success"], true, "{reply}");
            replies.push(reply);
        }
    }

    /// All messages of a room, oldest first, by paging forwards.
    pub async fn history(&mut self, room: &str) -> Vec<Value> {
        self.history_after(room, 0).await
    }

    /// All messages of a room above `seq`, oldest first, by paging forwards.
    pub async fn history_after(&mut self, room: &str, seq: u64) -> Vec<Value> {
        let mut messages: Vec<Value> = Vec::new();
        loop {
            let after = messages.last().map_or(seq, |message| message["seq"].as_u64().unwrap());
            let request =
                json!({"action": "get_room_messages", "room_id": room, "after_seq": after, "limit": 100});
            let mut page = self.ok(request).await;
            messages.append(page["messages"].as_array_mut().unwrap());
            if page["has_more"] == false {
                return messages;
            }
        }
    }

    /// All messages of a room, oldest first, by paging backwards from the newest.
    pub async fn history_backwards(&mut self, room: &str) -> Vec<Value> {
        let mut request = json!({"action": "get_room_messages", "room_id": room, "limit": 100});
        let mut messages: Vec<Value> = Vec::new();
        loop {
            let mut page = self.ok(request.clone()).await;
            let has_more = page["has_more"] == true;
            let older = page["messages"].as_array_mut().unwrap();
            older.append(&mut messages);
            messages = std::mem::take(older);
            if !has_more {
                return messages;
            }
            request["before_seq"] = messages[0]["seq"].clone();
        }
    }
}

impl Deref for Device {
    type Target = TestClient;

    fn deref(&self) -> &TestClient {
        &self.socket
    }
}

impl DerefMut for Device {
    fn deref_mut(&mut self) -> &mut TestClient {
        &mut self.socket
    }
}

/// A request for an account.
pub fn registration(username: &str) -> Value {
    json!({"action": "register", "username": username, "password": PASSWORD, "email": "a@example.org"})
}

/// A request to sign in.
pub fn login(username: &str) -> Value {
    json!({"action": "login", "username": username, "password": PASSWORD})
}

/// A text to a room.
pub fn text(room: &str, content: &str) -> Value {
    json!({"action": "send_room_message", "room_id": room, "content": content})
}

/// A text to a room under a key of the sender.
pub fn keyed(room: &str, client_id: &str, content: &str) -> Value {
    json!({"action": "send_room_message", "room_id": room, "content": content, "client_id": client_id})
}

/// The string in a JSON value.
pub fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
