//! Checks that the SOCKS5 proxy answers, and that it is tailscaled's.

#![forbid(unsafe_code)]

use crate::listener::Listener;
use crate::owner;
use crate::sys::process::Pid;
use std::fmt;
use std::time::Duration;
use tailchain_core::config::{Endpoint, Proxy, ProxyKind};
use tailchain_core::host::Target;
use tailchain_diagnostics::probe;

/// The proxy is on this machine and answers at once, if it works.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub enum NotReady {
    Proxy(probe::Failure),
    /// Another process listens on the address: it would get the connections to the tailnet.
    Foreign(owner::Owner),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReady::Proxy(failure) => failure.fmt(f),
            NotReady::Foreign(owner) => write!(
                f,
                "the process that listens there is not tailscaled but {owner}; stop it, or choose another port with TAILSCALE_SOCKS5_PORT"
            ),
        }
    }
}

/// Checks that the process `tailscaled` listens and answers a SOCKS5 greeting. Without /proc only the answer is checked.
pub fn answers(listener: Listener, tailscaled: Option<Pid>) -> Result<(), NotReady> {
    let proxy = Proxy {
        kind: ProxyKind::Socks5,
        endpoint: Endpoint::Tcp(Target::from(listener.address())),
        credentials: None,
    };
    let owner = owner::of(listener.address());
    if let (Some(owner), Some(pid)) = (owner, tailscaled) {
        if owner.is(pid) == Some(false) {
            return Err(NotReady::Foreign(owner));
        }
    }
    probe::probe(&proxy, PATIENCE, PATIENCE)
        .map(drop)
        .map_err(NotReady::Proxy)
}
