//! The chat engine.

use std::net::IpAddr;
use std::time::Duration;

use crate::hub::{DisconnectReason, Frame};
use crate::limits::Limits;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peer {
    /// The client's address, after trusted proxies; `None` for connections from the same process.
    pub address: Option<IpAddr>,
}

/// The chat engine: cheap to clone, one per process.
#[derive(Debug, Clone)]
pub struct Chat {}

impl Chat {
    /// A new connection that nobody has signed in on. Its first frame is the greeting.
    #[must_use]
    pub fn connect(&self, _peer: Peer) -> (Inbound, Outbound) {
        (Inbound {}, Outbound {})
    }

    /// The limits that hold here.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        unreachable!()
    }

    /// Closes every connection with 1001 and waits until what was accepted is answered, for at most `deadline`.
    /// Answers whether all of it was.
    pub async fn shutdown(&self, _deadline: Duration) -> bool {
        true
    }
}

/// The half of a connection that takes requests. Dropping it ends the connection.
#[derive(Debug)]
pub struct Inbound {}

impl Inbound {
    /// Takes one text frame. Returns at once; the reply comes out of the [`Outbound`].
    pub fn accept(&mut self, _text: &str) {}

    /// Whether another frame may be taken now. A transport stops reading while it may not.
    #[must_use]
    pub fn has_room(&self) -> bool {
        true
    }

    /// Waits until another frame may be taken. Cancel safe.
    pub async fn room(&self) {}

    /// Whether somebody is signed in.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        false
    }

    /// Ends the connection for `reason`, unless it has ended for another; what was queued before is still sent.
    pub fn disconnect(&self, _reason: DisconnectReason) {}
}

/// The half of a connection that gives frames to send.
#[derive(Debug)]
pub struct Outbound {}

impl Outbound {
    /// Waits for frames and moves those that are ready into `batch`, up to about `max_bytes` (at least one
    /// frame). Send them with one write. Cancel safe: nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// The connection has ended, for this reason, and every frame before that was given out.
    pub async fn frames(
        &mut self,
        _batch: &mut Vec<Frame>,
        _max_bytes: usize,
    ) -> Result<(), DisconnectReason> {
        std::future::pending().await
    }
}
