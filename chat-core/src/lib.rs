//! The chat engine: domain, wire protocol, ports and everything between them.

#[cfg(feature = "password")]
pub mod auth;
pub mod chat;
pub mod domain;
pub mod error;
pub mod hub;
pub mod id;
pub mod limits;
#[cfg(feature = "memory")]
pub mod memory;
pub mod port;
pub mod protocol;
pub mod time;

pub use chat::{Chat, ChatBuilder, Inbound, Outbound, Peer};
