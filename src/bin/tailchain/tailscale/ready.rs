//! Whether the proxy of tailscaled's can be used.

#![forbid(unsafe_code)]

use crate::probe;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;
use tailchain_core::config::{Endpoint, Proxy, ProxyKind};
use tailchain_core::host::Target;

/// It is on this machine: an answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether something answers a SOCKS5 greeting on this port.
pub fn answers(port: u16) -> Result<(), probe::Failure> {
    let address = (Ipv4Addr::LOCALHOST, port);
    let proxy = Proxy {
        kind: ProxyKind::Socks5,
        endpoint: Endpoint::Tcp(Target::from(std::net::SocketAddr::from(address))),
        credentials: None,
    };
    probe::probe(&proxy, PATIENCE, PATIENCE).map(drop)
}

/// Whether tailscaled will be able to listen there. It would fail later, and say so in a log that nobody reads.
pub fn is_free(port: u16) -> io::Result<bool> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error),
    }
}
