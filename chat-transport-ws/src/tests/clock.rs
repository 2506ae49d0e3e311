//! Deadlines, on time that only passes when everybody waits.

use std::time::Duration;

use chat_core::hub::DisconnectReason;
use tokio::time::{Instant, advance, sleep};

use crate::Config;
use crate::tests::Piped;
use crate::tests::raw::{PING, PONG, TEXT, frame};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_client_is_pinged_every_25_seconds_and_its_pongs_keep_it() {
    let mut piped = Piped::default();
    let begin = Instant::now();
    for round in 1..=5 {
        assert_eq!(piped.client.next().await, Some((PING, vec![])));
        assert_eq!(begin.elapsed().as_secs(), 25 * round);
        piped.client.send(frame(PONG, b"")).await;
    }
    assert!(!piped.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn sec_10_a_client_that_answers_no_ping_is_gone_after_35_seconds() {
    let piped = Piped::default();
    let begin = Instant::now();
    assert_eq!(piped.served.await.unwrap(), DisconnectReason::PingTimeout);
    assert_eq!(begin.elapsed().as_secs(), 35);
    assert_eq!(piped.engine.ended(), Some(DisconnectReason::PingTimeout));
}

#[tokio::test(start_paused = true)]
async fn any_traffic_after_a_ping_proves_that_the_client_is_there() {
    let mut piped = Piped::default();
    for _ in 0..4 {
        piped.client.send_text("before").await;
        while piped.client.next().await != Some((PING, vec![])) {}
        advance(seconds(9)).await;
        piped.client.send_text("after").await;
        piped.engine.hear(1).await;
    }
    assert!(!piped.served.is_finished());
    piped.client.send_text("before the ping does not count").await;
    while piped.client.next().await != Some((PING, vec![])) {}
    assert_eq!(piped.reason().await, DisconnectReason::PingTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_blamed_for_silence_while_nothing_is_read_from_it() {
    let mut piped = Piped::default();
    piped.engine.set_full(true);
    piped.client.send_text("waits").await;
    sleep(seconds(100)).await;
    assert!(!piped.served.is_finished());
    piped.engine.set_full(false);
    assert_eq!(piped.engine.hear(1).await, ["waits"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_signed_in_after_300_seconds_closes_with_4401() {
    let mut piped = Piped::new(Config { ping_interval: Duration::ZERO, ..Config::default() }, 1_024);
    let begin = Instant::now();
    assert_eq!(piped.client.expect_close().await, (4401, "missing".to_owned()));
    assert_eq!(begin.elapsed().as_secs(), 300);
    assert_eq!(piped.engine.ended(), Some(DisconnectReason::NotAuthenticated));
}

#[tokio::test(start_paused = true)]
async fn signing_in_ends_the_wait_and_signing_out_begins_it_anew() {
    let mut piped = Piped::new(Config { ping_interval: Duration::ZERO, ..Config::default() }, 1_024);
    sleep(seconds(299)).await;
    piped.engine.set_authenticated(true);
    sleep(seconds(10_000)).await;
    assert!(!piped.served.is_finished());
    let begin = Instant::now();
    piped.engine.set_authenticated(false);
    assert_eq!(piped.client.expect_close().await.0, 4401);
    assert_eq!(begin.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn slow_client_is_closed_with_4408_after_10_seconds_without_progress() {
    let mut piped = Piped::new(Config::default(), 1_000);
    for number in 0..200 {
        piped.engine.give(format!("{number:01000}"));
    }
    let begin = Instant::now();
    sleep(Duration::from_millis(10_500)).await;
    assert_eq!(piped.engine.ended(), Some(DisconnectReason::TooSlow));
    // A client that wakes up finds whole frames, in order, and then the reason.
    let mut expected = 0;
    loop {
        let (first, payload) = piped.client.next().await.unwrap();
        if first != TEXT {
            assert_eq!(payload[..2], 4408_u16.to_be_bytes());
            break;
        }
        assert_eq!(String::from_utf8(payload).unwrap(), format!("{expected:01000}"));
        expected += 1;
    }
    assert!((60..100).contains(&expected), "one batch was taken, not all: {expected}");
    assert_eq!(piped.engine.queued(), 200 - expected);
    drop(piped.client);
    assert_eq!(piped.served.await.unwrap(), DisconnectReason::TooSlow);
    assert!(begin.elapsed() < seconds(13));
}

#[tokio::test(start_paused = true)]
async fn sec_53_a_client_that_never_reads_is_dropped_with_its_buffers() {
    let piped = Piped::new(Config::default(), 1_000);
    piped.engine.give("x".repeat(190_000));
    let begin = Instant::now();
    assert_eq!(piped.served.await.unwrap(), DisconnectReason::TooSlow);
    assert_eq!(begin.elapsed().as_secs(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_but_steadily_stays() {
    use tokio::io::AsyncReadExt;
    let mut piped = Piped::new(Config { ping_interval: Duration::ZERO, ..Config::default() }, 1_000);
    piped.engine.give("x".repeat(60_000));
    let mut part = [0; 1_000];
    for _ in 0..50 {
        sleep(seconds(5)).await;
        piped.client.stream.read_exact(&mut part).await.unwrap();
    }
    assert!(!piped.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_cannot_leave_is_not_held_against_the_client() {
    let mut piped = Piped::new(Config { write_timeout: Duration::ZERO, ..Config::default() }, 1_000);
    piped.engine.give("x".repeat(60_000));
    sleep(seconds(200)).await;
    assert!(!piped.served.is_finished());
    assert_eq!(piped.client.next().await.unwrap().1.len(), 60_000);
    assert_eq!(piped.client.next().await, Some((PING, vec![])));
}

#[tokio::test(start_paused = true)]
async fn every_deadline_can_be_turned_off() {
    let piped = Piped::new(
        Config {
            ping_interval: Duration::ZERO,
            write_timeout: Duration::ZERO,
            authentication_timeout: Duration::ZERO,
            ..Config::default()
        },
        1_000,
    );
    piped.engine.give("x".repeat(60_000));
    sleep(seconds(1_000_000)).await;
    assert!(!piped.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn stopping_sends_what_is_queued_and_closes_with_1001_but_waits_for_nobody() {
    let mut piped = Piped::default();
    piped.engine.give("queued");
    piped.stopping.cancel();
    piped.client.expect_text("queued").await;
    assert_eq!(piped.client.expect_close().await, (1001, "shutting down".to_owned()));

    let stuck = Piped::new(Config { ping_interval: Duration::ZERO, ..Config::default() }, 1_000);
    stuck.engine.give("x".repeat(60_000));
    let begin = Instant::now();
    stuck.stopping.cancel();
    assert!(matches!(stuck.reason().await, DisconnectReason::Shutdown | DisconnectReason::TooSlow));
    assert_eq!(begin.elapsed().as_secs(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_the_close_is_not_waited_for() {
    let mut piped = Piped::default();
    piped.engine.end(DisconnectReason::SessionEnded);
    let begin = Instant::now();
    assert_eq!(piped.client.expect_close().await, (4401, "ended".to_owned()));
    assert_eq!(piped.served.await.unwrap(), DisconnectReason::SessionEnded);
    assert_eq!(begin.elapsed().as_secs(), 2);
}
