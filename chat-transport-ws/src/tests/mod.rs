//! Tests of whole connections: an engine that echoes on one side, bytes written by hand
//! on the other.

mod clock;
mod engine;
mod frames;
mod handshakes;
mod listening;
mod raw;
mod sending;

use std::time::Duration;

use chat_core::hub::DisconnectReason;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tests::engine::Engine;
use crate::tests::raw::Raw;
use crate::{Config, Transport, connection};

/// How long a test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is served over a pipe in memory.
struct Piped {
    engine: Engine,
    client: Raw<DuplexStream>,
    stopping: CancellationToken,
    served: JoinHandle<DisconnectReason>,
}

impl Piped {
    /// A pipe that takes `pipe_bytes` before it blocks.
    fn new(config: Config, pipe_bytes: usize) -> Self {
        let (client, server) = tokio::io::duplex(pipe_bytes);
        let (engine, stopping) = (Engine::new(), CancellationToken::new());
        let served = serve(config, server, &engine, stopping.clone());
        Self { engine, client: Raw::new(client), stopping, served }
    }

    fn default() -> Self {
        Self::new(Config::default(), 1 << 20)
    }

    async fn reason(self) -> DisconnectReason {
        self.served.await.unwrap()
    }
}

fn serve<S>(
    config: Config,
    stream: S,
    engine: &Engine,
    stop: CancellationToken,
) -> JoinHandle<DisconnectReason>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let transport = Transport::new(config);
    let seat = transport.gate().seat(None).unwrap();
    TaskTracker::new().spawn(connection::serve(transport, stream, engine.session(), seat, stop))
}
