//! Where a client really is: behind which proxies `X-Forwarded-For` is believed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;
use ipnet::IpNet;
use thiserror::Error;

/// The proxies whose `X-Forwarded-For` is believed; by default those on the same machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A text that is no list of addresses and networks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
pub struct InvalidNetwork(String);

impl Default for TrustedProxies {
    fn default() -> Self {
        Self(vec![
            IpNet::new_assert([127, 0, 0, 0].into(), 8),
            IpNet::from(IpAddr::from(std::net::Ipv6Addr::LOCALHOST)),
        ])
    }
}

impl FromStr for TrustedProxies {
    type Err = InvalidNetwork;

    /// Addresses and networks, separated by commas; an empty text trusts nobody.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(|part| {
            let address = part.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| part.parse::<IpNet>()).map_err(|_| InvalidNetwork(part.to_owned()))
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for TrustedProxies {
    /// As [`from_str`](Self::from_str) reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&networks.join(","))
    }
}

impl TrustedProxies {
    /// Whether the header of this neighbour is believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// The client of a request that `peer` sent: `peer` itself unless it is a trusted proxy, else the right-most
    /// address in `X-Forwarded-For` that is none. What stands left of that, and what is not an address, anybody
    /// could have written.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        let hops = values.iter().rev().flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            match parse_hop(hop.trim()) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }
}

/// An address, alone or with a port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<std::net::SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        proxies.parse::<TrustedProxies>().unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn sec_11_a_stranger_cannot_choose_its_address() {
        for forged in [
            &["127.0.0.1"][..],
            &["10.0.0.1"],
            &["8.8.8.8"],
            &["8.8.8.8, 127.0.0.1"],
            &["::1"],
            &["localhost"],
            &["127.0.0.1", "127.0.0.1"],
            &["unknown"],
            &[""],
            &[","],
            &["203.0.113.9"],
            &["0.0.0.0"],
        ] {
            assert_eq!(
                client("127.0.0.0/8,10.0.0.0/8,::1", "203.0.113.9", forged),
                "203.0.113.9",
                "{forged:?}"
            );
        }
    }

    #[test]
    fn sec_11_the_right_most_untrusted_hop_is_the_client() {
        let proxies = "127.0.0.0/8, 10.0.0.0/8, ::1, fd00::/8";
        for (peer, forwarded, expected) in [
            ("127.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("127.0.0.1", &["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["10.9.9.9, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["203.0.113.9, 10.0.0.7"], "203.0.113.9"),
            ("127.0.0.1", &["203.0.113.9", "10.0.0.7,10.0.0.8"], "203.0.113.9"),
            ("::1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("::ffff:127.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
            ("127.0.0.1", &["10.0.0.3, 10.0.0.7"], "10.0.0.3"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9, garbage"], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9, "], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9, 10.0.0.7, <script>"], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9, ünicode"], "127.0.0.1"),
            ("127.0.0.1", &["1.2.3.4.5, 10.0.0.7"], "10.0.0.7"),
        ] {
            assert_eq!(client(proxies, peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn nobody_is_trusted_where_the_list_is_empty_and_typing_errors_are_named() {
        assert_eq!(client("", "127.0.0.1", &["203.0.113.9"]), "127.0.0.1");
        assert_eq!("10.0.0.0/33".parse::<TrustedProxies>(), Err(InvalidNetwork("10.0.0.0/33".to_owned())));
        assert!(TrustedProxies::default().trusts("127.8.8.8".parse().unwrap()));
        assert!(!TrustedProxies::default().trusts("128.0.0.1".parse().unwrap()));
    }
}
