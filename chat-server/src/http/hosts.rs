//! The names by which a server may be called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a host, as it stands in a `Host` or an `Origin`, always is the machine of who names it.
pub(super) fn is_loopback_name(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || address(&name).is_some_and(|address| address.is_loopback())
}

/// The address that a host is, if it is no name.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(|address| IpAddr::from(address).to_canonical()),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    }
}
