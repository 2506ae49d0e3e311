//! What the server says about itself: is it ready, and what should worry its operator.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::config::Config;

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
    warnings: Arc<[String]>,
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
        }
    }

    /// The server has come to this phase.
    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// What to tell who asks.
    pub(crate) fn report(&self) -> Report {
        let reasons = match *self.phase.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Ready => vec![],
            Phase::Starting => vec!["starting"],
            Phase::Draining => vec!["draining"],
            Phase::StoreFailed => vec!["the store failed"],
        };
        Report {
            ready: reasons.is_empty(),
            reasons,
            insecure: Arc::clone(&self.insecure),
            warnings: Arc::clone(&self.warnings),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Tells the log what `/readyz` tells: the insecure options and the warnings.
    pub(crate) fn log_worries(&self) {
        for option in self.insecure.iter() {
            tracing::warn!(option, "an insecure option is on");
        }
        for warning in self.warnings.iter() {
            tracing::warn!("{warning}");
        }
    }
}
