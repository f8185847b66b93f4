//! The address of tailscaled's SOCKS5 proxy.
//!
//! Every user of this machine can use the proxy: tailscaled 1.102 has no setting for a password. But peers of the tailnet
//! can be kept out, and other processes can be kept from taking the port.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tailchain_core::config::tailscaled::{HOST_VARIABLE, PORT_VARIABLE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener(SocketAddr);

impl Listener {
    pub fn new(host: IpAddr, port: u16) -> Listener {
        Listener(SocketAddr::new(host, port))
    }

    /// The address that tailscaled binds.
    pub fn bound(self) -> SocketAddr {
        self.0
    }

    /// The address that programs on this machine connect to.
    pub fn address(self) -> SocketAddr {
        match self.0.ip().is_unspecified() {
            true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.0.port()),
            false => self.0,
        }
    }

    /// The variables that tell the preload library this address.
    pub fn variables(self) -> [(&'static str, String); 2] {
        [
            (HOST_VARIABLE, self.address().ip().to_string()),
            (PORT_VARIABLE, self.address().port().to_string()),
        ]
    }

    /// Whether peers can use the proxy: tailscaled in userspace mode forwards connections to the node's own addresses, IPv4
    /// and IPv6, to 127.0.0.1 (netstack).
    pub fn is_open_to_peers(self) -> bool {
        let ip = self.0.ip();
        ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::LOCALHOST)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(host: &str) -> Listener {
        Listener::new(host.parse().unwrap(), 1055)
    }

    #[test]
    fn a_listener_that_accepts_for_127_0_0_1_is_open_to_peers() {
        for host in ["127.0.0.1", "0.0.0.0", "::"] {
            assert!(on(host).is_open_to_peers(), "{host}");
        }
        for host in ["127.0.0.2", "::1", "192.0.2.1"] {
            assert!(!on(host).is_open_to_peers(), "{host}");
        }
    }

    #[test]
    fn a_wildcard_listener_is_reached_on_localhost() {
        assert_eq!(on("0.0.0.0").address().to_string(), "127.0.0.1:1055");
        assert_eq!(on("::").address().to_string(), "127.0.0.1:1055");
        assert_eq!(on("127.0.0.2").address().to_string(), "127.0.0.2:1055");
    }
}
