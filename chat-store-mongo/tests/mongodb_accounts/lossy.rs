//! A way to a server on which a reply can be lost: the command is executed, and whoever sent it sees a connection end.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What commands that write begin with: the first field of their document.
const WRITES: [&[u8]; 3] = [b"\x02insert\0", b"\x02update\0", b"\x02delete\0"];

/// The way. It ends with this.
pub(crate) struct Lossy {
    port: u16,
    is_armed: Arc<AtomicBool>,
    _connections: JoinSet<()>,
}

impl Lossy {
    /// A way to the server at this port of 127.0.0.1.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_armed = Arc::new(AtomicBool::new(false));
        let (armed, mut connections) = (Arc::clone(&is_armed), JoinSet::new());
        connections.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let armed = Arc::clone(&armed);
                carried.spawn(async move {
                    // Its end is what the test is about.
                    let _ = carry(near, server, &armed).await;
                });
            }
        });
        Self { port, is_armed, _connections: connections }
    }

    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }

    /// Loses the reply to the next write.
    pub(crate) fn lose_a_reply(&self) {
        self.is_armed.store(true, Ordering::SeqCst);
    }

    /// Whether the reply that was to be lost is gone.
    pub(crate) fn has_lost_it(&self) -> bool {
        !self.is_armed.load(Ordering::SeqCst)
    }
}

async fn carry(mut near: TcpStream, server: u16, is_armed: &AtomicBool) -> std::io::Result<()> {
    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut request, mut reply) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_write = false;
    loop {
        tokio::select! {
            length = near.read(&mut request) => {
                let sent = match length? {
                    0 => return Ok(()),
                    length => &request[..length],
                };
                let begins = |name: &&[u8]| sent.windows(name.len()).any(|part| part == *name);
                is_write = WRITES.iter().any(begins);
                far.write_all(sent).await?;
            }
            length = far.read(&mut reply) => {
                let length = length?;
                if length == 0 || is_write && is_armed.swap(false, Ordering::SeqCst) {
                    return Ok(());
                }
                near.write_all(&reply[..length]).await?;
            }
        }
    }
}
