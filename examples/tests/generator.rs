//! `load` against a server in this process: it counts, it notices, it obeys limits, and it stays on this host.

use std::sync::Arc;

use chat_core::Chat;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::limits::{Limits, Rate};
use chat_core::memory::MemoryStore;
use chat_core::time::SystemClock;
use clap::Parser;

use crate::load::{Options, Report, run};
use crate::server::Server;

const UNLIMITED: Rate = Rate { per_second: 0, burst: 0 };

async fn server(send_rate: Rate) -> Server {
    let store = Arc::new(MemoryStore::new());
    let settings = AuthSettings { argon2_memory_kib: 8, argon2_passes: 1, ..AuthSettings::default() };
    let auth = PasswordAuth::new(store.clone(), Arc::new(SystemClock), settings).unwrap();
    let limits = Limits { send_rate, request_rate: UNLIMITED, ..Limits::default() };
    let builder = Chat::builder().auth(Arc::new(auth)).rooms(store).limits(limits);
    Server::start(builder.build().await.unwrap()).await
}

async fn load(url: &str, arguments: &str) -> anyhow::Result<Report> {
    let pid = std::process::id().to_string();
    let common = ["load", "--seconds", "1", "--url", url, "--server-pid", &pid];
    let options = Options::try_parse_from(common.into_iter().chain(arguments.split(' '))).unwrap();
    run(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_talk_for_a_second_and_every_message_is_delivered_to_both() {
    let server = server(UNLIMITED).await;
    let report = load(&server.url(), "one-to-one --pairs 3 --window 4").await.unwrap();
    assert!(report.acknowledged > 0);
    assert_eq!(report.deliveries, report.acknowledged * 2);
    assert_eq!(report.refusals, 0);
    let text = report.to_string();
    for part in ["acknowledged", "p99.9", "µs per delivery", "MiB after", "once and in order"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("slowed down"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_flooded_for_a_second_and_every_member_gets_every_message() {
    let server = server(UNLIMITED).await;
    let report = load(&server.url(), "fanout --members 12 --senders 3 --window 5").await.unwrap();
    assert!(report.acknowledged > 0);
    assert_eq!(report.deliveries, report.acknowledged * 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_are_spread_over_rooms_and_hear_their_own_room_only() {
    let server = server(UNLIMITED).await;
    let report = load(&server.url(), "rooms --rooms 3 --senders 6 --window 2").await.unwrap();
    assert!(report.acknowledged > 0);
    assert_eq!(report.deliveries, report.acknowledged * 2);
    let report = load(&server.url(), "rooms --rooms 4 --senders 2").await.unwrap();
    assert_eq!(report.deliveries, report.acknowledged, "nobody else is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent_at_the_rate_that_was_asked_for() {
    let server = server(UNLIMITED).await;
    let report = load(&server.url(), "fanout --members 4 --senders 4 --window 8 --rate 200").await.unwrap();
    assert_eq!(report.acknowledged, 200, "as many as are due in a second");
    assert!(report.to_string().contains("200 messages/s"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_counted_and_cost_memory() {
    let server = server(UNLIMITED).await;
    let report = load(&server.url(), "idle --connections 45 --rooms 2").await.unwrap();
    assert_eq!(report.idle_connections, 45);
    let text = report.to_string();
    assert!(text.contains("45 connections of 3 users") && text.contains("KiB for each"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_obeyed_and_reported() {
    let server = server(Rate { per_second: 5, burst: 5 }).await;
    let report = load(&server.url(), "fanout --members 2 --senders 1 --window 4").await.unwrap();
    assert!(report.refusals > 0);
    assert!((5..=20).contains(&report.acknowledged), "{report}");
    assert!(report.to_string().contains("slowed down"), "{report}");
}

#[tokio::test]
async fn other_hosts_need_a_permission_and_nonsense_is_refused() {
    let refused = load("ws://192.0.2.1:2346/ws", "idle").await.unwrap_err();
    assert!(refused.to_string().contains("--allow-remote"), "{refused}");
    assert!(load("http://127.0.0.1:2346/ws", "idle").await.is_err());
    let server = server(UNLIMITED).await;
    assert!(load(&server.url(), "fanout --members 2 --senders 3").await.is_err());
}
