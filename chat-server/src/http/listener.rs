//! Accepts sockets and speaks HTTP/1.1 on them within bounds: how many, how long
//! for a handshake, how large the headers. Says nothing about what is answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use chat_transport_ws::{Rejection, Seat, Transport};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::exit::{Code, Failure};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4_096;

/// How a request came here. Every request carries it as an extension.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// The other end of the socket: the client or a proxy.
    pub(crate) peer: SocketAddr,
    /// Whether the socket has TLS.
    pub(crate) secure: bool,
    /// The socket's place among those that may be open; kept as long as the socket.
    pub(crate) seat: Seat,
}

/// A listener's rules and what it serves.
pub(crate) struct Door {
    /// What is answered.
    pub(crate) app: Router,
    /// Counts the sockets and says how long they may take.
    pub(crate) transport: Transport,
    /// TLS, if it is spoken here.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Waits for every connection.
    pub(crate) tasks: TaskTracker,
    /// Closes the door: no new sockets, no further requests on open ones.
    pub(crate) stop: CancellationToken,
}

/// Listens on `address`, which comes from the setting `flag`.
///
/// # Errors
/// The address is taken or not ours; the message says what to do.
pub(crate) fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    listen(address).map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "the address is in use. Stop the other program, or choose another address with --{flag}"
                )
            }
            io::ErrorKind::PermissionDenied => {
                format!(
                    "not permitted. Choose a port above 1023 with --{flag}, or grant CAP_NET_BIND_SERVICE"
                )
            }
            _ => format!("{error}. Choose another address with --{flag}"),
        };
        Failure::new(Code::Unavailable, format!("cannot listen on {address}: {advice}"))
    })
}

/// Lets the counters of this listener begin at zero, so that their first event already is an increase.
pub(crate) fn prepare_metrics() {
    for rejection in [Rejection::HeadTooLarge, Rejection::Host] {
        refused(rejection).increment(0);
    }
}

/// Requests that were refused before the transport has seen them.
pub(super) fn refused(rejection: Rejection) -> Counter {
    metrics::counter!("chat_handshake_rejections_total", "reason" => rejection.label())
}

/// The HTTP library has answered 431.
fn refused_head(peer: SocketAddr) {
    refused(Rejection::HeadTooLarge).increment(1);
    tracing::warn!(
        event = "request_head_refused",
        peer = %peer.ip(),
        "the head of a request is too large, or has more than 64 fields; cookies count: see limit_request_head_bytes"
    );
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?; // a restart need not wait for old connections to be forgotten
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Lets sockets in until the door is closed.
pub(crate) async fn serve(listener: TcpListener, door: Arc<Door>) {
    while let Some((socket, seat)) = door.stop.run_until_cancelled(door.transport.accept(&listener)).await {
        // A socket that has gone already has no peer.
        let Ok(peer) = socket.peer_addr() else { continue };
        let arrival = Arrival { peer, secure: door.tls.is_some(), seat };
        door.tasks.spawn(Arc::clone(&door).greet(socket, arrival));
    }
}

impl Door {
    async fn greet(self: Arc<Self>, socket: TcpStream, arrival: Arrival) {
        let Some(acceptor) = &self.tls else { return self.converse(socket, arrival).await };
        let peer = arrival.peer;
        let handshake = tokio::time::timeout(self.handshake(), acceptor.accept(socket));
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(socket))) => self.converse(socket, arrival).await,
            Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Some(Err(_)) => tracing::debug!(%peer, "TLS handshake took too long"),
            None => {}
        }
    }

    /// Answers the requests of one socket, until it ends or becomes a WebSocket.
    async fn converse(&self, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, arrival: Arrival) {
        let peer = arrival.peer;
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(arrival.clone());
            self.app.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.handshake())
            .max_headers(self.transport.config().head_fields)
            .max_buf_size(self.transport.config().head_bytes)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let outcome = match self.stop.run_until_cancelled(connection.as_mut()).await {
            Some(outcome) => outcome,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        match outcome {
            Err(error) if error.is_parse_too_large() => refused_head(peer),
            Err(error) => tracing::debug!(%peer, %error, "connection ended"),
            Ok(()) => {}
        }
    }

    /// Time for a TLS handshake, for a request's head, and between requests.
    fn handshake(&self) -> Duration {
        self.transport.config().handshake_timeout
    }
}
