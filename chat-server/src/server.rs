//! The running server: its listeners, its tasks, and how it comes to rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_transport_ws::Transport;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::exit::Failure;
use crate::health::Health;
use crate::http::hosts::Hosts;
use crate::http::listener::{self, Door};
use crate::http::public::Site;
use crate::http::{admin, public, tls};
use crate::wiring::{self, Engine};
use crate::{output, signals, telemetry};

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

/// Everything that runs beside the engine.
pub(crate) struct Server {
    config: Config,
    health: Health,
    public: Option<TcpListener>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    tls: Option<TlsAcceptor>,
    /// Tasks of the public side.
    visitors: TaskTracker,
    /// Lets nobody in any more.
    close_door: CancellationToken,
    /// Ends the WebSockets that the engine has not ended.
    close_sockets: CancellationToken,
    /// Tasks that live as long as the process.
    housekeeping: TaskTracker,
    end: CancellationToken,
}

impl Server {
    /// Starts what works before the store is open: health, metrics, the certificate.
    ///
    /// # Errors
    /// The certificate has become unusable, or the system refuses a signal.
    pub(crate) fn start(config: Config, listeners: Listeners, health: &Health) -> anyhow::Result<Self> {
        let metrics = telemetry::metrics()?;
        let Listeners { public, admin } = listeners;
        let mut server = Self {
            address: public.local_addr()?,
            admin_address: admin.as_ref().map(TcpListener::local_addr).transpose()?,
            public: Some(public),
            tls: None,
            visitors: TaskTracker::new(),
            close_door: CancellationToken::new(),
            close_sockets: CancellationToken::new(),
            housekeeping: TaskTracker::new(),
            end: CancellationToken::new(),
            health: health.clone(),
            config,
        };
        server.start_tls()?;
        if let Some(listener) = admin {
            let hosts = Hosts::of(listener.local_addr()?.ip(), &server.config);
            let door = Door {
                app: admin::app(health.clone(), metrics.clone(), hosts),
                transport: Transport::new(wiring::admin_limits(&server.config)),
                tls: None,
                tasks: server.housekeeping.clone(),
                stop: server.end.clone(),
            };
            server.housekeeping.spawn(listener::serve(listener, Arc::new(door)));
        }
        server.housekeeping.spawn(telemetry::keep_up(metrics, server.end.clone()));
        server.housekeeping.spawn(health.clone().keep_up(server.end.clone()));
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

    /// Lets the public in.
    pub(crate) fn open(&mut self, engine: &Engine) {
        let Some(listener) = self.public.take() else { return };
        let transport = Transport::new(wiring::transport_limits(&self.config));
        listener::prepare_metrics();
        let site = Site {
            transport: transport.clone(),
            chat: engine.chat.clone(),
            tasks: self.visitors.clone(),
            stopping: self.close_sockets.clone(),
            health: self.health.clone(),
        };
        let door = Door {
            app: public::app(site, Hosts::of(self.address.ip(), &self.config)),
            transport,
            tls: self.tls.clone(),
            tasks: self.visitors.clone(),
            stop: self.close_door.clone(),
        };
        self.visitors.spawn(listener::serve(listener, Arc::new(door)));
        self.housekeeping.spawn(engine.tidy(self.end.clone()));
    }

    /// Says on standard output, once, where the server is to be found.
    pub(crate) fn announce(&self) {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let admin =
            self.admin_address.map_or_else(String::new, |address| format!(" (admin http://{address})"));
        let ready = format!("chat-server ready: {scheme}://{}{admin}\n", self.address);
        output::output().push(ready.into_bytes());
        let Self { address, config, .. } = self;
        let tls = self.tls.is_some();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, tls, store = ?config.store, "ready");
    }

    /// Lets nobody in any more, answers what was accepted and closes every connection, within the drain
    /// deadline. Answers whether all of it was done.
    pub(crate) async fn drain(&self, engine: &Engine) -> bool {
        let deadline = Instant::now() + self.config.drain_seconds;
        self.close_door.cancel();
        self.visitors.close();
        let answered = engine.chat.shutdown(self.config.drain_seconds).await;
        self.close_sockets.cancel();
        tokio::time::timeout_at(deadline, self.visitors.wait()).await.is_ok() && answered
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
