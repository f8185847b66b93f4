//! Addresses of proxies that are configured by name. libc may take seconds to resolve one, and the supervisor must
//! answer other programs' calls meanwhile, so a thread resolves them.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tailchain_core::config::{ChainKind, Config, Endpoint};
use tailchain_core::dial::endpoint::Resolver;
use tailchain_core::errno::Errno;
use tailchain_core::host::Host;
use tailchain_core::router::Libc;
use tailchain_core::sys::{self, Fd, OwnFd};

/// An address older than this is resolved again, and used meanwhile.
const OLD: Duration = Duration::from_secs(30);
/// How long a failed lookup is cached.
const FAILED: Duration = Duration::from_secs(1);

type Name = (String, u16);
type Found = Result<Vec<SocketAddr>, Errno>;

pub struct ProxyNames {
    /// The names that a connect may need.
    names: Vec<Name>,
    entries: Mutex<HashMap<Name, Entry>>,
    /// Readable when a lookup has finished.
    event: OwnFd,
}

#[derive(Default)]
struct Entry {
    found: Option<(Duration, Found)>,
    is_asked: bool,
}

impl ProxyNames {
    pub fn new(config: &Config) -> Result<&'static ProxyNames, Errno> {
        // In a strict chain, the previous proxy resolves the name of each further proxy.
        let first = match config.chain {
            ChainKind::Strict => 1,
            _ => config.proxies.len(),
        };
        let name = |endpoint: &Endpoint| match endpoint {
            Endpoint::Tcp(target) => match &target.host {
                Host::Name(name) => Some((name.as_str().to_owned(), target.port)),
                Host::Ip(_) => None,
            },
            Endpoint::Unix(_) => None,
        };
        let proxies = config.proxies.iter().take(first);
        Ok(Box::leak(Box::new(ProxyNames {
            names: proxies.filter_map(|proxy| name(&proxy.endpoint)).collect(),
            entries: Mutex::default(),
            event: sys::event_counter()?,
        })))
    }

    pub fn event(&self) -> Fd {
        self.event.fd()
    }

    /// Whether a dial can begin. If not, [`ProxyNames::event`] becomes readable when it is time to ask again.
    pub fn are_known(&'static self) -> bool {
        let now = sys::now();
        let mut are_known = true;
        for name in &self.names {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = entries.entry(name.clone()).or_default();
            let (is_usable, is_fresh) = match &entry.found {
                None => (false, false),
                Some((at, Ok(_))) => (true, now.saturating_sub(*at) < OLD),
                Some((at, Err(_))) => {
                    let is_fresh = now.saturating_sub(*at) < FAILED;
                    (is_fresh, is_fresh)
                }
            };
            if !is_fresh && !entry.is_asked {
                entry.is_asked = true;
                drop(entries);
                self.ask(name);
            }
            are_known &= is_usable;
        }
        are_known
    }

    fn ask(&'static self, name: &'static Name) {
        let ask = || self.answer(name, Libc.resolve(&name.0, name.1));
        if std::thread::Builder::new().spawn(ask).is_err() {
            self.answer(name, Err(Errno::EAGAIN));
        }
    }

    fn answer(&self, name: &Name, found: Found) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(name.clone()).or_default();
        entry.is_asked = false;
        // An earlier address is better than none.
        if found.is_ok() || !matches!(entry.found, Some((_, Ok(_)))) {
            entry.found = Some((sys::now(), found));
        }
        drop(entries);
        sys::signal_event(self.event.fd());
    }

    pub fn clear_event(&self) {
        sys::clear_event(self.event.fd());
    }
}

impl Resolver for ProxyNames {
    fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, Errno> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(&(name.to_owned(), port));
        match entry.and_then(|entry| entry.found.as_ref()) {
            Some((_, found)) => found.clone(),
            None => Err(Errno::EHOSTUNREACH),
        }
    }
}
