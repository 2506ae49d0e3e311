//! The HTTP side: two listeners, what they answer, and TLS.
//!
//! What a WebSocket connection does once it is one belongs to the transport.

pub(crate) mod admin;
pub(crate) mod hosts;
pub(crate) mod listener;
mod proxy;
pub(crate) mod public;
pub(crate) mod tls;
