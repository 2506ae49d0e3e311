//! Whether a request came through a proxy that does not say whose request it is.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use chat_transport_ws::{Origin, TrustedProxies};

use super::hosts::{called, is_loopback_name};

/// What proxies add to a request, and programs and pages do not.
const OF_PROXIES: [&str; 5] = ["forwarded", "via", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// Whether `peer` is a trusted proxy that has not named the client. On the server's own machine there are clients
/// without any proxy as well: there something has to show that the request came from elsewhere.
pub(super) fn is_nameless(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> bool {
    if !proxies.trusts(peer) || headers.contains_key("x-forwarded-for") {
        return false;
    }
    !peer.to_canonical().is_loopback()
        || OF_PROXIES.iter().any(|name| headers.contains_key(*name))
        || headers.get(header::HOST).and_then(called).is_some_and(|host| !is_loopback_name(&host))
        || page(headers).is_some_and(|origin| origin.host().is_some_and(|host| !is_loopback_name(host)))
}

/// The origin of the page that connects.
fn page(headers: &HeaderMap) -> Option<Origin> {
    headers.get(header::ORIGIN)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nameless(peer: &str, fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        let proxies = "127.0.0.0/8,::1,10.0.0.5".parse().unwrap();
        is_nameless(&proxies, peer.parse().unwrap(), &headers)
    }

    #[test]
    fn a_proxy_that_names_no_client_is_told_from_clients_on_the_same_machine() {
        let forwarded = ("x-forwarded-for", "203.0.113.9");
        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            for host in ["localhost:2346", "127.0.0.1:2346", "[::1]:2346", "chat.localhost"] {
                assert!(!nameless(local, &[("host", host)]), "{local} {host}");
                assert!(!nameless(local, &[("host", host), ("origin", "http://localhost:3000")]));
                assert!(!nameless(local, &[("host", host), ("origin", "null")]));
                assert!(nameless(local, &[("host", host), ("origin", "https://chat.example.org")]));
                assert!(nameless(local, &[("host", host), ("x-forwarded-proto", "https")]));
            }
            assert!(nameless(local, &[("host", "chat.example.org")]));
            assert!(!nameless(local, &[("host", "chat.example.org"), forwarded]));
        }
        assert!(nameless("10.0.0.5", &[("host", "localhost")]));
        assert!(!nameless("10.0.0.5", &[("host", "chat.example.org"), forwarded]));
        assert!(!nameless("203.0.113.9", &[("host", "chat.example.org"), ("via", "1.1 x")]), "a client");
    }
}
