//! The real binary: what the two listeners answer, and what they refuse.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::{PATIENCE, Server, get, raw};

#[test]
fn the_page_says_how_to_connect_in_two_languages() {
    let server = Server::with().set("allowed_hosts", "chat.example.org").start();
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html; charset=utf-8"), "{}", page.head);
    assert!(page.body.contains(&format!("ws://{}/ws", server.address)), "{}", page.body);
    assert!(page.body.contains("The server is running") && page.body.contains("服务器正在运行"));
    assert!(!page.body.contains("{{") && !page.body.contains("<script") && !page.body.contains("style="));
    let request =
        "GET / HTTP/1.1\r\nHost: chat.example.org\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n";
    let behind_proxy = raw(server.address, request.as_bytes());
    assert!(behind_proxy.body.contains("wss://chat.example.org/ws"), "{}", behind_proxy.body);
    let style = server.get("/style.css");
    assert_eq!(style.status, 200);
    assert!(style.head.contains("content-type: text/css"));
}

#[test]
fn a_hostile_host_reaches_neither_headers_nor_the_page() {
    let server = Server::start();
    for host in ["<script>alert(1)</script>", "a; script-src *", "a'b", "a b", &"a".repeat(300)] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = raw(server.address, request.as_bytes());
        assert!(!answer.head.contains(host) && !answer.body.contains(host), "{host}: {answer:?}");
    }
}

#[test]
fn security_headers_are_on_every_answer() {
    let server = Server::start();
    for path in ["/", "/style.css", "/nothing", "/ws", "/metrics"] {
        let head = server.get(path).head;
        for header in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "permissions-policy: ",
            "content-security-policy: default-src 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(head.contains(header), "{header} is missing for {path}: {head}");
        }
        assert!(!head.contains("unsafe-inline") && !head.contains("strict-transport-security"), "{head}");
    }
    let page = server.get("/").head;
    assert!(
        page.contains("script-src 'self'") && page.contains("require-trusted-types-for 'script'"),
        "{page}"
    );
    assert!(page.contains(&format!("connect-src 'self' ws://{0} wss://{0}", server.address)), "{page}");
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let server = Server::start();
    for path in ["/nothing", "/index.html", "/../../etc/passwd", "/web/index.html", "/%2e%2e/"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    for method in ["POST", "DELETE", "TRACE", "CONNECT", "PUT"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let status = raw(server.address, request.as_bytes()).status;
        assert!((400..500).contains(&status), "{method}: {status}");
    }
}

#[test]
fn health_readiness_and_metrics_are_told_on_the_admin_listener() {
    let server = Server::start();
    let health = server.ask_admin("/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let ready = server.ask_admin("/readyz");
    assert_eq!(ready.status, 200);
    let report: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!(report["ready"], true);
    assert_eq!(report["reasons"], serde_json::json!([]));
    assert_eq!(report["insecure"], serde_json::json!([]));
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    let metrics = server.ask_admin("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.body.contains("chat_build_info{version="), "{}", metrics.body);
    assert_eq!(server.ask_admin("/nothing").status, 404);
}

#[test]
fn counters_to_alarm_on_exist_before_their_first_event() {
    let metrics = Server::start().ask_admin("/metrics").body;
    for counter in [
        "chat_accept_errors_total",
        r#"chat_disconnects_total{reason="too_slow"}"#,
        r#"chat_disconnects_total{reason="panic"}"#,
        r#"chat_actions_total{action="login",code="ok"}"#,
        r#"chat_actions_total{action="login",code="unavailable"}"#,
        r#"chat_actions_total{action="send_room_message",code="timeout"}"#,
        r#"chat_actions_total{action="sync",code="internal"}"#,
    ] {
        let line = format!("{counter} 0");
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in {metrics}");
    }
}

#[test]
fn sec_84_health_and_metrics_are_not_on_the_public_listener() {
    let server = Server::start();
    for path in ["/metrics", "/healthz", "/readyz", "/admin", "/metrics/", "//metrics", "/ws/metrics"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    let admin = server.admin.unwrap();
    assert!(admin.ip().is_loopback());
    assert_eq!(get(admin, "/").status, 404, "and the public page is not on the admin listener");
}

#[test]
fn sec_82_insecure_options_and_warnings_show_in_the_log_and_in_readyz() {
    let server = Server::with()
        .set("listen", "0.0.0.0:0")
        .set("store", "memory")
        .arg("--insecure-readable-secrets")
        .start();
    let report: serde_json::Value = serde_json::from_str(&server.ask_admin("/readyz").body).unwrap();
    assert_eq!(report["insecure"], serde_json::json!(["--insecure-readable-secrets"]));
    assert_eq!(report["warnings"].as_array().unwrap().len(), 2, "{report}");
    let log = server.log();
    assert!(
        log.contains("WARN") && log.contains("--insecure-readable-secrets") && log.contains("in the clear")
    );
}

#[test]
fn sec_142_requests_by_a_foreign_name_are_answered_by_neither_listener() {
    let server = Server::with().set("allowed_hosts", "chat.example.org").start();
    let status = |address, host: &str, path: &str| {
        raw(address, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
            .status
    };
    let admin = server.admin.unwrap();
    for host in
        ["evil.example", "evil.example:2346", "localhost.evil.example", "chat.example.org.evil.example"]
    {
        for path in ["/", "/ws", "/style.css", "/nothing"] {
            assert_eq!(status(server.address, host, path), 421, "{host}{path}");
        }
        for path in ["/metrics", "/readyz", "/healthz"] {
            assert_eq!(status(admin, host, path), 421, "{host}{path}");
        }
    }
    for host in ["localhost", "127.0.0.1", "[::1]:2346", "chat.example.org"] {
        assert_eq!(status(server.address, host, "/"), 200, "{host}");
        assert_eq!(status(admin, host, "/healthz"), 200, "{host}");
    }
    server.wait_for_log("host_refused");
    assert!(server.ask_admin("/metrics").body.contains(r#"chat_handshake_rejections_total{reason="host"} "#));
}

#[test]
fn sec_9_heads_beyond_the_bounds_are_refused() {
    let server = Server::start();
    let many = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: y\r\n")).collect() };
    let long = |bytes: usize| format!("X: {}\r\n", "y".repeat(bytes));
    for (fields, status) in
        [(many(60), 200), (many(65), 431), (many(10_000), 431), (long(7_000), 200), (long(9_000), 431)]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may answer and close before it has read everything.
        let _ = socket.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let _ = socket.read_to_end(&mut bytes);
        let answered = support::answer(&bytes).status;
        assert!(answered == status || (status == 431 && answered == 0), "{} bytes: {answered}", fields.len());
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn sec_9_refused_heads_are_counted_and_logged_and_the_bound_is_a_setting() {
    let with_cookies = |server: &Server, bytes: usize| {
        let cookies = "c".repeat(bytes);
        let request =
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookies}\r\n\r\n");
        raw(server.address, request.as_bytes()).status
    };
    let server = Server::start();
    let counted = |count: u32| {
        let line = format!(r#"chat_handshake_rejections_total{{reason="head_too_large"}} {count}"#);
        server.ask_admin("/metrics").body.lines().any(|found| found == line)
    };
    assert!(counted(0), "before the first");
    assert_eq!(with_cookies(&server, 8_192), 431);
    server.wait_for_log("request_head_refused");
    assert!(counted(1));
    let server = Server::with().set("limit_request_head_bytes", "32768").start();
    assert_eq!(with_cookies(&server, 24_000), 200);
    assert_eq!(with_cookies(&server, 100_000), 431);
}

#[test]
fn sec_9_slow_and_silent_clients_are_closed() {
    let server = Server::with().set("limit_handshake_seconds", "1").start();
    let beginnings: [&[u8]; 4] = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    // Many of them; one of each kind is looked at.
    let others: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let sockets = beginnings.map(|beginning| {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(beginning).unwrap();
        socket
    });
    assert_eq!(server.get("/").status, 200, "others are served meanwhile");
    for (mut socket, beginning) in sockets.into_iter().zip(beginnings) {
        let mut rest = Vec::new();
        let closed = socket.read_to_end(&mut rest);
        assert!(closed.is_ok(), "{:?} was not closed: {closed:?}", String::from_utf8_lossy(beginning));
    }
    drop(others);
    assert_eq!(server.get("/").status, 200);
}
