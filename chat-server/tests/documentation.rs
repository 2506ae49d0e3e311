//! The documentation for operators says what the program does.

mod support;

use std::fs;
use std::path::Path;

use chat_testkit::client::TestClient;
use serde_json::{Value, json};
use support::Server;

const BEGIN: &str = "<!-- settings begin";
const END: &str = "<!-- settings end -->";

/// Run with `UPDATE_DOCS=1` to write the tables anew.
#[test]
fn the_documentation_has_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the marker before the tables");
    let (marker, rest) = rest.split_once("-->\n").expect("the end of the marker");
    let (tables, after) = rest.split_once(END).expect("the marker after the tables");

    let printed = Server::with().arg("settings").run();
    assert_eq!(printed.code, Some(0), "{}", printed.log);
    let expected = format!("\n{}\n\n", printed.output);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{marker}-->\n{expected}{END}{after}")).unwrap();
    } else {
        assert_eq!(tables, expected, "docs/operations.md is out of date; run this test with UPDATE_DOCS=1");
    }
}

#[tokio::test]
async fn the_documentation_has_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    let server = Server::start();
    let mut client = TestClient::connect(&server.socket_url()).await;
    let person = json!({"username": "ann", "password": "correct horse"});
    let with = |action: &str, more: Value| {
        let mut request = person.clone();
        request["action"] = json!(action);
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    client.ok(with("register", json!({"email": "a@example.org"}))).await;
    client.ok(with("login", json!({}))).await;
    let room = client.ok(json!({"action": "create_room", "room_name": "Harbour"})).await;
    let message = json!({"action": "send_room_message", "room_id": room["room_id"], "content": "hello"});
    client.ok(message).await;
    client.close().await;

    let metrics = server.ask_admin("/metrics").body;
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 8, "{metrics}");
    for name in names {
        assert!(text.contains(&format!("`{name}`")), "{name} is not documented");
    }
}

#[test]
fn the_documentation_has_every_exit_code_and_signal() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    for code in [0, 64, 65, 67, 69, 70, 73, 74, 75, 77] {
        assert!(text.contains(&format!("\n| {code} | ")), "exit code {code} is missing");
    }
    for signal in ["SIGTERM", "SIGINT", "SIGHUP"] {
        assert!(text.contains(signal));
    }
}
