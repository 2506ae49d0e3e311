//! A chat on a real socket, and people who sign up there.

use std::net::SocketAddr;

use chat_core::Chat;
use chat_testkit::client::TestClient;
use chat_transport_ws::{Config, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A listener that ends with this value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _stop: DropGuard,
}

impl Server {
    pub(crate) async fn start(chat: Chat) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let shutdown = stop.clone().cancelled_owned();
        TaskTracker::new().spawn(serve(listener, chat, Config::default(), shutdown));
        Self { address, _stop: stop.drop_guard() }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    pub(crate) async fn connect(&self) -> TestClient {
        TestClient::connect(&self.url()).await
    }

    pub(crate) async fn sign_up(&self, name: &str) -> TestClient {
        let mut client = self.connect().await;
        sign_up(&mut client, name).await;
        client
    }
}

/// Registers and signs in.
pub(crate) async fn sign_up(client: &mut TestClient, name: &str) {
    let (password, email) = ("correct horse battery", format!("{name}@mail.example"));
    client.ok(json!({"action": "register", "username": name, "password": password, "email": email})).await;
    client.ok(json!({"action": "login", "username": name, "password": password})).await;
}

/// A new room of this client.
pub(crate) async fn room(client: &mut TestClient) -> Value {
    client.ok(json!({"action": "create_room", "room_name": "Garden"})).await["room_id"].clone()
}

/// A text to a room.
pub(crate) fn text(room: &Value, content: &str) -> Value {
    json!({"action": "send_room_message", "room_id": room, "content": content})
}
