//! One connection: a single task that reads requests, writes frames and watches the
//! clock. No branch waits for a send, so a client that does not read is still heard.
//!
//! What a request means, and which frames there are, is the engine's business.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;

use chat_core::hub::{DisconnectReason, Frame};
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::deadlines::{Deadlines, Due, Situation};
use crate::session::{Frames, Requests};
use crate::telemetry::Open;
use crate::wire::Wire;
use crate::{Config, Seat, Transport};

/// Serves one connection over `stream` until it ends, and closes it. A panic in the engine ends only this
/// connection.
pub(crate) fn serve<S, I, O>(
    transport: Transport,
    stream: S,
    session: (I, O),
    seat: Seat,
    stopping: CancellationToken,
) -> impl Future<Output = DisconnectReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
    I: Requests,
    O: Frames,
{
    let address = seat.address().map(tracing::field::display);
    let span = tracing::info_span!("connection", connection_id = %session.0.id(), address);
    serve_in_span(transport, stream, session, seat, stopping).instrument(span)
}

async fn serve_in_span<S, I, O>(
    transport: Transport,
    stream: S,
    session: (I, O),
    seat: Seat,
    stopping: CancellationToken,
) -> DisconnectReason
where
    S: AsyncRead + AsyncWrite + Unpin,
    I: Requests,
    O: Frames,
{
    let open = Open::count(transport.telemetry());
    let mut wire = Wire::new(stream, transport.config());
    let (inbound, outbound) = session;
    let mut connection = Connection {
        deadlines: Deadlines::new(transport.config(), Instant::now()),
        transport: &transport,
        inbound,
        outbound,
        seat: &seat,
        authenticated: false,
    };
    let ended = AssertUnwindSafe(connection.run(&mut wire, stopping)).catch_unwind().await;
    let reason = ended.unwrap_or(DisconnectReason::Panic);
    if reason != DisconnectReason::Panic {
        connection.inbound.disconnect(reason);
    }
    drop(connection);
    open.ended(reason);
    close(&mut wire, reason, transport.config()).await;
    reason
}

/// Tells the client why, and waits a moment for it to have read that.
async fn close<S>(wire: &mut Wire<S>, reason: DisconnectReason, config: &Config)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(code) = reason.close_code() {
        wire.push_close(code, reason.close_text());
    }
    if wire.has_output() && !wire.is_broken() {
        // Whether the client was told in time changes nothing any more.
        let _ = time::timeout(config.close_timeout, wire.finish()).await;
    }
}

struct Connection<'a, I, O> {
    transport: &'a Transport,
    inbound: I,
    outbound: O,
    seat: &'a Seat,
    authenticated: bool,
    deadlines: Deadlines,
}

impl<I: Requests, O: Frames> Connection<'_, I, O> {
    async fn run<S>(&mut self, wire: &mut Wire<S>, stopping: CancellationToken) -> DisconnectReason
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let now = Instant::now();
        self.seat.wait_for_authentication();
        self.deadlines.set_authenticated(false, now);
        let mut stopped = false;
        let mut batch = Vec::new();
        // One timer for all deadlines, moved only to earlier points in time: it may fire for nothing.
        let mut timer = pin!(time::sleep_until(now));
        let mut stop = pin!(stopping.cancelled());
        loop {
            if let Err(reason) = self.take_requests(wire) {
                return reason;
            }
            self.note_authentication();
            if let Some(deadline) = self.deadlines.next(wire.blocked_since())
                && (timer.is_elapsed() || deadline < timer.deadline())
            {
                timer.as_mut().reset(deadline);
            }
            let reading = self.inbound.has_room();
            tokio::select! {
                result = poll_fn(|cx| wire.poll(cx, reading)) => if result.is_err() {
                    return DisconnectReason::ClientLeft;
                },
                result = self.outbound.frames(&mut batch, self.transport.config().write_bytes),
                    if !wire.has_output() =>
                {
                    if let Err(reason) = self.send(wire, &mut batch, result).await {
                        return reason;
                    }
                }
                () = self.inbound.room(), if !reading => {}
                () = &mut timer, if !timer.is_elapsed() => if let Some(reason) = self.look_at_clock(wire) {
                    return reason;
                },
                () = self.seat.evicted(), if !self.authenticated => return DisconnectReason::TooManyConnections,
                () = &mut stop, if !stopped => {
                    stopped = true;
                    self.inbound.disconnect(DisconnectReason::Shutdown);
                    self.deadlines.stop(Instant::now());
                }
            }
        }
    }

    /// Hands the messages that were read to the engine, while it takes them.
    fn take_requests<S>(&mut self, wire: &mut Wire<S>) -> Result<(), DisconnectReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while self.inbound.has_room() {
            match wire.next_message()? {
                Some(text) => self.inbound.accept(&text),
                None => break,
            }
        }
        Ok(())
    }

    /// Gives what was ready to the socket with one write. What it does not take at once stays in the wire.
    async fn send<S>(
        &mut self,
        wire: &mut Wire<S>,
        batch: &mut Vec<Frame>,
        result: Result<(), DisconnectReason>,
    ) -> Result<(), DisconnectReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let bytes = wire.push(batch);
        self.transport.telemetry().sent(batch.len(), bytes);
        *batch = Vec::new();
        result?;
        let written = poll_fn(|cx| Poll::Ready(wire.poll_flush(cx))).await;
        match written {
            Poll::Ready(Err(_)) => Err(DisconnectReason::ClientLeft),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn note_authentication(&mut self) {
        let authenticated = self.inbound.is_authenticated();
        if authenticated == self.authenticated {
            return;
        }
        self.authenticated = authenticated;
        self.deadlines.set_authenticated(authenticated, Instant::now());
        if authenticated {
            self.seat.authenticated();
        } else {
            self.seat.wait_for_authentication();
        }
    }

    /// Does what is due; a reason if the connection has to end.
    fn look_at_clock<S>(&mut self, wire: &mut Wire<S>) -> Option<DisconnectReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let situation = Situation {
            now: Instant::now(),
            blocked_since: wire.blocked_since(),
            heard: wire.was_heard(),
            deaf: wire.has_output() || !self.inbound.has_room(),
        };
        match self.deadlines.due(situation) {
            Due::Nothing => None,
            Due::End(reason) => Some(reason),
            Due::Ping => {
                wire.push_ping();
                None
            }
        }
    }
}
