//! The real binary: how signals stop it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use chat_testkit::client::TestClient;
use rustix::process::Signal;
use support::{PATIENCE, Server, Store, on_every_store, wait_until};

on_every_store! {
    sec_89_a_signal_lets_the_server_finish_and_exit_with_success,
    sec_89_connections_are_closed_with_1001,
    sec_89_a_draining_server_is_not_ready_and_lets_nobody_in,
    a_drain_ends_at_its_deadline,
    a_second_signal_stops_at_once,
}

/// A WebSocket whose client never answers: closing it takes the server a while.
fn silent_client(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let upgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
    socket
}

async fn sec_89_a_signal_lets_the_server_finish_and_exit_with_success(store: Store) {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = store.start();
        server.signal(signal);
        assert_eq!(server.wait(), Some(0));
        assert!(server.log().contains("stopped graceful=true"), "{}", server.log());
    }
}

async fn sec_89_connections_are_closed_with_1001(store: Store) {
    let mut server = store.start();
    let mut client = TestClient::connect(&server.socket_url()).await;
    server.terminate();
    let code = client.close_code().await;
    assert_eq!(code, 1001);
    assert_eq!(server.wait(), Some(0));
    assert!(server.log().contains("stopped graceful=true"), "{}", server.log());
}

async fn sec_89_a_draining_server_is_not_ready_and_lets_nobody_in(store: Store) {
    let mut server = store.start();
    let _client = silent_client(&server);
    assert_eq!(server.ask_admin("/readyz").status, 200);
    server.terminate();
    wait_until("not ready", || server.ask_admin("/readyz").status == 503);
    assert!(server.ask_admin("/readyz").body.contains("draining"));
    assert_eq!(server.ask_admin("/healthz").status, 200);
    wait_until("a closed door", || TcpStream::connect(server.address).is_err());
    assert_eq!(server.wait(), Some(0));
}

async fn a_drain_ends_at_its_deadline(store: Store) {
    let mut server = store.server().set("drain_seconds", "0").start();
    let _client = silent_client(&server);
    server.terminate();
    assert_eq!(server.wait(), Some(0));
    assert!(server.log().contains("stopped graceful=false"), "{}", server.log());
}

async fn a_second_signal_stops_at_once(store: Store) {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut server = store.start();
        let _client = silent_client(&server);
        server.terminate();
        server.wait_for_log("stopping");
        server.signal(second);
        assert_eq!(server.wait(), Some(code), "{}", server.log());
    }
}

#[test]
fn sighup_ends_nothing() {
    let mut server = Server::start();
    server.signal(Signal::HUP);
    server.wait_for_log("nothing to reload");
    assert_eq!(server.ask_admin("/readyz").status, 200);
    server.terminate();
    assert_eq!(server.wait(), Some(0));
}
