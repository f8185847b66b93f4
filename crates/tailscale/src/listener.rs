//! Where tailscaled's SOCKS5 proxy listens.
//!
//! Every process of this machine can use it, whichever user it belongs to: tailscaled 1.102 has no setting for a
//! password. What can be had is that no peer of the tailnet reaches it, and that nobody else takes its place.

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

    /// What tailscaled is told to bind.
    pub fn bound(self) -> SocketAddr {
        self.0
    }

    /// Where programs of this machine find it.
    pub fn address(self) -> SocketAddr {
        match self.0.ip().is_unspecified() {
            true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.0.port()),
            false => self.0,
        }
    }

    /// What tells tailchain in other processes where it is.
    pub fn variables(self) -> [(&'static str, String); 2] {
        [
            (HOST_VARIABLE, self.address().ip().to_string()),
            (PORT_VARIABLE, self.address().port().to_string()),
        ]
    }

    /// Whether peers can use it: what they send to the node's own address arrives at 127.0.0.1, whatever its family
    /// was (netstack of tailscaled in userspace mode).
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
    fn only_what_takes_connections_to_127_0_0_1_is_open_to_peers() {
        for host in ["127.0.0.1", "0.0.0.0", "::"] {
            assert!(on(host).is_open_to_peers(), "{host}");
        }
        for host in ["127.0.0.2", "::1", "192.0.2.1"] {
            assert!(!on(host).is_open_to_peers(), "{host}");
        }
    }

    #[test]
    fn one_on_every_address_is_found_on_localhost() {
        assert_eq!(on("0.0.0.0").address().to_string(), "127.0.0.1:1055");
        assert_eq!(on("::").address().to_string(), "127.0.0.1:1055");
        assert_eq!(on("127.0.0.2").address().to_string(), "127.0.0.2:1055");
    }
}
