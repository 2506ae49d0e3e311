//! The WebSocket transport: from an accepted socket, or from an HTTP server's upgraded
//! connection, to the engine in `chat-core` and back.
//!
//! Embedders without an HTTP server call [`serve`]. Those with one keep a [`Transport`],
//! answer an upgrade with what [`Transport::upgrade`] says, and give the upgraded stream to
//! [`Transport::run`]. TLS, HTTP and configuration files do not live here, and neither does
//! any knowledge of rooms, stores or actions.
//!
//! ```no_run
//! # async fn example(chat: chat_core::Chat) -> std::io::Result<()> {
//! use chat_transport_ws::{Config, serve};
//!
//! // `chat` is what `Chat::builder()` made.
//! let config = Config { connections: 10_000, ..Config::default() };
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:2346").await?;
//! let shutdown = std::future::pending();
//! serve(listener, chat, config, shutdown).await;
//! # Ok(())
//! # }
//! ```

mod address;
mod config;
mod connection;
mod deadlines;
mod decoder;
mod fragments;
mod handshake;
mod limits;
mod listener;
mod origin;
mod session;
mod telemetry;
#[cfg(test)]
mod tests;
mod wire;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use chat_core::hub::DisconnectReason;
use chat_core::{Chat, Peer};
use http::header::ORIGIN;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub use address::{InvalidNetwork, TrustedProxies};
pub use config::Config;
pub use handshake::{Rejection, SUBPROTOCOL, check_upgrade, wants_upgrade};
pub use limits::{Gate, Permit, Seat, TooMany};
pub use listener::serve;
pub use origin::{InvalidOrigin, Origin, Origins};

/// What all connections of a server share: settings, counts and numbers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transport(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    gate: Gate,
    telemetry: telemetry::Telemetry,
}

impl Transport {
    /// A transport with these settings. Install a metrics recorder before this.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let gate = Gate::new(&config);
        Self(Arc::new(Shared { config, gate, telemetry: telemetry::Telemetry::new() }))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The counts, for connections that were not accepted with [`accept`](Self::accept).
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Waits for the next socket that may be served, with its options set. Survives errors of accept, and drops
    /// sockets from addresses that have too many. Cancel safe.
    pub async fn accept(&self, listener: &TcpListener) -> (TcpStream, Seat) {
        listener::accept(self, listener).await
    }

    /// What to answer to a request on the connection of `seat`: 101, after which the stream belongs to
    /// [`run`](Self::run). `peer` is the other end of the socket. Counts the connection for the client's address;
    /// a web page in a browser on this machine counts for 0.0.0.0.
    ///
    /// # Errors
    /// Why it may not become a WebSocket; answer [`Rejection::response`].
    pub fn upgrade<T>(
        &self,
        seat: &Seat,
        peer: Option<IpAddr>,
        request: &Request<T>,
    ) -> Result<Response<()>, Rejection> {
        let client = peer.map(|peer| self.config().trusted_proxies.client(peer, request.headers()));
        let client = client.map(|client| limited(client, request.headers()));
        let checked = check_upgrade(request, &self.config().origins).and_then(|response| {
            client.map_or(Ok(()), |client| seat.assign(client))?;
            Ok(response)
        });
        checked.map_err(telemetry::rejected)
    }

    /// Serves one connection, whose handshake is done, until it ends; answers why it did. When `stopping` is
    /// cancelled it is closed with 1001, after what is queued was sent.
    pub async fn run<S>(
        self,
        stream: S,
        chat: Chat,
        seat: Seat,
        stopping: CancellationToken,
    ) -> DisconnectReason
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let session = chat.connect(Peer { address: seat.address() });
        drop(chat);
        connection::serve(self, stream, session, seat, stopping).await
    }

    fn telemetry(&self) -> &telemetry::Telemetry {
        &self.0.telemetry
    }
}

/// Whom a connection counts for. Programs on this machine are exempt from limits by address, web pages in its
/// browsers are not, whoever may have written them: those count as the unspecified address.
fn limited(client: IpAddr, headers: &HeaderMap) -> IpAddr {
    let is_page = headers.contains_key(ORIGIN);
    if is_page && client.is_loopback() { Ipv4Addr::UNSPECIFIED.into() } else { client }
}
