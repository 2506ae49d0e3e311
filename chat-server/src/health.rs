//! What the server says about itself: is it ready, and what should worry its operator.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::stores::Stores;

/// How often the store is looked at.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Whether the store answers, for alarms.
const ANSWERING: &str = "chat_store_answering";

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It opens its store and listens to nobody.
    Starting,
    /// It serves.
    Ready,
    /// It was told to stop and finishes what it has accepted.
    Draining,
    /// Its store failed for good; it finishes and stops.
    StoreFailed,
}

/// Shared by everything that decides or tells whether the server is ready.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    phase: Arc<Mutex<Phase>>,
    insecure: Arc<[String]>,
    warnings: Arc<[String]>,
    /// Once it is open.
    stores: Arc<OnceLock<Stores>>,
    /// Once a proxy was seen that does not say whose requests it passes on.
    nameless_proxy: Arc<OnceLock<String>>,
}

/// The answer to "are you ready?".
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether clients may be sent here.
    pub(crate) ready: bool,
    /// Why not.
    reasons: Vec<&'static str>,
    /// The insecure options that are on.
    insecure: Arc<[String]>,
    /// What else is worth a look.
    warnings: Vec<String>,
    /// This server's version.
    version: &'static str,
}

impl Health {
    /// The health of a server that begins to start with this configuration.
    pub(crate) fn starting(config: &Config) -> Self {
        Self {
            phase: Arc::new(Mutex::new(Phase::Starting)),
            insecure: config.insecure_options().into(),
            warnings: config.warnings().into(),
            stores: Arc::default(),
            nameless_proxy: Arc::default(),
        }
    }

    /// The store is open: from now on what it says of itself belongs to the report.
    pub(crate) fn watch(&self, stores: &Stores) {
        for warning in stores.warnings() {
            tracing::warn!("{warning}");
        }
        // A server opens one store.
        let _ = self.stores.set(stores.clone());
    }

    /// Publishes whether the store answers, until `stop`. A store that does not is thereby asked again and again.
    pub(crate) async fn keep_up(self, stop: CancellationToken) {
        metrics::describe_gauge!(ANSWERING, "Whether the store answers: 1, or 0 while it does not");
        let mut due = tokio::time::interval(LOOK_PAUSE);
        while stop.run_until_cancelled(due.tick()).await.is_some() {
            metrics::gauge!(ANSWERING).set(if self.is_store_answering() { 1.0 } else { 0.0 });
        }
    }

    fn is_store_answering(&self) -> bool {
        self.stores.get().is_some_and(Stores::is_answering)
    }

    /// The server has come to this phase.
    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// What to tell who asks.
    pub(crate) fn report(&self) -> Report {
        let reasons = match *self.phase.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Ready if self.is_store_answering() => vec![],
            Phase::Ready => vec!["the store does not answer"],
            Phase::Starting => vec!["starting"],
            Phase::Draining => vec!["draining"],
            Phase::StoreFailed => vec!["the store failed"],
        };
        let from_store = self.stores.get().map_or(&[][..], Stores::warnings);
        Report {
            ready: reasons.is_empty(),
            reasons,
            insecure: Arc::clone(&self.insecure),
            warnings: self
                .warnings
                .iter()
                .chain(from_store)
                .chain(self.nameless_proxy.get())
                .cloned()
                .collect(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// A request came from a proxy at `peer` that does not name the client. Said once.
    pub(crate) fn saw_nameless_proxy(&self, peer: IpAddr) {
        let consequence = if peer.is_loopback() {
            "no limit by address holds for programs behind it, and pages behind it count as one address"
        } else {
            "all its clients count as one address"
        };
        let warning =
            format!("the proxy at {peer} sends no X-Forwarded-For: {consequence}; let it send the header");
        if self.nameless_proxy.set(warning.clone()).is_ok() {
            tracing::warn!("{warning}");
        }
    }

    /// Tells the log what `/readyz` tells of the settings: the insecure options and the warnings.
    pub(crate) fn log_worries(&self) {
        for option in self.insecure.iter() {
            tracing::warn!(option, "an insecure option is on");
        }
        for warning in self.warnings.iter() {
            tracing::warn!("{warning}");
        }
    }
}
