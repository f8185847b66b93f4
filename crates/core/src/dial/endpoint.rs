//! How the program's socket reaches the first proxy's address.

use crate::config::Endpoint;
use crate::errno::Errno;
use crate::host::Host;
use crate::sys::SockAddr;
use libc::c_int;
use std::net::{IpAddr, SocketAddr};

/// The address family of the program's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Inet,
    /// Dual-stack: accepts IPv4-mapped addresses.
    Inet6,
    /// With IPV6_V6ONLY.
    Inet6Only,
}

/// How to reach an endpoint from a socket of some family.
pub enum ConnectVia {
    /// On the program's own socket.
    Own(SockAddr),
    /// Only from a socket of this other family (invariant 2's exception).
    Replacement(c_int, SockAddr),
}

/// Resolves a proxy's host name; may block.
pub trait Resolver {
    fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, Errno>;
}

/// How a socket of `family` reaches `endpoint`: one entry for each of its addresses, in the order to try them.
pub fn reach(
    endpoint: &Endpoint,
    family: Family,
    resolver: &dyn Resolver,
) -> Result<Vec<ConnectVia>, Errno> {
    let target = match endpoint {
        Endpoint::Unix(path) => {
            let address = SockAddr::unix(path).ok_or(Errno::EINVAL)?;
            return Ok(vec![ConnectVia::Replacement(libc::AF_UNIX, address)]);
        }
        Endpoint::Tcp(target) => target,
    };
    Ok(match &target.host {
        Host::Ip(ip) => vec![reach_address(SocketAddr::new(*ip, target.port), family)],
        Host::Name(name) => {
            let addresses = resolver.resolve(name.as_str(), target.port)?;
            let mut ways: Vec<ConnectVia> = addresses
                .into_iter()
                .map(|address| reach_address(address, family))
                .collect();
            // Prefer the addresses that the program's own socket can reach.
            ways.sort_by_key(|way| matches!(way, ConnectVia::Replacement(..)));
            ways
        }
    })
}

fn reach_address(address: SocketAddr, family: Family) -> ConnectVia {
    match (family, address.ip()) {
        (Family::Inet, IpAddr::V4(_)) | (Family::Inet6 | Family::Inet6Only, IpAddr::V6(_)) => {
            ConnectVia::Own(address.into())
        }
        (Family::Inet6, IpAddr::V4(ip)) => {
            ConnectVia::Own(SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()).into())
        }
        (Family::Inet, IpAddr::V6(_)) => ConnectVia::Replacement(libc::AF_INET6, address.into()),
        (Family::Inet6Only, IpAddr::V4(_)) => {
            ConnectVia::Replacement(libc::AF_INET, address.into())
        }
    }
}
