//! What the system tells the process: stop, stop at once, read the certificate again.

use std::fmt;
use std::io;

use tokio::signal::unix::{self, SignalKind};
use tokio_util::task::TaskTracker;

use crate::output;

/// A signal that asks the server to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGTERM, from a service manager.
    Terminate,
    /// SIGINT, from a terminal.
    Interrupt,
}

impl Stop {
    /// The exit code of a process that ended by this signal.
    pub(crate) fn exit_code(self) -> i32 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Receives the signals that ask the server to stop.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The system does not let signals be handled.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn stop(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
        }
    }

    /// From now on another one ends the process at once: somebody does not want to wait.
    pub(crate) fn exit_on_next(mut self) {
        // Nobody waits for this task: it ends with the process, one way or the other.
        TaskTracker::new().spawn(async move {
            let stop = self.stop().await;
            tracing::warn!(signal = %stop, "told to stop again; stopping at once");
            output::flush();
            std::process::exit(stop.exit_code());
        });
    }
}

/// Receives SIGHUP, which from now on no longer ends the process.
///
/// # Errors
/// The system does not let signals be handled.
pub(crate) fn hangup() -> io::Result<unix::Signal> {
    unix::signal(SignalKind::hangup())
}
