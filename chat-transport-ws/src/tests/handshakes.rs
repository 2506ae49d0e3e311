//! Requests, written by hand, at the plain listener.

use std::net::SocketAddr;
use std::time::Duration;

use chat_core::Peer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::listener::serve_sessions;
use crate::tests::PATIENCE;
use crate::tests::engine::Engine;
use crate::{Config, Transport};

const GOOD: [&str; 6] = [
    "GET /ws HTTP/1.1",
    "Host: chat.example",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// Which line of the good request is changed to what, and the status of the answer.
const MALFORMED: &[(usize, &str, u16)] = &[
    (0, "POST /ws HTTP/1.1", 405),
    (0, "HEAD /ws HTTP/1.1", 405),
    (0, "PUT / HTTP/1.1", 405),
    (0, "OPTIONS /ws HTTP/1.1", 405),
    (0, "CONNECT /ws HTTP/1.1", 405),
    (0, "get /ws HTTP/1.1", 405),
    (0, "GET /ws HTTP/1.0", 505),
    (0, "GET /ws HTTP/2.0", 505),
    (0, "GET /ws HTTP/0.9", 505),
    (0, "GET /ws", 400),
    (0, "GET", 400),
    (0, "GET  /ws HTTP/1.1", 400),
    (0, "GET /ws  HTTP/1.1", 505),
    (0, "GET /w s HTTP/1.1", 505),
    (0, "/ws HTTP/1.1", 400),
    (0, "\u{1}\u{2}\u{3}", 400),
    (0, "GET /wss HTTP/1.1", 404),
    (0, "GET /ws/ HTTP/1.1", 404),
    (0, "GET //ws HTTP/1.1", 404),
    (0, "GET /../ws HTTP/1.1", 404),
    (0, "GET * HTTP/1.1", 404),
    (0, "GET /admin HTTP/1.1", 404),
    (1, "", 400),
    (1, "Host:", 400),
    (1, "Host: a b", 400),
    (1, "Host: a/b", 400),
    (1, "Host: a:b", 400),
    (1, "Host: a:99999", 400),
    (1, "Host: user@a", 400),
    (1, "Host: a\r\nHost: a", 400),
    (2, "", 426),
    (2, "Upgrade: websockets", 426),
    (2, "Upgrade: h2c", 426),
    (2, "Upgrade:", 426),
    (3, "", 426),
    (3, "Connection: keep-alive", 426),
    (3, "Connection: Upgrade-Insecure", 426),
    (4, "", 426),
    (4, "Sec-WebSocket-Version: 12", 426),
    (4, "Sec-WebSocket-Version: 8", 426),
    (4, "Sec-WebSocket-Version: 13, 8", 426),
    (4, "Sec-WebSocket-Version: 013", 426),
    (4, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8", 426),
    (5, "", 400),
    (5, "Sec-WebSocket-Key:", 400),
    (5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", 400),
    (5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j", 400),
    (5, "Sec-WebSocket-Key: !!!!IHNhbXBsZSBub25jZQ==", 400),
    (5, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA", 400),
    (5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 400),
    (6, "Content-Length: 1", 400),
    (6, "Content-Length: x", 400),
    (6, "Transfer-Encoding: chunked", 400),
    (6, "Content-Length: 0\r\nContent-Length: 5", 400),
    (6, "No colon", 400),
    (6, "Bad name: x", 400),
    (6, "X: a\r\n folded", 400),
    (6, "X: a\rb", 400),
    (6, "X: \0", 400),
    (6, ": empty", 400),
    (6, "X : y", 400),
    (6, "Origin: https://evil.com", 403),
    (6, "Origin: null", 403),
    (6, "Origin: http://chat.example\r\nOrigin: http://chat.example", 403),
];

async fn listen(config: Config) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |peer: Peer| {
        let engine = Engine::new();
        engine.give(format!("{:?}", peer.address));
        engine.session()
    };
    TaskTracker::new().spawn(serve_sessions(
        Transport::new(config),
        listener,
        connect,
        std::future::pending(),
    ));
    address
}

/// The head of the answer to these bytes, and the first frame's text after it.
async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request.as_ref()).await;
    let mut answer = Vec::new();
    let head = async {
        while let Ok(count) = stream.read_buf(&mut answer).await {
            let text = String::from_utf8_lossy(&answer).into_owned();
            let whole = text
                .split_once("\r\n\r\n")
                .filter(|(head, body)| !head.starts_with("HTTP/1.1 101") || body.chars().count() > 2);
            if count == 0 || whole.is_some() {
                return;
            }
        }
    };
    timeout(PATIENCE, head).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
    (head.to_owned(), body.chars().skip(2).collect())
}

/// The good request with this line changed, taken away or added.
fn with(line: usize, text: &str) -> String {
    let mut lines = GOOD.to_vec();
    match (lines.get_mut(line), text) {
        (Some(_), "") => _ = lines.remove(line),
        (Some(changed), text) => *changed = text,
        (None, text) => lines.push(text),
    }
    lines.join("\r\n") + "\r\n\r\n"
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head:?}"))
}

#[tokio::test]
async fn a_good_handshake_is_answered_with_101_and_no_extension() {
    let address = listen(Config::default()).await;
    for (line, text) in [
        (0, "GET /ws HTTP/1.1"),
        (0, "GET / HTTP/1.1"),
        (0, "GET /ws?token=none HTTP/1.1"),
        (0, "GET http://chat.example/ws HTTP/1.1"),
        (1, "hOsT: [::1]:2346"),
        (2, "Upgrade: WebSocket"),
        (2, "Upgrade: h2c, websocket"),
        (3, "Connection: keep-alive, Upgrade"),
        (3, "Connection: keep-alive\r\nConnection: UPGRADE"),
        (6, "Content-Length: 0"),
        (6, "Origin: http://chat.example"),
        (6, "Sec-WebSocket-Protocol: chat"),
    ] {
        let (head, _) = ask(address, with(line, text)).await;
        assert_eq!(status(&head), 101, "{text}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        assert!(!head.contains("sec-websocket-protocol"), "{head}");
    }
}

#[tokio::test]
async fn the_subprotocol_is_selected_where_it_is_offered_and_no_other() {
    let address = listen(Config::default()).await;
    for (offered, selected) in [
        ("Sec-WebSocket-Protocol: chat.v1", true),
        ("sec-websocket-protocol: chat.v2,chat.v1 , x", true),
        ("Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: chat.v1", true),
        ("Sec-WebSocket-Protocol: Chat.V1", false),
        ("Sec-WebSocket-Protocol: chat.v10, chat", false),
        ("Sec-WebSocket-Protocol:", false),
        ("X-Protocol: chat.v1", false),
    ] {
        let (head, _) = ask(address, with(6, offered)).await;
        assert_eq!(status(&head), 101, "{offered}");
        let head = head.to_ascii_lowercase();
        assert_eq!(
            head.matches("sec-websocket-protocol").count(),
            usize::from(selected),
            "{offered}: {head}"
        );
        assert_eq!(head.contains("sec-websocket-protocol: chat.v1"), selected, "{offered}: {head}");
    }
}

#[tokio::test]
async fn sec_03_malformed_handshakes_are_refused() {
    let address = listen(Config::default()).await;
    let long = format!("X-Long: {}", "x".repeat(9_000));
    let many = (0..60).map(|number| format!("X-{number}: y")).collect::<Vec<_>>().join("\r\n");
    let large = [(6, long.as_str(), 431), (6, many.as_str(), 431)];
    for (line, text, expected) in MALFORMED.iter().copied().chain(large) {
        let (head, body) = ask(address, with(line, text)).await;
        assert_eq!(status(&head), expected, "{text}: {head}");
        assert!(body.is_empty() && !head.contains("101"), "{text}: {head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-length: 0"), "{head}");
        assert_eq!(head.contains("sec-websocket-version: 13"), expected == 426, "{head}");
        assert_eq!(head.contains("allow: get"), expected == 405, "{head}");
    }
    for after in ["x", "{}", "\u{1}\u{80}0000"] {
        let (head, _) = ask(address, with(0, GOOD[0]) + after).await;
        assert_eq!(status(&head), 400, "bytes before the answer");
    }
}

#[tokio::test]
async fn sec_04_a_listed_origin_may_connect() {
    let origins = crate::Origins::new(["https://app.example".parse().unwrap()]);
    let address = listen(Config { origins, ..Config::default() }).await;
    for (origin, expected) in [
        ("https://app.example", 101),
        ("http://chat.example", 101),
        ("http://app.example", 403),
        ("https://app.example.evil.com", 403),
    ] {
        let (head, _) = ask(address, with(6, &format!("Origin: {origin}"))).await;
        assert_eq!(status(&head), expected, "{origin}");
    }
}

#[tokio::test]
async fn sec_07_no_extension_is_negotiated() {
    let address = listen(Config::default()).await;
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "PerMessage-Deflate",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; client_max_window_bits=15; server_max_window_bits=15",
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "permessage-compress; method=deflate",
        "deflate-frame, permessage-deflate",
        "",
        ";,;",
    ] {
        let (head, _) = ask(address, with(6, &format!("Sec-WebSocket-Extensions: {offer}"))).await;
        assert_eq!(status(&head), 101, "{offer}");
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{offer}: {head}");
    }
}

#[tokio::test]
async fn sec_09_slow_and_endless_requests_end_within_the_deadline() {
    let config = Config { handshake_timeout: Duration::from_millis(500), ..Config::default() };
    let address = listen(config).await;
    let begin = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /ws HTTP/1.1\r\nHost: ").await.unwrap();
        slow.push(stream);
    }
    // Others are served meanwhile.
    assert_eq!(status(&ask(address, with(0, GOOD[0])).await.0), 101);
    for stream in &mut slow {
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert_eq!(status(&answer), 408);
    }
    assert!(begin.elapsed() < PATIENCE);

    let fields: String = (0..10_000).map(|number| format!("X-{number}: y\r\n")).collect();
    for endless in [format!("{}\r\n{fields}\r\n", GOOD[0]), "G".repeat(1 << 20), "\r\n".repeat(10_000)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Cut off with a reset or answered: never more than the limit is read.
        let _ = stream.write_all(endless.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
        assert!(!answer.starts_with(b"HTTP/1.1 101"));
    }
}

#[tokio::test(start_paused = true)]
async fn sec_09_a_byte_per_second_is_not_enough() {
    use crate::listener::shake_hands;
    let (mut client, mut server) = tokio::io::duplex(1_024);
    let transport = Transport::new(Config::default());
    let seat = transport.gate().seat(None).unwrap();
    let tasks = TaskTracker::new();
    let begin = Instant::now();
    let shaken = tasks.spawn(async move {
        let shaken = shake_hands(&transport, &mut server, &seat, None).await;
        assert_eq!(begin.elapsed().as_secs(), 7, "5 s for the request and 2 s for the answer");
        shaken
    });
    for byte in with(0, GOOD[0]).bytes() {
        if client.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(shaken.await.unwrap().is_err());
}

#[tokio::test]
async fn sec_11_the_engine_learns_the_address_behind_trusted_proxies_only() {
    let trusting = listen(Config::default()).await;
    let strict = listen(Config { trusted_proxies: "".parse().unwrap(), ..Config::default() }).await;
    for forwarded in ["203.0.113.9", "127.0.0.1, 203.0.113.9", "8.8.8.8,203.0.113.9", "203.0.113.9:80"] {
        let request = with(6, &format!("X-Forwarded-For: {forwarded}"));
        assert_eq!(ask(trusting, &request).await.1, "Some(203.0.113.9)");
        assert_eq!(ask(strict, &request).await.1, "Some(127.0.0.1)");
    }
    for ignored in ["Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9", "X-Forwarded-Host: 203.0.113.9"] {
        assert_eq!(ask(trusting, with(6, ignored)).await.1, "Some(127.0.0.1)");
    }
}
