//! The settings: one table that defines their names, types, defaults, bounds and texts.
//!
//! The struct, the file's keys, the environment's names, the flags and the
//! documentation's table all come from it. Where values come from is `source`,
//! what a value looks like is `value`, what two settings say together is `check`.

mod check;
mod report;
mod source;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use chat_transport_ws::{Origins, TrustedProxies};
use secrecy::SecretString;

pub(crate) use report::{documentation, effective};
pub(crate) use source::{Effective, Given, Problem, resolve};
pub(crate) use value::{LogFilter, LogFormat, StoreKind};

use value::{HostNames, Value};

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The key in the file; the environment's name is `CHAT_` and this in upper case.
    pub(crate) name: &'static str,
    /// The heading it stands under.
    pub(crate) group: &'static str,
    /// What it does, for operators.
    pub(crate) help: &'static str,
    /// What a value looks like.
    pub(crate) kind: &'static str,
    /// The smallest and the largest number allowed.
    pub(crate) range: Option<(u64, u64)>,
    /// Whether the value is never shown, and never taken from the command line.
    pub(crate) secret: bool,
    set: fn(&mut Config, &str) -> Result<(), String>,
    show: fn(&Config) -> String,
}

macro_rules! settings {
    (@range) => { None };
    (@range $low:literal, $high:literal) => { Some(($low, $high)) };
    ($( $group:literal { $( $(#[doc = $help:literal])+ $name:ident: $kind:ty = $default:expr $(, $low:literal ..= $high:literal)?; )+ } )+) => {
        /// All settings, valid each for itself.
        #[derive(Debug, Clone)]
        pub(crate) struct Config {
            $($( $(#[doc = $help])+ pub(crate) $name: $kind, )+)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($( $name: $default, )+)+ }
            }
        }

        /// The table.
        pub(crate) const SETTINGS: &[Setting] = &[$($(
            Setting {
                name: stringify!($name),
                group: $group,
                help: concat!($($help),+),
                kind: <$kind as Value>::KIND,
                range: settings!(@range $($low, $high)?),
                secret: <$kind as Value>::SECRET,
                set: |config, text| <$kind as Value>::parse(text).map(|value| config.$name = value),
                show: |config| config.$name.show(),
            },
        )+)+];
    };
}

settings! {
    "Network" {
        /// Where people connect. Port 0 picks a free one.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 2346));
        /// Where health and metrics are answered. Never make it public: it asks for no password.
        admin_listen: Option<SocketAddr> = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 2347)));
        /// Certificate chain (PEM). With it and `tls_key` the server speaks https and wss only.
        tls_cert: Option<PathBuf> = None;
        /// Private key of the certificate (PEM). Must not be readable by everybody.
        tls_key: Option<PathBuf> = None;
        /// Proxies whose `X-Forwarded-For` is believed, as addresses or networks.
        trusted_proxies: TrustedProxies = TrustedProxies::default();
        /// Origins of web pages that may connect, beside pages from the server's own address.
        allowed_origins: Origins = Origins::default();
        /// Host names by which the server may be called, beside loopback names and the hosts of `allowed_origins`. Listeners that are not on loopback answer to every name if this is empty.
        allowed_hosts: HostNames = HostNames::default();
    }
    "Storage" {
        /// Which store keeps the data. `memory` forgets everything when the server stops.
        store: StoreKind = StoreKind::Sqlite;
        /// Directory of the embedded store. Made if it is missing.
        data_dir: PathBuf = PathBuf::from("./chat-data");
        /// Address of MongoDB, such as `mongodb://user:password@host/?replicaSet=rs0`. The store `mongodb` needs it.
        mongodb_uri: Option<SecretString> = None;
        /// Name of the database in MongoDB that everything is kept in.
        mongodb_database: String = "chat_system".to_owned();
        /// Address of NATS. This build contains no cluster hub and refuses it.
        nats_url: Option<SecretString> = None;
    }
    "Logs and shutdown" {
        /// `text` for people, `json` for machines. Logs go to standard error.
        log_format: LogFormat = LogFormat::Text;
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,chat_core=debug`.
        log_level: LogFilter = LogFilter::default();
        /// How long a stopping server waits for what it has accepted.
        drain_seconds: Duration = Duration::from_secs(20), 0..=3_600;
    }
    "Sessions" {
        /// How long an access token is good. Clients that cannot refresh need more.
        access_token_seconds: Duration = Duration::from_secs(3_600), 5..=604_800;
        /// How long a session lives, however often it is refreshed.
        refresh_token_seconds: Duration = Duration::from_secs(2_592_000), 3_600..=31_536_000;
        /// How long a session lives when it is not used.
        refresh_idle_seconds: Duration = Duration::from_secs(604_800), 3_600..=31_536_000;
        /// Sessions of a user; a further one ends the longest unused. 0 is off.
        limit_user_sessions: usize = 20, 0..=10_000;
    }
    "Connections" {
        /// Open sockets of the whole server.
        limit_connections: usize = 100_000, 1..=10_000_000;
        /// Connections of one address. 0 is off. The server's own host has no limit.
        limit_address_connections: usize = 1_024, 0..=10_000_000;
        /// Connections of one user. 0 is off.
        limit_user_connections: u32 = 20, 0..=10_000;
        /// Connections that nobody has signed in on; a further one closes the oldest. 0 is off.
        limit_unauthenticated_connections: usize = 1_000, 0..=10_000_000;
        /// Time for the TLS handshake, and for the headers of a request.
        limit_handshake_seconds: Duration = Duration::from_secs(5), 1..=60;
        /// Bytes of the head of a request, its cookies included.
        limit_request_head_bytes: usize = 8_192, 8_192..=65_536;
        /// Time to sign in on a new connection. 0 is off.
        limit_authentication_seconds: Duration = Duration::from_secs(300), 0..=86_400;
        /// Requests of a connection that are worked on at once; then the server stops reading.
        limit_connection_requests: usize = 16, 1..=1_024;
        /// Refusals by rate in 10 s after which a connection is closed. 0 is off.
        limit_flood_refusals: u32 = 100, 0..=1_000_000;
        /// Unreadable frames in 60 s after which a connection is closed. 0 is off.
        limit_unreadable_frames: u32 = 10, 0..=1_000_000;
        /// How often a connection is pinged; one that stays silent is closed. 0 is off.
        ping_seconds: Duration = Duration::from_secs(25), 0..=3_600;
        /// How often clients that cannot see WebSocket pings get a `keep` push.
        heartbeat_seconds: Duration = Duration::from_secs(55), 1..=3_600;
    }
    "Sizes" {
        /// Characters that a new password has at least; existing ones stay good.
        limit_password_characters_min: usize = 8, 8..=128;
        /// Bytes of one message's content.
        limit_content_bytes: usize = 8_192, 1..=8_192;
        /// Members of a room.
        limit_room_members: u32 = 100_000, 2..=100_000;
        /// Rooms that a user is a member of.
        limit_user_rooms: u32 = 1_000, 1..=1_000;
        /// Time that the store has to answer a request.
        limit_store_seconds: Duration = Duration::from_secs(5), 1..=9;
    }
    "Rates" {
        /// Messages of a user in a second, for ever. 0 is off.
        rate_user_sends_per_second: u32 = 200, 0..=1_000_000;
        /// Messages of a user at once, after a pause.
        rate_user_sends_burst: u32 = 5_000, 1..=1_000_000;
        /// Other requests of a user in a second, for ever. 0 is off.
        rate_user_requests_per_second: u32 = 100, 0..=1_000_000;
        /// Other requests of a user at once, after a pause.
        rate_user_requests_burst: u32 = 1_000, 1..=1_000_000;
        /// Failed sign-ins from one address in a minute. 0 is off.
        rate_address_failed_logins_per_minute: u32 = 30, 0..=1_000_000;
        /// Sign-ins from one address in a minute, successful or not. 0 is off.
        rate_address_logins_per_minute: u32 = 240, 0..=1_000_000;
        /// Successful sign-ins to one account in a minute. 0 is off.
        rate_account_logins_per_minute: u32 = 60, 0..=1_000_000;
        /// New accounts from one address in a minute. 0 is off.
        rate_address_registrations_per_minute: u32 = 60, 0..=1_000_000;
    }
    "Insecure" {
        /// Accept keys and secret files that everybody on the host can read.
        insecure_readable_secrets: bool = false;
    }
}

impl Setting {
    /// The environment's name.
    pub(crate) fn variable(&self) -> String {
        format!("CHAT_{}", self.name.to_uppercase())
    }

    /// The flag, without its dashes. A secret's flag names a file that has it.
    pub(crate) fn flag(&self) -> String {
        let name = self.name.replace('_', "-");
        if self.secret { format!("{name}-file") } else { name }
    }

    /// The default as text; empty if there is none.
    pub(crate) fn default_shown(&self) -> String {
        self.shown(&Config::default())
    }

    /// Whether it weakens the server's defences when it is on.
    fn is_insecure(&self) -> bool {
        self.name.starts_with("insecure_")
    }

    /// Sets the value that `text` stands for.
    fn assign(&self, config: &mut Config, text: &str) -> Result<(), String> {
        if let (Some((low, high)), Ok(number)) = (self.range, text.trim().parse::<u64>())
            && !(low..=high).contains(&number)
        {
            return Err(format!("{number} is not between {low} and {high}"));
        }
        (self.set)(config, text.trim())
    }

    /// The value as text; a secret only as whether it is there.
    fn shown(&self, config: &Config) -> String {
        (self.show)(config)
    }
}

impl Config {
    /// The insecure options that are on, as flags.
    pub(crate) fn insecure_options(&self) -> Vec<String> {
        let on = |setting: &&Setting| setting.is_insecure() && setting.shown(self) == "true";
        SETTINGS.iter().filter(on).map(|setting| format!("--{}", setting.flag())).collect()
    }

    /// What an operator should know about this configuration although it is allowed.
    pub(crate) fn warnings(&self) -> Vec<String> {
        check::warnings(self)
    }
}
