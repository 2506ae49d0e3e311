//! One server: killed, restarted, paused while messages flow.

use std::time::Duration;

use chat_testkit::mongod::Mongod;

use crate::workload::{Writers, check, open, room};

const DATABASE: &str = "chat";

/// Entries to wait for before and after each fault.
const SOME: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_that_is_killed_and_restarted_loses_nothing_that_was_acknowledged() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let rooms = [room(&store).await, room(&store).await, room(&store).await];
    let writers = Writers::start(&[store.clone(), open(&server.uri(), DATABASE).await], &rooms);
    for _ in 0..3 {
        writers.progress(SOME).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.restart().await;
    }
    let wait = writers.progress(SOME).await;
    let seen = writers.finish().await;
    println!("after the last restart {SOME} entries were acknowledged within {wait:?}; {}", seen.summary());
    check(&server.uri(), DATABASE, &rooms, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_that_is_paused_answers_late_and_loses_nothing() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let rooms = [room(&store).await, room(&store).await];
    let writers = Writers::start(&[store.clone(), open(&server.uri(), DATABASE).await], &rooms);
    for pause in [500, 6_000] {
        writers.progress(SOME).await;
        server.pause();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        server.resume();
    }
    writers.progress(SOME).await;
    let seen = writers.finish().await;
    assert!(seen.unavailable + seen.unknown > 0, "nobody waits for ever: {}", seen.summary());
    check(&server.uri(), DATABASE, &rooms, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mongodb_every_append_is_refused_at_once_until_it_is_back() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let rooms = [room(&store).await];
    let writers = Writers::start(std::slice::from_ref(&store), &rooms);
    writers.progress(SOME).await;
    server.kill();
    let began = tokio::time::Instant::now();
    while store.is_answering() {
        assert!(began.elapsed() < Duration::from_secs(10), "the store notices");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let began = tokio::time::Instant::now();
    use chat_core::port::RoomStore as _;
    for _ in 0..20 {
        let error = store.conversation(rooms[0]).await.expect_err("there is no server");
        assert_eq!(error.retry(), chat_core::error::Retry::Safe, "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for a server that is not there");
    server.restart().await;
    writers.progress(SOME).await;
    assert!(store.is_answering());
    let seen = writers.finish().await;
    check(&server.uri(), DATABASE, &rooms, &seen).await;
}
