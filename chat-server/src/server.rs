//! The running server: its listeners, its tasks, and how it comes to rest.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::exit::Failure;
use crate::health::Health;
use crate::http::listener::{self, Door};
use crate::http::{admin, public, tls};
use crate::{signals, telemetry};

/// Sockets of the admin listener: a handful of scrapers and a person.
const ADMIN_SOCKETS: usize = 64;
/// How long the last answers may take to leave after everything else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The addresses that this process holds.
#[derive(Debug)]
pub(crate) struct Listeners {
    public: TcpListener,
    admin: Option<TcpListener>,
}

impl Listeners {
    /// Takes the addresses; nobody is let in yet.
    ///
    /// # Errors
    /// One of them is not to be had.
    pub(crate) fn bind(config: &Config) -> Result<Self, Failure> {
        let public = listener::bind(config.listen, "listen")?;
        let admin = config.admin_listen.map(|address| listener::bind(address, "admin-listen")).transpose()?;
        Ok(Self { public, admin })
    }
}

/// Everything that runs.
pub(crate) struct Server {
    config: Config,
    public: Option<TcpListener>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    tls: Option<TlsAcceptor>,
    /// Tasks of the public side.
    visitors: TaskTracker,
    close_door: CancellationToken,
    /// Tasks that live as long as the process.
    housekeeping: TaskTracker,
    end: CancellationToken,
}

impl Server {
    /// Starts what works before the store is open: health, metrics, the certificate.
    ///
    /// # Errors
    /// The certificate has become unusable, or the system refuses a signal.
    pub(crate) fn start(
        config: Config,
        listeners: Listeners,
        health: &Health,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        let (housekeeping, end) = (TaskTracker::new(), CancellationToken::new());
        let Listeners { public, admin } = listeners;
        let mut server = Self {
            address: public.local_addr()?,
            admin_address: admin.as_ref().map(TcpListener::local_addr).transpose()?,
            public: Some(public),
            tls: None,
            visitors: TaskTracker::new(),
            close_door: CancellationToken::new(),
            housekeeping,
            end,
            config,
        };
        server.start_tls()?;
        if let Some(admin) = admin {
            let door = server.admin_door(admin::app(health.clone(), metrics.clone()));
            server.housekeeping.spawn(listener::serve(admin, door));
        }
        server.housekeeping.spawn(telemetry::keep_up(metrics, server.end.clone()));
        Ok(server)
    }

    /// Reads the certificate and keeps it fresh. Without one, SIGHUP is only no longer deadly.
    fn start_tls(&mut self) -> anyhow::Result<()> {
        let mut hangup = signals::hangup()?;
        let end = self.end.clone();
        if let (Some(chain), Some(key)) = (&self.config.tls_cert, &self.config.tls_key) {
            let certificate = tls::Certificate::open(chain, key)?;
            self.tls = Some(certificate.acceptor()?);
            self.housekeeping.spawn(certificate.keep_fresh(hangup, end));
        } else {
            self.housekeeping.spawn(async move {
                while end.run_until_cancelled(hangup.recv()).await.flatten().is_some() {
                    tracing::info!("nothing to reload: there is no certificate");
                }
            });
        }
        Ok(())
    }

    fn admin_door(&self, app: Router) -> Arc<Door> {
        Arc::new(Door {
            app,
            tls: None,
            places: Arc::new(Semaphore::new(ADMIN_SOCKETS)),
            handshake: self.config.limit_handshake_seconds,
            tasks: self.housekeeping.clone(),
            stop: self.end.clone(),
        })
    }

    /// Lets the public in.
    pub(crate) fn open(&mut self) {
        let Some(listener) = self.public.take() else { return };
        let door = Arc::new(Door {
            app: public::app(),
            tls: self.tls.clone(),
            places: Arc::new(Semaphore::new(self.config.limit_connections as usize)),
            handshake: self.config.limit_handshake_seconds,
            tasks: self.visitors.clone(),
            stop: self.close_door.clone(),
        });
        self.visitors.spawn(listener::serve(listener, door));
    }

    /// Says on standard output, once, where the server is to be found.
    pub(crate) fn announce(&self) {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let admin =
            self.admin_address.map_or_else(String::new, |address| format!(" (admin http://{address})"));
        let line = format!("chat-server ready: {scheme}://{}{admin}\n", self.address);
        let mut out = io::stdout().lock();
        let told = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        if told.is_err() {
            tracing::debug!("nobody reads standard output");
        }
        tracing::info!(address = %self.address, tls = self.tls.is_some(), "ready");
    }

    /// Lets nobody in any more and waits, for at most `deadline`, until what was accepted is answered.
    /// Answers whether all of it was.
    pub(crate) async fn drain(&self, deadline: Duration) -> bool {
        self.close_door.cancel();
        self.visitors.close();
        tokio::time::timeout(deadline, self.visitors.wait()).await.is_ok()
    }

    /// Ends the rest.
    pub(crate) async fn end(self) {
        self.end.cancel();
        self.housekeeping.close();
        if tokio::time::timeout(LAST_ANSWERS, self.housekeeping.wait()).await.is_err() {
            tracing::debug!("some tasks of the admin listener did not end");
        }
    }
}
