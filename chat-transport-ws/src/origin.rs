//! Which web pages may open a connection: those of this host, and those listed.
//!
//! Clients that are no browsers send no `Origin` and are let in: a connection carries
//! no cookie and can do nothing before it shows a token.

use std::fmt;
use std::str::FromStr;

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use thiserror::Error;

/// What pages say that have no host, such as files: some browsers the one, some the other.
const HOSTLESS: [&str; 2] = ["null", "file://"];

/// A web origin: scheme, host and port, as browsers write it (lower case, IDN as punycode, no path); or `null` or
/// `file://`, which pages without a host send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    /// One of [`HOSTLESS`].
    Hostless(&'static str),
    Host(WebOrigin),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct WebOrigin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// A text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an origin of the form https://host or https://host:port in lower case, nor null or file://")]
pub struct InvalidOrigin;

impl Origin {
    /// The host, without its port; none of `null` and `file://`.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.0 {
            Kind::Hostless(_) => None,
            Kind::Host(origin) => Some(&origin.host),
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if let Some(hostless) = HOSTLESS.into_iter().find(|hostless| *hostless == text) {
            return Ok(Self(Kind::Hostless(hostless)));
        }
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin)?;
        if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(is_scheme_byte) {
            return Err(InvalidOrigin);
        }
        let (host, port) = split_authority(authority).ok_or(InvalidOrigin)?;
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidOrigin);
        }
        let port = port.or_else(|| default_port(scheme));
        Ok(Self(Kind::Host(WebOrigin { scheme: scheme.to_owned(), host: host.to_owned(), port })))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WebOrigin { scheme, host, port } = match &self.0 {
            Kind::Hostless(text) => return f.write_str(text),
            Kind::Host(origin) => origin,
        };
        write!(f, "{scheme}://{host}")?;
        match port {
            Some(port) if default_port(scheme) != Some(*port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// The origins that may connect beside the server's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

impl fmt::Display for Origins {
    /// Separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&origins.join(","))
    }
}

impl Origins {
    /// These may connect too.
    #[must_use]
    pub fn new(allowed: impl IntoIterator<Item = Origin>) -> Self {
        Self(allowed.into_iter().collect())
    }

    /// Those that are listed.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter()
    }

    /// Whether a request with these headers may connect: it has no `Origin`, or one that is the server's own (the
    /// request's `Host`, over http or https) or is listed.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(ORIGIN).iter();
        let Some(value) = values.next() else { return true };
        if values.next().is_some() {
            return false;
        }
        let Some(origin) = value.to_str().ok().and_then(|text| text.parse::<Origin>().ok()) else {
            return false;
        };
        self.0.contains(&origin) || is_own(&origin, headers)
    }
}

/// Whether `origin` names the host and port that the request was sent to.
fn is_own(origin: &Origin, headers: &HeaderMap) -> bool {
    let Kind::Host(origin) = &origin.0 else { return false };
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let Some((host, port)) = host.and_then(split_authority) else { return false };
    matches!(origin.scheme.as_str(), "http" | "https")
        && origin.host.eq_ignore_ascii_case(host)
        && origin.port == port.or_else(|| default_port(&origin.scheme))
}

/// `host` or `host:port`, as it stands in a `Host` header; `None` if it is neither.
pub(crate) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(parse_port(digits)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    is_host(host).then_some((host, port))
}

fn parse_port(digits: &str) -> Option<u16> {
    let canonical = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if canonical { digits.parse().ok() } else { None }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    }
}

fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &[&str]) -> bool {
        let listed =
            ["https://app.example", "https://other.example:8443", "http://[::1]:3000", "tauri://localhost"];
        let origins_allowed = Origins::new(listed.iter().map(|text| text.parse().unwrap()));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "chat.example:2346".parse().unwrap());
        for origin in origins {
            headers.append(ORIGIN, http::HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        }
        origins_allowed.allow(&headers)
    }

    #[test]
    fn sec_04_absent_own_and_listed_origins_may_connect() {
        assert!(allowed(&[]));
        for origin in [
            "http://chat.example:2346",
            "https://chat.example:2346",
            "https://app.example",
            "https://app.example:443",
            "https://other.example:8443",
            "http://[::1]:3000",
            "tauri://localhost",
        ] {
            assert!(allowed(&[origin]), "{origin}");
        }
    }

    #[test]
    fn sec_04_every_other_origin_is_refused() {
        for origin in [
            "null",
            "",
            " ",
            "*",
            "https://",
            "app.example",
            "https:app.example",
            "https:/app.example",
            "https://evil.com",
            "https://app.example.evil.com",
            "https://evilapp.example",
            "https://sub.app.example",
            "http://app.example",
            "wss://app.example",
            "ftp://app.example",
            "file://",
            "file:///etc/passwd",
            "https://app.example:444",
            "https://app.example:0443",
            "https://app.example:",
            "https://app.example:99999",
            "https://app.example:+443",
            "https://other.example",
            "https://other.example:8444",
            "HTTPS://app.example",
            "https://APP.example",
            "https://app.example.",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example?q",
            "https://app.example#f",
            "https://user@app.example",
            "https://app.example@evil.com",
            "https://app.example`evil.com",
            "https://app.example$evil.com",
            "https://app.example%00evil.com",
            "https://app.example evil.com",
            "https://app.example\tevil.com",
            "https://äpp.example",
            "https://app。example",
            "https://xn--pp-eka.example",
            "http://chat.example",
            "http://chat.example:2347",
            "http://chat.example.:2346",
            "http://xchat.example:2346",
            "tauri://chat.example:2346",
            "http://[::1]",
            "http://[::1]:3001",
            "http://::1:3000",
            "http://[::1",
            "http://[::1]3000",
            "http://localhost",
            "http://127.0.0.1:2346",
        ] {
            assert!(!allowed(&[origin]), "{origin:?}");
        }
        assert!(!allowed(&["https://app.example", "https://app.example"]));
        assert!(!allowed(&["https://app.example", "https://evil.com"]));
    }

    #[test]
    fn sec_04_pages_without_a_host_may_connect_where_they_are_listed() {
        let allows = |listed: &str, origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "null".parse().unwrap());
            headers.insert(ORIGIN, origin.parse().unwrap());
            Origins::new([listed.parse().unwrap()]).allow(&headers)
        };
        assert!(allows("null", "null") && allows("file://", "file://"));
        for (listed, origin) in [("null", "file://"), ("file://", "null"), ("file://", "file:///etc/passwd")]
        {
            assert!(!allows(listed, origin), "{listed} {origin}");
        }
        for text in ["file:///home", "file:", "NULL", "file://host"] {
            assert_ne!(text.parse::<Origin>().map(|origin| origin.host().is_none()), Ok(true), "{text}");
        }
    }

    #[test]
    fn a_host_without_a_port_means_the_port_of_the_scheme() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "Chat.Example".parse().unwrap());
        for (origin, expected) in [
            ("https://chat.example", true),
            ("http://chat.example", true),
            ("http://chat.example:443", false),
            ("https://chat.example:2346", false),
        ] {
            headers.insert(ORIGIN, origin.parse().unwrap());
            assert_eq!(Origins::default().allow(&headers), expected, "{origin}");
        }
    }

    #[test]
    fn an_origin_is_shown_as_browsers_write_it() {
        for text in ["https://app.example", "http://app.example:8080", "tauri://localhost", "null", "file://"]
        {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
        assert_eq!("https://a.example:443".parse::<Origin>().unwrap().to_string(), "https://a.example");
    }
}
