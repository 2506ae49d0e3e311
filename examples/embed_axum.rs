//! A chat inside an axum application: the application keeps its own pages, the chat has `/ws`.
//!
//! axum needs no WebSocket support of its own: the transport checks the request, hyper hands
//! over the socket. Everything stays in memory; with `SqliteStore` in place of `MemoryStore`
//! it would last.
//!
//! `cargo run -p chat-examples --example embed_axum`, then open the address that it prints.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{Html, Response};
use axum::routing::{any, get};
use chat_core::Chat;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::memory::MemoryStore;
use chat_core::time::SystemClock;
use chat_transport_ws::{Config, Rejection, Seat, Transport};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    #[allow(clippy::print_stdout, reason = "for the person who started it")]
    {
        println!("http://{0} and ws://{0}/ws", listener.local_addr()?);
    }
    let interrupted = async { tokio::signal::ctrl_c().await.expect("interrupts can be awaited") };
    run(listener, interrupted).await
}

/// What the handler of `/ws` needs.
#[derive(Clone)]
struct Sockets {
    chat: Chat,
    transport: Transport,
    tasks: TaskTracker,
}

/// Serves the application until `shutdown` is ready.
pub(crate) async fn run(
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let store = Arc::new(MemoryStore::new());
    let auth = PasswordAuth::new(store.clone(), Arc::new(SystemClock), AuthSettings::default())?;
    let chat = Chat::builder().auth(Arc::new(auth)).rooms(store).build().await?;

    let transport = Transport::new(Config::default());
    let sockets = Sockets { chat, transport, tasks: TaskTracker::new() };
    let app = Router::new()
        .route("/", get(async || Html("<h1>My application</h1><p>Its chat is at /ws.</p>")))
        .route("/ws", any(socket))
        .with_state(sockets.clone())
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await?;

    // The pages are done; now what the chat has accepted is answered, and its sockets close.
    sockets.chat.shutdown(Duration::from_secs(10)).await;
    sockets.tasks.close();
    sockets.tasks.wait().await;
    Ok(())
}

/// Makes a chat connection of the request's socket.
async fn socket(
    State(sockets): State<Sockets>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    let Sockets { chat, transport, tasks } = sockets;
    let (seat, answer) = match admit(&transport, peer, &request) {
        Ok(admitted) => admitted,
        Err(rejection) => return rejection.response().map(|()| Body::empty()),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tasks.spawn(async move {
        // A client that left before the upgrade needs nothing.
        if let Ok(stream) = upgraded.await {
            transport.run(TokioIo::new(stream), chat, seat, CancellationToken::new()).await;
        }
    });
    answer.map(|()| Body::empty())
}

/// Counts the connection and checks the handshake, its `Origin` included.
fn admit(
    transport: &Transport,
    peer: SocketAddr,
    request: &Request,
) -> Result<(Seat, Response<()>), Rejection> {
    let seat = transport.gate().seat(None)?;
    let answer = transport.upgrade(&seat, Some(peer.ip()), request)?;
    Ok((seat, answer))
}
