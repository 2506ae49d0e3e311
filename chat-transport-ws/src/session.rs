//! What the connection loop needs of the engine. The engine's two halves are the only
//! implementation outside of tests.

use std::future::Future;

use chat_core::hub::{ConnectionId, DisconnectReason, Frame};
use chat_core::{Inbound, Outbound};

/// Takes requests; see [`Inbound`].
pub(crate) trait Requests: Send + Sync {
    fn id(&self) -> ConnectionId;
    fn accept(&mut self, text: &str);
    fn has_room(&self) -> bool;
    fn room(&self) -> impl Future<Output = ()> + Send;
    fn is_authenticated(&self) -> bool;
    fn disconnect(&self, reason: DisconnectReason);
}

/// Gives frames to send; see [`Outbound`].
pub(crate) trait Frames: Send {
    fn frames(
        &mut self,
        batch: &mut Vec<Frame>,
        max_bytes: usize,
    ) -> impl Future<Output = Result<(), DisconnectReason>> + Send;
}

impl Requests for Inbound {
    fn id(&self) -> ConnectionId {
        Self::id(self)
    }

    fn accept(&mut self, text: &str) {
        Self::accept(self, text);
    }

    fn has_room(&self) -> bool {
        Self::has_room(self)
    }

    fn room(&self) -> impl Future<Output = ()> + Send {
        Self::room(self)
    }

    fn is_authenticated(&self) -> bool {
        Self::is_authenticated(self)
    }

    fn disconnect(&self, reason: DisconnectReason) {
        Self::disconnect(self, reason);
    }
}

impl Frames for Outbound {
    fn frames(
        &mut self,
        batch: &mut Vec<Frame>,
        max_bytes: usize,
    ) -> impl Future<Output = Result<(), DisconnectReason>> + Send {
        Self::frames(self, batch, max_bytes)
    }
}
