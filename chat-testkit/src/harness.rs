//! How a suite gets at what it tests: a harness makes it, a case holds it as a [`Subject`].

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

/// Makes a store or a hub for one conformance case. Each case has a harness of its own;
/// what the harness holds (a directory, a database) is cleared away when it is dropped.
#[async_trait]
pub trait Harness<P: ?Sized + Send + Sync>: Send {
    /// A new and empty one.
    async fn start(&mut self) -> Arc<P>;

    /// Starts again on what the last one kept; nobody holds the last one any more.
    /// `None`: it keeps nothing, and does not claim to. Cases of durability then pass.
    async fn restart(&mut self) -> Option<Arc<P>>;
}

/// What a case tests: it derefs to the port.
pub struct Subject<P: ?Sized> {
    harness: Box<dyn Harness<P>>,
    port: Arc<P>,
}

impl<P: ?Sized + Send + Sync> Subject<P> {
    /// A new and empty one.
    pub async fn start(mut harness: Box<dyn Harness<P>>) -> Self {
        let port = harness.start().await;
        Self { harness, port }
    }

    /// The port, to share with tasks.
    #[must_use]
    pub fn port(&self) -> Arc<P> {
        Arc::clone(&self.port)
    }

    /// Stops and starts again. The case has dropped every other handle. `None`: it keeps nothing.
    pub async fn restart(self) -> Option<Self> {
        let Self { mut harness, port } = self;
        drop(port);
        let port = harness.restart().await?;
        Some(Self { harness, port })
    }
}

impl<P: ?Sized> Deref for Subject<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.port
    }
}

impl<P: ?Sized + fmt::Debug> fmt::Debug for Subject<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("port", &&*self.port).finish_non_exhaustive()
    }
}
