//! The real binary: how requests become WebSockets, whose address counts, and what the log keeps.

mod support;

use chat_testkit::client::TestClient;
use serde_json::json;
use support::{Server, raw};

#[tokio::test]
async fn the_socket_is_at_ws_and_at_the_root() {
    let server = Server::start();
    for path in ["/ws", "/"] {
        let url = format!("ws://{}{path}", server.address);
        let mut client = TestClient::connect(&url).await;
        assert_eq!(client.greeting()["action"], "connected");
        client.ok(json!({"action": "ping"})).await;
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn sec_3_requests_that_are_no_upgrades_are_told_so() {
    let server = Server::start();
    let plain = server.get("/ws");
    assert_eq!(plain.status, 426);
    assert!(plain.head.contains("upgrade: websocket") && plain.head.contains("sec-websocket-version: 13"));
    let upgrade = |method: &str, version: &str| {
        let request = format!(
            "{method} /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        raw(server.address, request.as_bytes()).status
    };
    assert_eq!(upgrade("GET", "8"), 426);
    assert_eq!(upgrade("POST", "13"), 405);
}

#[tokio::test]
async fn sec_4_pages_of_other_origins_are_refused_and_logged() {
    let server = Server::with().set("allowed_origins", "https://app.example.org").start();
    let url = server.socket_url();
    let own = format!("http://{}", server.address);
    for allowed in [own.as_str(), "https://app.example.org"] {
        assert!(TestClient::connect_with(&url, &[("origin", allowed)]).await.is_ok(), "{allowed}");
    }
    for refused in
        ["https://evil.example", "null", "http://app.example.org", "https://app.example.org.evil.example"]
    {
        let answer = TestClient::connect_with(&url, &[("origin", refused)]).await;
        assert_eq!(answer.err(), Some(403), "{refused}");
    }
    server.wait_for_log("origin_refused");
}

#[tokio::test]
async fn sec_143_strangers_cause_a_bounded_number_of_lines_in_the_log() {
    let server = Server::with().set("log_format", "json").start();
    for _ in 0..100 {
        let answer =
            TestClient::connect_with(&server.socket_url(), &[("origin", "https://evil.example")]).await;
        assert_eq!(answer.err(), Some(403));
    }
    let counted = r#"chat_handshake_rejections_total{reason="origin"} 100"#;
    assert!(server.ask_admin("/metrics").body.contains(counted));
    let log = server.into_stopped_log();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    let logged = lines.iter().filter(|line| line["event"] == "origin_refused").count();
    let told = lines
        .iter()
        .filter(|line| line["kind"] == "origin_refused")
        .filter_map(|line| line["lines"].as_u64());
    let left_out: u64 = told.sum();
    assert!(left_out > 0 && logged as u64 + left_out == 100, "{logged} and {left_out}");
}

#[tokio::test]
async fn sec_4_pages_from_files_may_connect_where_they_are_listed_with_a_warning() {
    let server = Server::with().set("allowed_origins", "null,file://").start();
    for origin in ["null", "file://"] {
        let client = TestClient::connect_with(&server.socket_url(), &[("origin", origin)]).await;
        assert!(client.is_ok(), "{origin}");
    }
    assert!(server.ask_admin("/readyz").body.contains("pages without a host"));
}

#[tokio::test]
async fn sec_142_a_page_of_a_name_that_resolves_to_this_machine_does_not_connect() {
    let server = Server::start();
    let answer = |host: &str| {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: 0\r\n\r\n"
        );
        raw(server.address, request.as_bytes()).status
    };
    assert_eq!(answer(&format!("evil.example:{}", server.address.port())), 421);
}

#[tokio::test]
async fn sec_142_pages_in_browsers_on_this_machine_are_limited_and_programs_are_not() {
    let server = Server::with()
        .set("limit_address_connections", "1")
        .set("rate_address_registrations_per_minute", "2")
        .start();
    let url = server.socket_url();
    let origin = format!("http://{}", server.address);
    let register = |name: String| json!({"action": "register", "username": name, "password": "correct horse", "email": "a@example.org"});
    let mut page = TestClient::connect_with(&url, &[("origin", &origin)]).await.unwrap();
    assert_eq!(TestClient::connect_with(&url, &[("origin", &origin)]).await.err(), Some(429));
    let mut codes = Vec::new();
    for number in 0..3 {
        let reply = page.request(register(format!("page-{number}"))).await;
        codes.push(reply["code"].as_str().unwrap_or("ok").to_owned());
    }
    assert_eq!(codes, ["ok", "ok", "rate_limited"]);
    let mut programs = [TestClient::connect(&url).await, TestClient::connect(&url).await];
    for number in 0..4 {
        programs[number % 2].ok(register(format!("program-{number}"))).await;
    }
}

#[tokio::test]
async fn sec_11_the_address_that_a_trusted_proxy_names_is_limited() {
    let server = Server::with().set("limit_address_connections", "1").start();
    let url = server.socket_url();
    let from = async |address: &str| TestClient::connect_with(&url, &[("x-forwarded-for", address)]).await;
    let _first = from("203.0.113.9").await.unwrap();
    assert_eq!(from("203.0.113.9").await.err(), Some(429));
    assert_eq!(
        from("198.51.100.1, 203.0.113.9").await.err(),
        Some(429),
        "what the client wrote has no effect"
    );
    let _other = from("203.0.113.10").await.unwrap();
}

#[tokio::test]
async fn sec_11_a_proxy_that_names_no_client_is_warned_about() {
    let server = Server::start();
    let url = server.socket_url();
    let warnings = || server.ask_admin("/readyz").body.contains("sends no X-Forwarded-For");
    TestClient::connect(&url).await;
    TestClient::connect_with(&url, &[("x-forwarded-for", "203.0.113.9"), ("via", "1.1 proxy")])
        .await
        .unwrap();
    assert!(!warnings(), "neither programs on this machine nor good proxies are meant");
    for _ in 0..3 {
        TestClient::connect_with(&url, &[("x-forwarded-proto", "https")]).await.unwrap();
    }
    assert!(warnings());
    server.wait_for_log("the proxy at 127.0.0.1 sends no X-Forwarded-For");
    assert_eq!(server.into_stopped_log().matches("sends no X-Forwarded-For").count(), 1);
}

#[tokio::test]
async fn sec_11_others_cannot_name_an_address() {
    let server =
        Server::with().set("limit_address_connections", "1").set("trusted_proxies", "192.0.2.1").start();
    let url = server.socket_url();
    let from = async |address: &str| TestClient::connect_with(&url, &[("x-forwarded-for", address)]).await;
    let _first = from("203.0.113.9").await.unwrap();
    let _second = from("203.0.113.9").await.unwrap();
}

#[tokio::test]
async fn sec_86_logs_contain_no_passwords_tokens_addresses_or_messages() {
    for format in ["text", "json"] {
        let server = Server::with().set("log_level", "trace").set("log_format", format).start();
        let mut client = TestClient::connect(&server.socket_url()).await;
        let (password, email) = ("canary-password-7", "canary-mail@example.org");
        let register = json!({"action": "register", "username": "ann", "password": password, "email": email});
        client.ok(register).await;
        let wrong = json!({"action": "login", "username": "ann", "password": "canary-wrong-7"});
        client.refused(wrong).await;
        let granted = client.ok(json!({"action": "login", "username": "ann", "password": password})).await;
        let room = client.ok(json!({"action": "create_room", "room_name": "Harbour"})).await;
        let message =
            json!({"action": "send_room_message", "room_id": room["room_id"], "content": "canary-text-7"});
        client.ok(message).await;
        client.refused(json!({"action": "authenticate", "token": "canary-token-7"})).await;
        client.send_text("canary-garbage-7").await;
        client.ok(json!({"action": "logout"})).await;
        client.close().await;

        let log = server.into_stopped_log();
        assert!(log.contains("login_succeeded") && log.contains("login_failed"), "sec_87: {log}");
        let secrets = [granted["token"].as_str().unwrap(), granted["refresh_token"].as_str().unwrap()];
        for secret in ["canary", "correct horse"].into_iter().chain(secrets) {
            assert!(!log.contains(secret), "{secret} is in the log");
        }
        if format == "json" {
            for line in log.lines() {
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
            }
        }
    }
}
