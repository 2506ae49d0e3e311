//! The one-way switch that a failed commit turns: from then on the store answers nothing else.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::Stopped;

/// Whether the store has stopped for good, and why.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Arc<watch::Sender<Option<Stopped>>>);

impl Failure {
    pub(crate) fn none() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Turns the switch. The first reason stays.
    pub(crate) fn set(&self, reason: String) {
        self.0.send_if_modified(|stopped| {
            let is_first = stopped.is_none();
            if is_first {
                tracing::error!(%reason, "the database has stopped");
                *stopped = Some(Stopped { reason });
            }
            is_first
        });
    }

    /// `Err` once the switch is turned.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        self.0.borrow().clone().map_or(Ok(()), Err)
    }

    /// Waits until the switch is turned.
    pub(crate) async fn wait(self) -> Stopped {
        let mut receiver = self.0.subscribe();
        let stopped = receiver.wait_for(Option::is_some).await.ok().and_then(|stopped| stopped.clone());
        // `self` keeps the sender, so the wait ends only with a value.
        stopped.unwrap_or_else(|| Stopped { reason: String::new() })
    }
}
