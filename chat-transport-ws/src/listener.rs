//! Accepting sockets, and a plain listener for those who have no HTTP server: it
//! answers upgrades of `/` and `/ws`, and nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use chat_core::{Chat, Peer};
use http::{Method, Request, Response, Uri, Version};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time;
use tokio_tungstenite::tungstenite::handshake::server::write_response;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::session::{Frames, Requests};
use crate::{Config, Permit, Rejection, Seat, Transport, connection, telemetry};

/// Paths of the WebSocket.
const PATHS: [&str; 2] = ["/", "/ws"];

/// How long accepting pauses after an error such as "too many open files", which does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `chat` on `listener` until `shutdown` is ready; then closes every connection with 1001 and waits for
/// them.
pub async fn serve(listener: TcpListener, chat: Chat, config: Config, shutdown: impl Future<Output = ()>) {
    let connect = move |peer| chat.connect(peer);
    serve_sessions(Transport::new(config), listener, connect, shutdown).await;
}

/// [`serve`] with sessions from anywhere.
pub(crate) async fn serve_sessions<I, O>(
    transport: Transport,
    listener: TcpListener,
    connect: impl Fn(Peer) -> (I, O) + Clone + Send + 'static,
    shutdown: impl Future<Output = ()>,
) where
    I: Requests + 'static,
    O: Frames + 'static,
{
    let tasks = TaskTracker::new();
    let stopping = CancellationToken::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, seat) = tokio::select! {
            accepted = accept(&transport, &listener) => accepted,
            () = &mut shutdown => break,
        };
        let greeted = greet(transport.clone(), stream, seat, connect.clone(), stopping.child_token());
        tasks.spawn(greeted);
    }
    drop(listener);
    stopping.cancel();
    tasks.close();
    tasks.wait().await;
}

/// The next socket that may be served: see [`Transport::accept`].
pub(crate) async fn accept(transport: &Transport, listener: &TcpListener) -> (TcpStream, Seat) {
    loop {
        let permit = transport.gate().permit().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                tune(&stream, transport.config());
                match take_seat(transport, permit, peer) {
                    Ok(seat) => return (stream, seat),
                    Err(rejection) => {
                        telemetry::rejected(rejection);
                    }
                }
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                telemetry::accept_failed(&error);
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A proxy's socket counts for nobody until its client is known.
fn take_seat(transport: &Transport, permit: Permit, peer: SocketAddr) -> Result<Seat, Rejection> {
    let address = peer.ip().to_canonical();
    let known = Some(address).filter(|address| !transport.config().trusted_proxies.trusts(*address));
    Ok(transport.gate().take(permit, known)?)
}

/// Whether it is only this client that is gone.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Small frames leave at once, and a peer that vanished is noticed by the kernel too.
fn tune(stream: &TcpStream, config: &Config) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    let tuned = stream.set_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    let tuned = tuned.and_then(|()| {
        let timeout = Some(config.tcp_user_timeout).filter(|timeout| !timeout.is_zero());
        socket.set_tcp_user_timeout(timeout)
    });
    if let Err(error) = tuned {
        tracing::debug!(%error, "socket options not set");
    }
}

/// From the first byte of a socket to its last.
async fn greet<I, O>(
    transport: Transport,
    mut stream: TcpStream,
    seat: Seat,
    connect: impl FnOnce(Peer) -> (I, O),
    stopping: CancellationToken,
) where
    I: Requests,
    O: Frames,
{
    let peer = stream.peer_addr().map(|peer| peer.ip().to_canonical()).ok();
    let shaken = tokio::select! {
        shaken = shake_hands(&transport, &mut stream, &seat, peer) => shaken,
        () = stopping.cancelled() => return,
    };
    if shaken.is_ok() {
        let session = connect(Peer { address: seat.address() });
        connection::serve(transport, stream, session, seat, stopping).await;
    }
}

/// Reads the request and answers it.
pub(crate) async fn shake_hands<S>(
    transport: &Transport,
    stream: &mut S,
    seat: &Seat,
    peer: Option<IpAddr>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = transport.config();
    let within = if config.handshake_timeout.is_zero() { Duration::MAX } else { config.handshake_timeout };
    let request = time::timeout(within, read_request(stream, config)).await;
    let checked = match request.unwrap_or(Ok(Err(Rejection::Timeout)))? {
        Ok(request) if PATHS.contains(&request.uri().path()) => transport.upgrade(seat, peer, &request),
        Ok(_) => Err(telemetry::rejected(Rejection::NotFound)),
        Err(rejection) => Err(telemetry::rejected(rejection)),
    };
    answer(stream, checked, config).await
}

/// Writes the answer; after a refusal waits a moment for the client to have read it, and is an error.
async fn answer<S>(
    stream: &mut S,
    checked: Result<Response<()>, Rejection>,
    config: &Config,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (response, refused) = match checked {
        Ok(response) => (response, None),
        Err(rejection) => (rejection.response(), Some(rejection)),
    };
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(io::Error::other)?;
    let rest = async {
        stream.write_all(&bytes).await?;
        let Some(rejection) = refused else { return stream.flush().await };
        stream.shutdown().await?;
        bytes.clear();
        while stream.read_buf(&mut bytes).await? > 0 {
            bytes.clear();
        }
        Err(io::Error::other(rejection))
    };
    time::timeout(config.close_timeout, rest).await?
}

/// Reads a request head; the outer error is the socket's.
async fn read_request<S>(stream: &mut S, config: &Config) -> io::Result<Result<Request<()>, Rejection>>
where
    S: AsyncRead + Unpin,
{
    let mut head = Vec::with_capacity(1_024);
    loop {
        let searched = head.len().saturating_sub(3);
        let room = config.head_bytes.saturating_sub(head.len());
        if room == 0 {
            return Ok(Err(Rejection::HeadTooLarge));
        }
        if (&mut *stream).take(room as u64).read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = head[searched..].windows(4).position(|window| window == b"\r\n\r\n") {
            let end = searched + at + 4;
            // What follows the head is a body, or frames sent before the answer; neither is allowed.
            let alone = end == head.len();
            return Ok(if alone { parse_request(&head, config) } else { Err(Rejection::Body) });
        }
    }
}

fn parse_request(head: &[u8], config: &Config) -> Result<Request<()>, Rejection> {
    let mut fields = vec![httparse::EMPTY_HEADER; config.head_fields];
    let mut parsed = httparse::Request::new(&mut fields);
    let status = parsed.parse(head).map_err(|error| match error {
        httparse::Error::TooManyHeaders => Rejection::HeadTooLarge,
        httparse::Error::Version => Rejection::HttpVersion,
        _ => Rejection::Malformed,
    })?;
    if status != httparse::Status::Complete(head.len()) {
        return Err(Rejection::Malformed);
    }
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let method =
        parsed.method.and_then(|method| method.parse::<Method>().ok()).ok_or(Rejection::Malformed)?;
    let uri = parsed.path.and_then(|path| path.parse::<Uri>().ok()).ok_or(Rejection::Malformed)?;
    let mut request = Request::builder().method(method).version(version).uri(uri);
    for field in parsed.headers.iter() {
        request = request.header(field.name, field.value);
    }
    request.body(()).map_err(|_| Rejection::Malformed)
}
