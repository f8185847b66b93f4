//! Whether the proxy of tailscaled's can be used, and is tailscaled's.

#![forbid(unsafe_code)]

use crate::listener::Listener;
use crate::owner;
use crate::sys::process::Pid;
use std::fmt;
use std::time::Duration;
use tailchain_core::config::{Endpoint, Proxy, ProxyKind};
use tailchain_core::host::Target;
use tailchain_diagnostics::probe;

/// It is on this machine: an answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub enum NotReady {
    Proxy(probe::Failure),
    /// Somebody else listens there; they get everything that is meant for the tailnet.
    Foreign(owner::Owner),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReady::Proxy(failure) => failure.fmt(f),
            NotReady::Foreign(owner) => write!(
                f,
                "it is not tailscaled that listens there but {owner}; end that, or choose another port with TAILSCALE_SOCKS5_PORT"
            ),
        }
    }
}

/// Whether a SOCKS5 greeting is answered, by the process `tailscaled`. Without /proc the answer alone counts.
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
