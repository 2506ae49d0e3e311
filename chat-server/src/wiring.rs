//! Puts the parts together: what the settings mean to the accounts, the engine and the
//! transport. What the parts do is their own business; the store is opened in `stores`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chat_core::Chat;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::limits::{Limits, Rate};
use chat_core::time::SystemClock;
use chat_transport_ws::Config as TransportConfig;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit::Failure;
use crate::stores::{self, Access, Stores};

/// Sockets of the admin listener: a handful of scrapers and a person.
const ADMIN_SOCKETS: usize = 64;
/// How often sessions that are over are removed.
const TIDY: Duration = Duration::from_secs(600);

/// The engine, and what the server needs of its parts.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) chat: Chat,
    auth: Arc<PasswordAuth>,
    pub(crate) stores: Stores,
}

impl Engine {
    /// Opens the store and builds the engine on it.
    ///
    /// # Errors
    /// The store cannot be opened; the message says what to do.
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        let stores = stores::open(config, Access::Whole).await?;
        let auth = PasswordAuth::new(stores.accounts.clone(), Arc::new(SystemClock), auth_settings(config));
        let auth = Arc::new(auth.context("the settings of accounts do not fit together")?);
        let rooms = stores.rooms.clone();
        let chat = Chat::builder().auth(auth.clone()).rooms(rooms).limits(limits(config)).build().await;
        Ok(Self { chat: chat.context("the engine cannot be built")?, auth, stores })
    }

    /// Waits until the store has failed for good, and answers why. Most never do.
    pub(crate) async fn store_failed(&self) -> String {
        self.stores.failed().await
    }

    /// Ends what the engine stands on: what is queued in the store is written, what is under way answered.
    pub(crate) async fn close(self) {
        let Self { chat, auth, stores } = self;
        drop((chat, auth));
        stores.close().await;
    }

    /// Removes now and then what is over, until `stop`.
    pub(crate) fn tidy(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        let auth = Arc::clone(&self.auth);
        async move {
            let mut due = tokio::time::interval(TIDY);
            while stop.run_until_cancelled(due.tick()).await.is_some() {
                if let Err(error) = auth.remove_expired().await {
                    tracing::warn!(%error, "sessions that are over could not be removed");
                }
            }
        }
    }
}

fn auth_settings(config: &Config) -> AuthSettings {
    AuthSettings {
        password_characters_min: config.limit_password_characters_min,
        access_lifetime: config.access_token_seconds,
        session_lifetime: config.refresh_token_seconds,
        refresh_lifetime: config.refresh_idle_seconds,
        user_sessions: config.limit_user_sessions,
        failed_logins_per_minute: config.rate_address_failed_logins_per_minute,
        logins_per_minute: config.rate_address_logins_per_minute,
        account_logins_per_minute: config.rate_account_logins_per_minute,
        registrations_per_minute: config.rate_address_registrations_per_minute,
        ..AuthSettings::default()
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        content_bytes: config.limit_content_bytes,
        room_members: config.limit_room_members,
        user_rooms: config.limit_user_rooms,
        user_connections: config.limit_user_connections,
        connection_requests: config.limit_connection_requests,
        send_rate: Rate {
            per_second: config.rate_user_sends_per_second,
            burst: config.rate_user_sends_burst,
        },
        request_rate: Rate {
            per_second: config.rate_user_requests_per_second,
            burst: config.rate_user_requests_burst,
        },
        flood_refusals: config.limit_flood_refusals,
        unreadable_frames: config.limit_unreadable_frames,
        heartbeat: config.heartbeat_seconds,
        store_deadline: config.limit_store_seconds,
        ..Limits::default()
    }
}

/// What the transport of the public listener may do.
pub(crate) fn transport_limits(config: &Config) -> TransportConfig {
    TransportConfig {
        handshake_timeout: config.limit_handshake_seconds,
        head_bytes: config.limit_request_head_bytes,
        authentication_timeout: config.limit_authentication_seconds,
        ping_interval: config.ping_seconds,
        connections: config.limit_connections,
        unauthenticated_connections: config.limit_unauthenticated_connections,
        address_connections: config.limit_address_connections,
        origins: config.allowed_origins.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        ..TransportConfig::default()
    }
}

/// What the transport of the admin listener may do: it only accepts.
pub(crate) fn admin_limits(config: &Config) -> TransportConfig {
    TransportConfig {
        handshake_timeout: config.limit_handshake_seconds,
        connections: ADMIN_SOCKETS,
        address_connections: 0,
        ..TransportConfig::default()
    }
}
