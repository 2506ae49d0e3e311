//! What the text of a setting can stand for.
//!
//! Each type says how a value is written, reads it from text and shows it again;
//! which setting has which type is in the table.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::uri::Authority;
use chat_transport_ws::{InvalidNetwork, Origin, Origins, TrustedProxies};
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// What a value looks like, in a few words.
    const KIND: &'static str;
    /// Whether values are never shown.
    const SECRET: bool = false;

    /// The value that `text` stands for, or why there is none. Never repeats a secret.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value as text that `parse` takes; a secret only as whether it is there.
    fn show(&self) -> String;
}

/// What keeps the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// One SQLite file.
    Sqlite,
    /// MongoDB.
    Mongodb,
    /// This process, until it ends.
    Memory,
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Which events are logged, as directives that are known to be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFilter(String);

/// Hosts in lower case, without ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostNames(Vec<String>);

impl HostNames {
    /// All of them.
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl LogFilter {
    /// The filter for the subscriber.
    pub(crate) fn to_env_filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl Value for LogFilter {
    const KIND: &'static str = "level or directives";

    fn parse(text: &str) -> Result<Self, String> {
        // A directive without `=` could also be the name of a module: then a typing error would log everything.
        let is_level = |part: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&part);
        let is_plain = text.split(',').all(|part| part.contains('=') || is_level(part));
        match EnvFilter::try_new(text) {
            Ok(_) if is_plain => Ok(Self(text.to_owned())),
            _ => Err(format!("{} is no log level such as info or debug", quoted(text))),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Value for StoreKind {
    const KIND: &'static str = "`sqlite`, `mongodb` or `memory`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "sqlite" => Ok(Self::Sqlite),
            "mongodb" => Ok(Self::Mongodb),
            "memory" => Ok(Self::Memory),
            _ => Err(format!("{} is no store; write sqlite, mongodb or memory", quoted(text))),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Sqlite => "sqlite",
            Self::Mongodb => "mongodb",
            Self::Memory => "memory",
        }
        .to_owned()
    }
}

impl Value for LogFormat {
    const KIND: &'static str = "`text` or `json`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{} is no log format; write text or json", quoted(text))),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
        .to_owned()
    }
}

impl Value for SocketAddr {
    const KIND: &'static str = "address:port";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("{} is no address such as 127.0.0.1:2346 or [::]:2346", quoted(text)))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Option<SocketAddr> {
    const KIND: &'static str = "address:port or `off`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(None);
        }
        <SocketAddr as Value>::parse(text).map(Some).map_err(|message| format!("{message}, nor `off`"))
    }

    fn show(&self) -> String {
        self.map_or_else(|| "off".to_owned(), |address| address.to_string())
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("needs a path".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for Option<PathBuf> {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, Value::show)
    }
}

impl Value for Option<SecretString> {
    const KIND: &'static str = "secret";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| SecretString::from(text)))
    }

    fn show(&self) -> String {
        self.as_ref().map_or("", |_| "[redacted]").to_owned()
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for bool {
    const KIND: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is neither true nor false", quoted(text)))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const KIND: &'static str = "number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is no whole number", quoted(text)))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for usize {
    const KIND: &'static str = "number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is no whole number", quoted(text)))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Duration {
    const KIND: &'static str = "seconds";

    fn parse(text: &str) -> Result<Self, String> {
        let seconds = text.parse().map_err(|_| format!("{} is no whole number of seconds", quoted(text)))?;
        Ok(Self::from_secs(seconds))
    }

    fn show(&self) -> String {
        self.as_secs().to_string()
    }
}

impl Value for TrustedProxies {
    const KIND: &'static str = "addresses or networks, separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: InvalidNetwork| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Origins {
    const KIND: &'static str = "origins, separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let origins =
            items.map(|item| item.parse::<Origin>().map_err(|error| format!("{} is {error}", quoted(item))));
        origins.collect::<Result<Vec<_>, _>>().map(Self::new)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl FromStr for HostNames {
    type Err = String;

    /// Names and addresses without ports, separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let names = items.map(|item| match item.parse::<Authority>() {
            Ok(host) if host.host() == item => Ok(item.to_ascii_lowercase()),
            _ => Err(format!("{} is no host name such as chat.example.org, without a port", quoted(item))),
        });
        names.collect::<Result<_, _>>().map(Self)
    }
}

impl Value for HostNames {
    const KIND: &'static str = "host names, separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn show(&self) -> String {
        self.0.join(",")
    }
}

/// `text` for a message: short, on one line, in quotation marks.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug())
}
