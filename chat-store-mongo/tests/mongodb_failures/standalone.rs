//! One server: killed, restarted, paused while messages flow.

use std::time::Duration;

use chat_core::error::Retry;
use chat_core::id::UserId;
use chat_core::port::{Append, MembershipPage, RoomStore as _};
use chat_testkit::mongod::Mongod;
use mongodb::bson::doc;
use tokio::time::Instant;

use crate::workload::{PATIENCE, Writers, check, draft, head_at, numbers, open, room, room_of, rows_of};

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
async fn of_an_append_that_a_paused_mongodb_has_nobody_says_that_nothing_was_stored() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let room = room(&store).await;
    // So that there is a connection, and the head is known: the next append is one insert.
    let first = store.append(room, head_at(1), vec![draft("before the pause")]).await.unwrap();
    assert!(matches!(first, Append::Done(_)), "{first:?}");

    server.pause();
    // The driver gives the server up, and with it the insert that waits there.
    let outcome = store.append(room, head_at(2), vec![draft("into the pause")]).await;
    server.resume();
    let error = outcome.expect_err("nobody answers");
    assert_eq!(error.retry(), Retry::OutcomeUnknown, "{error}");
    let began = Instant::now();
    while numbers(&rows_of(&server.uri(), DATABASE, room).await) != [1, 2, 3] {
        assert!(began.elapsed() < PATIENCE, "the server executes what it was sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mongodb_every_append_is_refused_at_once_until_it_is_back() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let rooms = [room(&store).await];
    let writers = Writers::start(std::slice::from_ref(&store), &rooms);
    writers.progress(SOME).await;
    server.kill();
    let began = Instant::now();
    while store.is_answering() {
        assert!(began.elapsed() < Duration::from_secs(10), "the store notices");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    for _ in 0..20 {
        let error = store.conversation(rooms[0]).await.expect_err("there is no server");
        assert_eq!(error.retry(), Retry::Safe, "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for a server that is not there");
    server.restart().await;
    writers.progress(SOME).await;
    assert!(store.is_answering());
    let seen = writers.finish().await;
    check(&server.uri(), DATABASE, &rooms, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_mongodb_has_in_memory_and_not_on_its_disk_is_not_acknowledged() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let owner = UserId::generate();
    let room = room_of(&store, owner).await;
    // The disk does not answer: nobody who waits for it goes on, and the server writes to it for nobody else.
    for fail_point in ["pauseJournalFlusherThread", "hangBeforeWaitingForWriteConcern"] {
        server.run_command(doc! { "configureFailPoint": fail_point, "mode": "alwaysOn" }).await.unwrap();
    }
    let began = Instant::now();
    let list = async {
        while numbers(&rows_of(&server.uri(), DATABASE, room).await) != [1, 2] {
            assert!(began.elapsed() < PATIENCE, "everybody can read it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let page = MembershipPage { rooms: true, after: None, limit: 10 };
        tokio::join!(store.standings(owner, None, 10), store.my_conversations(owner, page))
    };
    let append = store.append(room, head_at(1), vec![draft("in memory")]);
    let (outcome, (standings, mine)) = tokio::join!(append, list);
    let found = store.conversation(room).await;
    let error = outcome.expect_err("a power cut would lose it");
    assert_eq!(error.retry(), Retry::OutcomeUnknown, "{error}");
    assert!(found.is_err(), "nor does anybody number after it: {found:?}");
    assert!(standings.is_err() && mine.is_err(), "nor is anybody told of it: {standings:?} {mine:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_that_changes_its_role_is_not_taken_for_one_that_is_not_there() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let room = room(&store).await;
    let stepped_down = doc! { "code": 189, "errmsg": "the primary stepped down while it waited" };
    let insert = doc! { "failCommands": ["insert"], "writeConcernError": stepped_down };
    server.fail_command(doc! { "times": 1 }, insert).await;
    let outcome = store.append(room, head_at(1), vec![draft("in an election")]).await;
    assert!(matches!(outcome, Ok(Append::Done(_))), "{outcome:?}");
    assert!(store.is_answering());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_that_refuses_writes_is_read_after_it_was_gone() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let room = room(&store).await;
    // As services do that are full: they take no write, and every read.
    let update = doc! { "failCommands": ["update"], "errorCode": 8_000 };
    server.fail_command("alwaysOn", update).await;
    server.pause();
    let began = Instant::now();
    while store.is_answering() {
        let _late = store.member(room, UserId::generate()).await;
        assert!(began.elapsed() < PATIENCE, "the store notices");
    }
    server.resume();
    while let Err(error) = store.member(room, UserId::generate()).await {
        assert!(began.elapsed() < PATIENCE, "reads are still refused: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(store.is_answering());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_takes_mongodb_too_long_disturbs_nobody_else() {
    let server = Mongod::start().await;
    let store = open(&server.uri(), DATABASE).await;
    let room = room(&store).await;
    let hanging = doc! { "nss": format!("{DATABASE}.members"), "shouldCheckForInterrupt": true };
    let hang = |mode: &str| doc! { "configureFailPoint": "waitInFindBeforeMakingBatch", "mode": mode, "data": &hanging };
    server.run_command(hang("alwaysOn")).await.unwrap();
    let slow = store.member(room, UserId::generate());
    let meanwhile = async {
        let mut answers = 0;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(6) {
            store.conversation(room).await.unwrap();
            answers += 1;
        }
        answers
    };
    let (slow, answers) = tokio::join!(slow, meanwhile);
    server.run_command(hang("off")).await.unwrap();
    let error = slow.expect_err("the server gives it up");
    assert_eq!(error.retry(), Retry::Safe, "{error}");
    assert!(answers > 100, "{answers} answers in six seconds");
    store.member(room, UserId::generate()).await.unwrap();
}
