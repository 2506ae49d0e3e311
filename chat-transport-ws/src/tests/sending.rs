//! What leaves: in order, whole, many frames with one write, and nothing kept in memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use chat_core::hub::DisconnectReason;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::tests::engine::Engine;
use crate::tests::raw::{PING, PONG, Raw, TEXT, frame};
use crate::tests::{Piped, serve};
use crate::{Config, Transport, connection};

/// Counts the writes to a pipe.
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn all_frames_that_are_ready_leave_with_one_write() {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (writes, engine) = (Arc::new(AtomicUsize::new(0)), Engine::new());
    for number in 0..500 {
        engine.give(format!("{number:0100}"));
    }
    let _served =
        serve(Config::default(), Counted(server, Arc::clone(&writes)), &engine, CancellationToken::new());
    let mut client = Raw::new(client);
    for number in 0..500 {
        client.expect_text(&format!("{number:0100}")).await;
    }
    assert_eq!(writes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn frames_of_every_length_arrive_whole_and_in_order() {
    let mut piped = Piped::new(Config::default(), 700);
    let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 196_608, 3];
    for length in lengths {
        piped.engine.give("ä".repeat(length / 2) + &"x".repeat(length % 2));
    }
    for length in lengths {
        let (first, payload) = piped.client.next().await.unwrap();
        assert_eq!((first, payload.len()), (TEXT, length));
        assert!(std::str::from_utf8(&payload).is_ok());
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_still_heard() {
    let mut piped = Piped::new(Config::default(), 1_000);
    piped.engine.give("x".repeat(60_000));
    for number in 0..10 {
        piped.client.send_text(format!("request {number}")).await;
    }
    assert_eq!(piped.engine.hear(10).await.len(), 10);
}

#[tokio::test]
async fn requests_wait_in_the_socket_while_the_engine_has_no_room() {
    let mut piped = Piped::default();
    piped.engine.set_full(true);
    let sent: Vec<_> = (0..300).map(|number| format!("{number}-{}", "x".repeat(number))).collect();
    for text in &sent {
        piped.client.send_text(text).await;
    }
    piped.engine.give("has looked");
    piped.client.expect_text("has looked").await;
    assert!(piped.engine.heard().is_empty());
    piped.engine.set_full(false);
    assert_eq!(piped.engine.hear(300).await, sent);
}

#[tokio::test]
async fn sec_53_pongs_that_are_not_read_do_not_pile_up() {
    let (client, server) = tokio::io::duplex(1_000);
    let engine = Engine::new();
    let config = Config { ping_interval: std::time::Duration::ZERO, ..Config::default() };
    let _served = serve(config, server, &engine, CancellationToken::new());
    let mut client = Raw::new(client);
    let ping = frame(PING, [7; 125]);
    let mut sent = 0;
    // Once a quarter of a megabyte is unsent, the server stops reading and the pipe fills up.
    while tokio::time::timeout(std::time::Duration::from_millis(200), client.send(&ping)).await.is_ok() {
        sent += ping.len();
        assert!(sent < 400_000, "the server takes pings without end");
    }
    assert!(sent > 250_000);
    assert_eq!(client.next().await, Some((PONG, vec![7; 125])));
}

#[tokio::test]
async fn sec_49_a_panic_ends_only_its_connection() {
    let (mut bad, mut good) = (Piped::default(), Piped::default());
    bad.client.send_text("panic").await;
    assert_eq!(bad.client.expect_close().await, (1011, "internal error".to_owned()));
    drop(bad.client);
    assert_eq!(bad.served.await.unwrap(), DisconnectReason::Panic);
    good.client.send_text("still here").await;
    good.client.expect_text("still here").await;
}

#[tokio::test]
async fn the_engine_ends_a_connection_after_what_is_queued_with_its_code_and_text() {
    use DisconnectReason::{
        Binary, ClientLeft, Flood, InvalidUtf8, NodeCutOff, NotAuthenticated, Panic, PingTimeout,
        ProtocolError, SessionEnded, Shutdown, TokenExpired, TooBig, TooManyConnections, TooSlow, Unreadable,
    };
    for reason in [
        Shutdown,
        ProtocolError,
        Binary,
        InvalidUtf8,
        TooBig,
        Panic,
        Unreadable,
        TokenExpired,
        SessionEnded,
        NotAuthenticated,
        TooSlow,
        Flood,
        TooManyConnections,
        NodeCutOff,
    ] {
        let mut piped = Piped::default();
        piped.engine.give("queued");
        piped.engine.end(reason);
        piped.client.expect_text("queued").await;
        let told = piped.client.expect_close().await;
        assert_eq!(told, (reason.close_code().unwrap(), reason.close_text().to_owned()));
        assert_eq!(piped.client.next().await, None, "the stream ends after the close frame");
        drop(piped.client);
        assert_eq!(piped.served.await.unwrap(), reason);
    }
    for reason in [ClientLeft, PingTimeout] {
        let mut piped = Piped::default();
        piped.engine.end(reason);
        assert_eq!(piped.client.next().await, None, "{reason:?}");
    }
}

#[test]
fn sec_54_an_idle_connection_is_small() {
    let (_client, server) = tokio::io::duplex(1);
    let transport = Transport::new(Config::default());
    let seat = transport.gate().seat(None).unwrap();
    let served =
        connection::serve(transport, server, Engine::new().session(), seat, CancellationToken::new());
    let bytes = size_of_val(&served);
    assert!(bytes < 2_048, "the task of a connection takes {bytes} bytes");
}
