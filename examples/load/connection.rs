//! One socket to the server: requests one by one while things are set up, frames as they come under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// How long the server may take for an answer while things are set up; registrations wait for others' hashes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a request is repeated that the server asks to repeat.
const ATTEMPTS: usize = 100;

/// The server, and how often it asked to slow down.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    url: String,
    address: SocketAddr,
    refusals: Arc<AtomicU64>,
}

impl Target {
    /// The server at `url`, on this host unless another is allowed.
    pub(crate) async fn find(url: &str, allow_remote: bool) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is no address"))?;
        ensure!(uri.scheme_str() == Some("ws"), "{url} does not begin with ws://");
        let host = uri.host().context("the address names no host")?.trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80))).await;
        let address = found.with_context(|| format!("{host} is unknown"))?.next();
        let address = address.with_context(|| format!("{host} has no address"))?;
        if !address.ip().is_loopback() && !allow_remote {
            bail!("{host} is another host: load that nobody expects is an attack. --allow-remote permits it");
        }
        Ok(Self { url: url.to_owned(), address, refusals: Arc::default() })
    }

    /// Notes that the server asked to slow down.
    pub(crate) fn refused(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the server asked to slow down.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Target,
    socket: WebSocketStream<TcpStream>,
}

impl Connection {
    /// Connects; nobody is signed in.
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        // Small buffers: there are many connections, and what they carry is short.
        let config = WebSocketConfig::default().read_buffer_size(8 * 1_024).write_buffer_size(8 * 1_024);
        let shaken = client_async_with_config(target.url.as_str(), stream, Some(config)).await;
        let (socket, _) = shaken.context("the handshake failed")?;
        Ok(Self { target: target.clone(), socket })
    }

    /// Asks and waits for the reply, which must be a success. Waits and asks again where the server says so.
    pub(crate) async fn request(&mut self, request: Value) -> anyhow::Result<Value> {
        for _ in 0..ATTEMPTS {
            let reply = tokio::time::timeout(PATIENCE, self.ask(&request)).await;
            let reply = reply.with_context(|| format!("no answer to {}", request["action"]))??;
            if reply["success"] == true {
                return Ok(reply);
            }
            let Some(pause_ms) = reply["retry_after_ms"].as_u64() else {
                bail!("{} was refused: {reply}", request["action"]);
            };
            self.target.refused();
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        bail!("{} was refused {ATTEMPTS} times", request["action"])
    }

    async fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        self.socket.send(Message::text(request.to_string())).await?;
        loop {
            let frame = self.next().await?;
            if frame.starts_with(r#"{"success":"#) {
                return Ok(serde_json::from_str(&frame)?);
            }
        }
    }

    /// The next frame with a text. Cancel safe.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.socket.next().await.context("the server ended the connection")?? {
                Message::Text(text) => return Ok(text),
                Message::Close(Some(why)) => bail!("the server closed with {} ({})", why.code, why.reason),
                Message::Close(None) => bail!("the server closed without a code"),
                Message::Binary(_) => bail!("the server sent a binary frame"),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// The next frame if it is there already.
    pub(crate) fn ready(&mut self) -> Option<anyhow::Result<Utf8Bytes>> {
        self.next().now_or_never()
    }

    /// Sends texts together.
    pub(crate) async fn send_all(&mut self, texts: &mut Vec<String>) -> anyhow::Result<()> {
        for text in texts.drain(..) {
            self.socket.feed(Message::text(text)).await?;
        }
        Ok(self.socket.flush().await?)
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        // Whoever is told may be gone already.
        let _ = self.socket.close(None).await;
    }
}
