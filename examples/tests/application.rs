//! The chat inside an application: `embed_axum` and `custom_auth`.

use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::DisplayName;
use chat_testkit::client::TestClient;
use chat_testkit::double::ManualClock;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::custom_auth::{self, Shop};
use crate::embed_axum;
use crate::server::{Server, room, sign_up, text};

#[tokio::test]
async fn an_axum_application_serves_its_page_and_the_chat_and_both_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let running = TaskTracker::new().spawn(embed_axum::run(listener, stop.clone().cancelled_owned()));

    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("My application"), "{page}");

    let url = format!("ws://{address}/ws");
    let (mut ann, mut ben) = (TestClient::connect(&url).await, TestClient::connect(&url).await);
    sign_up(&mut ann, "ann").await;
    sign_up(&mut ben, "ben").await;
    let room = room(&mut ann).await;
    ben.ok(json!({"action": "join_room", "room_id": room})).await;
    ann.ok(text(&room, "hello")).await;
    assert_eq!(ben.expect_push("new_room_message").await["content"], "hello");
    let strange = TestClient::connect_with(&url, &[("Origin", "https://evil.example")]).await;
    assert_eq!(strange.unwrap_err(), 403);

    stop.cancel();
    assert_eq!((ann.close_code().await, ben.close_code().await), (1001, 1001));
    running.await.unwrap().unwrap();
}

struct Mall {
    shop: Arc<Shop>,
    clock: ManualClock,
    chat: chat_core::Chat,
    server: Server,
}

impl Mall {
    async fn open() -> Self {
        let clock = ManualClock::default();
        let shop = Arc::new(Shop::new(&[7; 32], Arc::new(clock.clone())));
        let chat = custom_auth::chat(shop.clone()).await.unwrap();
        let server = Server::start(chat.clone()).await;
        Self { shop, clock, chat, server }
    }

    /// A customer who is signed in.
    async fn customer(&self, name: &str) -> TestClient {
        self.shop.add_customer(name, DisplayName::new(name).unwrap());
        let mut client = self.server.connect().await;
        let token = self.shop.token(name);
        let reply = client.ok(json!({"action": "authenticate", "token": token})).await;
        assert_eq!(reply["username"], name);
        client
    }

    /// What a token is answered.
    async fn refusal(&self, token: &str) -> String {
        let mut client = self.server.connect().await;
        let reply = client.request(json!({"action": "authenticate", "token": token})).await;
        assert_eq!(reply["code"], "unauthenticated", "{reply}");
        reply["reason"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn customers_of_a_shop_talk_without_accounts_in_the_chat() {
    let mall = Mall::open().await;
    let (mut ann, mut ben) = (mall.customer("ann").await, mall.customer("b.e.n").await);
    let chat = ann.ok(json!({"action": "open_private_chat", "username": "b.e.n"})).await;
    let message =
        json!({"action": "send_private_message", "chat_id": chat["chat_id"], "content": "still open?"});
    ann.ok(message).await;
    assert_eq!(ben.expect_push("new_private_message").await["content"], "still open?");
    let login = json!({"action": "login", "username": "ann", "password": "correct horse"});
    assert_eq!(ben.refused(login).await, "unknown_action");
}

#[tokio::test]
async fn sec_14_tokens_that_the_shop_did_not_make_or_that_are_over_are_refused() {
    let mall = Mall::open().await;
    mall.shop.add_customer("ann", DisplayName::new("Ann").unwrap());
    let token = mall.shop.token("ann");
    let (signed, mac) = token.rsplit_once('.').unwrap();
    let (_, ends_at) = signed.split_once('.').unwrap();
    let other_shop = Shop::new(&[8; 32], Arc::new(mall.clock.clone()));
    let forged = [
        signed.to_owned(),
        format!("{signed}."),
        format!("{signed}.{}", &mac[..62]),
        format!("ben.{ends_at}.{mac}"),
        format!("ann.{ends_at}0.{mac}"),
        other_shop.token("ann"),
        mall.shop.token("nobody"),
    ];
    for token in forged {
        assert_eq!(mall.refusal(&token).await, "invalid", "{token}");
    }
    mall.clock.advance(Duration::from_secs(599));
    let mut ann = mall.server.connect().await;
    ann.ok(json!({"action": "authenticate", "token": token})).await;
    mall.clock.advance(Duration::from_secs(1));
    assert_eq!(mall.refusal(&token).await, "expired");
    assert_eq!(ann.closed().await, (4401, "expired".to_owned()));
}

#[tokio::test]
async fn blocking_a_customer_closes_what_is_open_and_refuses_what_comes() {
    let mall = Mall::open().await;
    let (mut ann, mut ben) = (mall.customer("ann").await, mall.customer("ben").await);
    mall.shop.block("ann", &mall.chat);
    assert_eq!(ann.closed().await, (4401, "ended".to_owned()));
    assert_eq!(mall.refusal(&mall.shop.token("ann")).await, "ended");
    ben.ok(json!({"action": "list_rooms"})).await;
}
