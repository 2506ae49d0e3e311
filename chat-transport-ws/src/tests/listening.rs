//! Many connections at the plain listener: caps, churn, panics and the end.

use std::net::SocketAddr;
use std::time::Duration;

use chat_core::Peer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listener::serve_sessions;
use crate::tests::PATIENCE;
use crate::tests::engine::Engine;
use crate::tests::raw::{CLOSE, Raw, TEXT, frame};
use crate::{Config, Transport};

/// A listener whose engine says hello, and echoes.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    async fn new(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let connect = |_: Peer| {
            let engine = Engine::new();
            engine.give("hello");
            engine.session()
        };
        let shutdown = stop.clone().cancelled_owned();
        let served =
            TaskTracker::new().spawn(serve_sessions(Transport::new(config), listener, connect, shutdown));
        Self { address, stop, served }
    }

    /// A connection for which a proxy names this client; its status if it was refused.
    async fn connect_from(&self, client: &str) -> Result<Raw<TcpStream>, String> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             X-Forwarded-For: {client}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer").unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        if head.starts_with("HTTP/1.1 101") { Ok(Raw::new(stream)) } else { Err(head[9..12].to_owned()) }
    }

    async fn connect(&self) -> Raw<TcpStream> {
        let mut client = self.connect_from("127.0.0.1").await.unwrap();
        client.expect_text("hello").await;
        client
    }
}

#[tokio::test]
async fn sec_51_above_the_cap_of_the_node_connections_wait_until_one_ends() {
    let server = Server::new(Config { connections: 2, ..Config::default() }).await;
    let (first, _second) = (server.connect().await, server.connect().await);
    let mut third = std::pin::pin!(server.connect());
    assert!(timeout(Duration::from_millis(200), &mut third).await.is_err());
    drop(first);
    timeout(PATIENCE, third).await.expect("room for the third");
}

#[tokio::test]
async fn sec_51_above_the_cap_of_an_address_connections_are_refused() {
    let server = Server::new(Config { address_connections: 3, ..Config::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect_from("203.0.113.9").await.unwrap());
    }
    for _ in 0..100 {
        assert_eq!(server.connect_from("203.0.113.9").await.err().unwrap(), "429");
    }
    assert!(server.connect_from("203.0.113.8").await.is_ok());
    drop(clients.pop());
    let begin = Instant::now();
    while server.connect_from("203.0.113.9").await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "the seat is not given back");
    }
    for _ in 0..10 {
        server.connect().await;
    }
}

#[tokio::test]
async fn sec_51_above_the_cap_of_unauthenticated_connections_the_oldest_is_closed() {
    let server = Server::new(Config { unauthenticated_connections: 10, ..Config::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(server.connect().await);
    }
    for client in &mut clients[..10] {
        assert_eq!(client.expect_close().await, (4429, "too many connections".to_owned()));
    }
    for client in &mut clients[10..] {
        client.send_text("still here").await;
        client.expect_text("still here").await;
    }
}

#[tokio::test]
async fn sec_54_connections_that_come_and_go_leave_nothing_behind() {
    // Each of the two seats is used hundreds of times, however the connection before ended.
    let server = Server::new(Config { connections: 2, address_connections: 2, ..Config::default() }).await;
    for round in 0..600 {
        let mut client = server.connect_from("203.0.113.9").await;
        let begin = Instant::now();
        while client.is_err() {
            assert!(begin.elapsed() < PATIENCE, "no seat in round {round}");
            client = server.connect_from("203.0.113.9").await;
        }
        let mut client = client.unwrap();
        match round % 4 {
            0 => {}
            1 => client.send(frame(CLOSE, b"")).await,
            2 => client.send(&frame(TEXT, "cut off")[..7]).await,
            _ => client.send_text("panic").await,
        }
    }
}

#[tokio::test]
async fn sec_49_a_panic_leaves_the_listener_and_the_others_alone() {
    let server = Server::new(Config::default()).await;
    let mut good = server.connect().await;
    for _ in 0..20 {
        let mut bad = server.connect().await;
        bad.send_text("panic").await;
        assert_eq!(bad.expect_close().await.0, 1011);
    }
    good.send_text("still here").await;
    good.expect_text("still here").await;
}

#[tokio::test]
async fn the_close_frame_arrives_although_the_client_is_still_sending() {
    let server = Server::new(Config::default()).await;
    for _ in 0..20 {
        let mut client = server.connect().await;
        client.send([frame(TEXT | 0x40, "broken"), frame(TEXT, "x".repeat(60_000))].concat()).await;
        client.try_send(frame(TEXT, "y".repeat(60_000))).await;
        assert_eq!(client.expect_close().await.0, 1002);
    }
}

#[tokio::test]
async fn shutdown_closes_everybody_with_1001_and_waits_for_them() {
    let server = Server::new(Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(server.connect().await);
    }
    let mut waiting = TcpStream::connect(server.address).await.unwrap();
    waiting.write_all(b"GET /ws HTTP/1.1\r\n").await.unwrap();
    server.stop.cancel();
    for mut client in clients {
        assert_eq!(client.expect_close().await, (1001, "shutting down".to_owned()));
    }
    timeout(PATIENCE, server.served).await.expect("the end of all connections").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
