//! The names by which a server may be called.
//!
//! A page of a foreign name that resolves to this machine (DNS rebinding) agrees with itself in `Host` and `Origin`.
//! So a listener on the loopback interface answers to names that always mean it, and to those that are listed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chat_transport_ws::Rejection;

use super::listener::{self, Arrival};
use crate::config::Config;

/// The hosts that requests at one listener may name.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(Option<Arc<Rule>>);

#[derive(Debug)]
struct Rule {
    listed: BTreeSet<String>,
    /// Whether every address is accepted: pages of other names cannot have one as their host.
    addresses: bool,
}

impl Hosts {
    /// The rule of a listener that is bound to `address`.
    pub(crate) fn of(address: IpAddr, config: &Config) -> Self {
        let is_loopback = address.is_loopback();
        if !is_loopback && config.allowed_hosts.names().is_empty() {
            return Self(None);
        }
        let of_origins = config.allowed_origins.iter().filter_map(|origin| origin.host());
        let listed = config.allowed_hosts.names().iter().map(String::as_str).chain(of_origins);
        let listed = listed.map(str::to_owned).collect();
        Self(Some(Arc::new(Rule { listed, addresses: !is_loopback })))
    }

    /// Whether a request with these headers may be answered. Browsers always name a host; who names none is none.
    fn accept(&self, headers: &HeaderMap) -> bool {
        let Some(rule) = &self.0 else { return true };
        let mut hosts = headers.get_all(header::HOST).iter();
        let Some(host) = hosts.next() else { return true };
        hosts.next().is_none() && called(host).is_some_and(|host| rule.accepts(&host))
    }
}

impl Rule {
    fn accepts(&self, host: &str) -> bool {
        is_loopback_name(host) || self.listed.contains(host) || self.addresses && address(host).is_some()
    }
}

/// Answers 421 to requests that name another host.
pub(super) async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if hosts.accept(request.headers()) {
        return next.run(request).await;
    }
    listener::refused(Rejection::Host).increment(1);
    let peer =
        request.extensions().get::<Arrival>().map(|arrival| tracing::field::display(arrival.peer.ip()));
    tracing::warn!(event = "host_refused", peer, "a request names a host that is not in allowed_hosts");
    (StatusCode::MISDIRECTED_REQUEST, "This host name is not in allowed_hosts\n").into_response()
}

/// The host in a `Host`, in lower case and without its port.
pub(super) fn called(value: &HeaderValue) -> Option<String> {
    let authority: Authority = value.to_str().ok()?.parse().ok()?;
    (!authority.as_str().contains('@')).then(|| authority.host().to_ascii_lowercase())
}

/// Whether a host, as it stands in a `Host` or an `Origin`, always is the machine of who names it.
pub(super) fn is_loopback_name(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || address(host).is_some_and(|address| address.is_loopback())
}

/// The address that a host is, if it is no name.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(|address| IpAddr::from(address).to_canonical()),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(listener: &str, allowed: &str, host: &str) -> bool {
        let config = Config {
            allowed_origins: chat_transport_ws::Origins::new(["https://app.example:8443".parse().unwrap()]),
            allowed_hosts: allowed.parse().unwrap(),
            ..Config::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        Hosts::of(listener.parse().unwrap(), &config).accept(&headers)
    }

    #[test]
    fn sec_142_a_loopback_listener_is_called_by_loopback_names_and_listed_ones() {
        for listener in ["127.0.0.1", "::1"] {
            for host in
                ["localhost", "LocalHost:2346", "chat.localhost:1", "127.0.0.1", "127.9.8.7:80", "[::1]:2346"]
            {
                assert!(accepted(listener, "", host), "{host}");
            }
            for host in ["app.example", "App.Example:2346"] {
                assert!(accepted(listener, "", host), "{host} is the host of a listed origin");
            }
            for host in [
                "evil.example",
                "localhost.evil.example",
                "evillocalhost",
                "127.0.0.1.evil.example",
                "0.0.0.0",
                "192.0.2.1",
                "[::2]",
                "localhost@evil.example",
                "evil.example@localhost",
                "",
                "localhost.",
            ] {
                assert!(!accepted(listener, "", host), "{host}");
            }
            assert!(accepted(listener, "chat.example, [fd00::1]", "chat.example:443"));
            assert!(accepted(listener, "chat.example, [fd00::1]", "[fd00::1]"));
            assert!(!accepted(listener, "chat.example", "sub.chat.example"));
        }
    }

    #[test]
    fn sec_142_other_listeners_are_called_by_any_name_unless_names_are_listed() {
        assert!(accepted("0.0.0.0", "", "evil.example"));
        for host in ["chat.example", "192.0.2.1:2346", "[fd00::1]", "localhost"] {
            assert!(accepted("0.0.0.0", "chat.example", host), "{host}");
        }
        assert!(!accepted("192.0.2.1", "chat.example", "evil.example"));
    }

    #[test]
    fn who_names_no_host_is_no_browser_and_who_names_two_is_refused() {
        let hosts = Hosts::of(Ipv4Addr::LOCALHOST.into(), &Config::default());
        let mut headers = HeaderMap::new();
        assert!(hosts.accept(&headers));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(!hosts.accept(&headers));
    }
}
