//! The numbers that the transport counts. Which recorder takes them is the embedder's
//! business; without one they cost nothing.

use chat_core::hub::DisconnectReason;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::Rejection;

/// Handles that are looked up once, not per frame.
#[derive(Debug)]
pub(crate) struct Telemetry {
    open: Gauge,
    frames: Counter,
    bytes: Counter,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        describe_gauge!("chat_connections", "Open WebSocket connections.");
        describe_counter!("chat_frames_sent_total", "Text frames given to sockets.");
        describe_counter!(
            "chat_bytes_sent_total",
            "Bytes of text frames given to sockets, with their headers."
        );
        describe_counter!("chat_disconnects_total", "Ended WebSocket connections by reason.");
        describe_counter!("chat_handshake_rejections_total", "Refused handshakes by reason.");
        describe_counter!("chat_accept_errors_total", "Errors of accept, such as too many open files.");
        // A counter that is missing until its first event hides that event from alarms on its increase.
        counter!("chat_accept_errors_total").increment(0);
        for reason in DisconnectReason::ALL {
            counter!("chat_disconnects_total", "reason" => reason.label()).increment(0);
        }
        Self {
            open: gauge!("chat_connections"),
            frames: counter!("chat_frames_sent_total"),
            bytes: counter!("chat_bytes_sent_total"),
        }
    }

    pub(crate) fn sent(&self, frames: usize, bytes: usize) {
        self.frames.increment(frames as u64);
        self.bytes.increment(bytes as u64);
    }
}

/// One open connection in the gauge.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Open {
    pub(crate) fn count(telemetry: &Telemetry) -> Self {
        telemetry.open.increment(1.0);
        Self(telemetry.open.clone())
    }

    pub(crate) fn ended(self, reason: DisconnectReason) {
        counter!("chat_disconnects_total", "reason" => reason.label()).increment(1);
        tracing::debug!(reason = reason.label(), "connection ended");
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

pub(crate) fn rejected(rejection: Rejection) -> Rejection {
    counter!("chat_handshake_rejections_total", "reason" => rejection.label()).increment(1);
    tracing::debug!(reason = rejection.label(), "handshake refused");
    rejection
}

pub(crate) fn accept_failed(error: &std::io::Error) {
    counter!("chat_accept_errors_total").increment(1);
    tracing::warn!(%error, "accept failed");
}
