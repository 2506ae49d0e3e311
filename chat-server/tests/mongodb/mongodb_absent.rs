//! A database that is away for a while: at the start, and while people use the server.

use chat_testkit::mongod::Mongod;
use serde_json::{Value, json};

use crate::place::on;
use crate::support::people::{Device, keyed, login};
use crate::support::{Server, wait_until};

const DATABASE: &str = "chat_system";

fn readiness(server: &Server) -> (u16, Value) {
    let answer = server.ask_admin("/readyz");
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

fn gauge(server: &Server) -> String {
    let metrics = server.ask_admin("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("chat_store_answering "));
    line.unwrap_or_else(|| panic!("no gauge in {metrics}")).to_owned()
}

/// Waits until the server has noticed that its database is away, which nobody who only looks at the process sees.
fn wait_until_unready(server: &Server) {
    wait_until("an unready server", || readiness(server).0 == 503);
    assert_eq!(readiness(server).1["reasons"], json!(["the store does not answer"]));
    wait_until("the gauge", || gauge(server) == "0");
    assert_eq!(server.ask_admin("/healthz").status, 200);
}

fn wait_until_ready(server: &Server) {
    wait_until("a ready server", || readiness(server).0 == 200);
    wait_until("the gauge", || gauge(server) == "1");
}

/// Sends a message until it is stored; answers its result.
async fn send_until_stored(device: &mut Device, message: &Value) -> Value {
    loop {
        let reply = device.request(message.clone()).await;
        if reply["success"] == true {
            return reply;
        }
        assert_retryable(&reply);
    }
}

fn assert_retryable(reply: &Value) {
    assert!(["unavailable", "timeout"].contains(&reply["code"].as_str().unwrap()), "{reply}");
    assert!(reply["retry_after_ms"].is_u64(), "{reply}");
    for internal in ["mongo", "primary", "127.0.0.1"] {
        assert!(!reply.to_string().to_lowercase().contains(internal), "{reply}");
    }
}

#[tokio::test]
async fn a_server_waits_for_a_database_that_starts_after_it() {
    let mongod = Mongod::start().await;
    let (uri, builder) = (mongod.uri(), on(&mongod.uri(), DATABASE));
    let log = builder.directory().join("stderr.log");
    mongod.kill();
    let starting = std::thread::spawn(move || builder.start());
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("the server to wait", || said().contains("waiting for the database"));
    mongod.restart().await;
    assert_eq!(mongod.uri(), uri);
    let server = starting.join().unwrap();
    assert_eq!(readiness(&server).0, 200);
    server.newcomer("ann").await;
}

#[tokio::test]
async fn people_stay_connected_through_an_absence_and_nothing_is_lost_or_doubled() {
    let mongod = Mongod::start().await;
    let server = on(&mongod.uri(), DATABASE).start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let room = server.room_of(&mut [&mut ann, &mut bob]).await;
    wait_until_ready(&server);
    assert!(readiness(&server).1["warnings"].to_string().contains("durable on one disk only"));

    let mut first = Vec::new();
    for (number, is_killed) in [(0, false), (1, true)] {
        let before = keyed(&room, &format!("before {number}"), "before");
        first.push((before.clone(), ann.ok(before).await));
        if is_killed {
            mongod.kill();
        } else {
            mongod.pause();
        }
        let during = keyed(&room, &format!("during {number}"), "during");
        assert_retryable(&ann.request(during.clone()).await);
        wait_until_unready(&server);
        assert_retryable(&ann.request(json!({"action": "get_room_messages", "room_id": room})).await);
        assert_eq!(server.connect().await.refused(login("ann")).await, "unavailable");

        if is_killed {
            mongod.restart().await;
        } else {
            mongod.resume();
        }
        first.push((during.clone(), send_until_stored(&mut ann, &during).await));
        wait_until_ready(&server);
    }
    for (message, stored) in &first {
        let again = ann.ok(message.clone()).await;
        assert_eq!((&again["seq"], &again["message_id"]), (&stored["seq"], &stored["message_id"]));
    }
    let log = bob.history(&room).await;
    let contents: Vec<&Value> = log.iter().map(|message| &message["content"]).collect();
    assert_eq!(contents, ["before", "during", "before", "during"]);
    for message in &log {
        assert_eq!(bob.expect_push("new_room_message").await["seq"], message["seq"]);
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn an_idle_server_notices_and_recovers_by_itself() {
    let mongod = Mongod::start().await;
    let mut server = on(&mongod.uri(), DATABASE).start();
    wait_until_ready(&server);
    mongod.pause();
    wait_until_unready(&server);
    mongod.resume();
    wait_until_ready(&server);

    mongod.pause();
    wait_until_unready(&server);
    server.terminate();
    assert_eq!(server.wait(), Some(0), "it stops although the database is away: {}", server.log());
}
