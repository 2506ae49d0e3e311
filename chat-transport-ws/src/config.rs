//! The settings of the transport, each with its default. Where they are read from is
//! the embedder's business.

use std::time::Duration;

use chat_core::limits::hard;

use crate::{Origins, TrustedProxies};

/// The settings of a transport. A count or a duration of 0 turns that limit off.
#[derive(Debug, Clone)]
pub struct Config {
    /// Time from accepting a socket to the end of its request head.
    pub handshake_timeout: Duration,
    /// Bytes of a request head that the plain listener reads. Cannot be turned off.
    pub head_bytes: usize,
    /// Header fields that the plain listener reads. Cannot be turned off.
    pub head_fields: usize,
    /// Time that a connection may stay without anybody signed in.
    pub authentication_timeout: Duration,
    /// How often a ping is sent.
    pub ping_interval: Duration,
    /// Time after a ping in which the client must send something.
    pub pong_timeout: Duration,
    /// Time that a write may go without progress.
    pub write_timeout: Duration,
    /// Time for the close frame to leave and for the client to answer it. Cannot be turned off.
    pub close_timeout: Duration,
    /// Time that sent bytes may stay unacknowledged by the client's kernel.
    pub tcp_user_timeout: Duration,
    /// Bytes of an incoming frame, and of a message in all its fragments. Cannot be turned off, and cannot be
    /// above [`hard::FRAME_BYTES`].
    pub message_bytes: usize,
    /// Fragments of an incoming message.
    pub message_fragments: usize,
    /// Bytes of frames that are sent with one write; a single frame may be larger.
    pub write_bytes: usize,
    /// Sockets open at once, those in their handshake included. At the limit no more are accepted until one ends.
    pub connections: usize,
    /// Connections at once on which nobody is signed in; for one more the oldest is closed.
    pub unauthenticated_connections: usize,
    /// Sockets open at once from one IPv4 address or one IPv6 network of 64 bits; loopback is exempt.
    pub address_connections: usize,
    /// Web pages of other hosts that may connect.
    pub origins: Origins,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            head_bytes: 8 * 1_024,
            head_fields: 64,
            authentication_timeout: Duration::from_secs(300),
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            tcp_user_timeout: Duration::from_secs(20),
            message_bytes: hard::FRAME_BYTES,
            message_fragments: 64,
            write_bytes: 64 * 1_024,
            connections: 100_000,
            unauthenticated_connections: 1_000,
            address_connections: 1_024,
            origins: Origins::default(),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}
