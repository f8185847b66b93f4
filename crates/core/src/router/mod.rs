//! Where this process's connections and names go: the configuration, and what was learned since it was read.
//!
//! The preload library and the supervisor each have one. [`crate::route`] holds the rules; here is what they need to
//! know: the table of names, /etc/hosts, the addresses that were resolved. [`connect`] decides about one connect of a
//! socket, [`names`] about one name or DNS query.

pub mod connect;
pub mod names;

use crate::chain::ChainSeed;
use crate::config::{ChainKind, Config, Dns, Endpoint, Proxy, ProxyDown, RawDns, Source};
use crate::dial::endpoint::Resolver;
use crate::dial::{Attempt, Report};
use crate::errno::Errno;
use crate::fake_ip::{FakeId, FakeNet};
use crate::host::{Host, HostName};
use crate::hosts::{own_name, HostsFile, KnownHost, Spelling};
use crate::local_addresses::LocalAddresses;
use crate::local_api::{Failure, Resolution, Unanswered};
use crate::log::Log;
use crate::name_table::{KeptNames, NameTable};
use crate::resolutions::Resolutions;
use crate::route::{self, Dialled, Refusal, Route};
use crate::sys;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use once_cell::race::OnceBox;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The configuration and what follows from it. Made once; what it learns is only added to.
pub struct Router {
    pub config: Config,
    pub log: Log,
    pub fakes: FakeNet,
    env: fn(&str) -> Option<OsString>,
    local_addresses: LocalAddresses,
    /// The same for the host names in the proxy list.
    proxy_addresses: LocalAddresses,
    local_proxies: OnceBox<Vec<IpAddr>>,
    names: OnceBox<NameTable>,
    kept: KeptNames,
    /// What tailscaled said of names (`tailscale_socket`).
    resolutions: Resolutions,
    /// The log has a line that tailscaled cannot be asked.
    told_of_silence: AtomicBool,
    hosts: OnceBox<HostsFile>,
}

/// What an address is to the names table.
pub enum Fake {
    No,
    /// In the fake range, but given to nobody, or so long ago that it was given to another name since.
    Unknown,
    Name(HostName),
}

impl Router {
    /// `env` reads an environment variable: where the table of names is depends on one.
    pub fn new(config: Config, env: fn(&str) -> Option<OsString>) -> Router {
        Router {
            log: Log::new(&config),
            fakes: FakeNet::new(config.fake_subnet),
            env,
            local_addresses: LocalAddresses::new(),
            proxy_addresses: LocalAddresses::new(),
            local_proxies: OnceBox::new(),
            names: OnceBox::new(),
            kept: KeptNames::default(),
            resolutions: Resolutions::default(),
            told_of_silence: AtomicBool::new(false),
            hosts: OnceBox::new(),
            config,
        }
    }

    /// The names table, opened on first use.
    pub fn names(&self) -> &NameTable {
        self.names
            .get_or_init(|| Box::new(NameTable::open(&self.env)))
    }

    /// The address that stands for `name`, which it then does for as long as this process lives. `None`: the table cannot
    /// take it.
    pub fn assign(&self, name: &HostName) -> Option<FakeId> {
        /// How many ids that this process keeps for other names may be in the way.
        const ATTEMPTS: usize = 64;
        let mut ticket = self.names().assign_ticket(name)?;
        for _ in 0..ATTEMPTS {
            if self.kept.keep(ticket, name) {
                return Some(FakeId::of_ticket(ticket));
            }
            ticket = self.names().assign_another(name, ticket)?;
        }
        None
    }

    /// The name that an id stands for in this process.
    fn name_of(&self, id: FakeId) -> Option<HostName> {
        if let Some(name) = self.kept.name_of(id) {
            return Some(name.clone());
        }
        let (ticket, name) = self.names().holder_of(id)?;
        self.kept.may_be(ticket).then_some(name)
    }

    /// Whether libc knows `name` without asking a server: /etc/hosts, the machine's own name.
    pub fn knows(&self, name: &HostName) -> bool {
        self.hosts().names().contains(name) || own_name().as_ref() == Some(name)
    }

    /// The same of a name that libc is asked for in this spelling.
    pub fn knows_as(&self, name: &HostName, spelling: Spelling) -> bool {
        self.known_host(name, Some(spelling)).is_some() || own_name().as_ref() == Some(name)
    }

    /// What /etc/hosts says of `name`, in this spelling or in any.
    pub fn known_host(&self, name: &HostName, spelling: Option<Spelling>) -> Option<KnownHost> {
        let names = self.hosts().names();
        match spelling {
            Some(spelling) => names.host(name, spelling),
            None => names.any_host(name),
        }
    }

    /// The name that /etc/hosts gives for `ip`.
    pub fn known_name(&self, ip: IpAddr) -> Option<HostName> {
        self.hosts().names().name_of(ip).cloned()
    }

    fn hosts(&self) -> &HostsFile {
        self.hosts
            .get_or_init(|| Box::new(HostsFile::new("/etc/hosts")))
    }

    /// Numbers for the planner of one connection: those that its kind of chain asks for.
    pub fn chain_seed(&self) -> ChainSeed {
        let mut chain_seed = ChainSeed { turn: 0, seed: 0 };
        match self.config.chain {
            ChainKind::Strict | ChainKind::Dynamic => {}
            ChainKind::RoundRobin { len } => chain_seed.turn = self.names().take_turns(len),
            ChainKind::Random { .. } => chain_seed.seed = seed(),
        }
        chain_seed
    }

    /// Whether `address` is where one of the proxies listens.
    pub fn is_proxy(&self, address: SocketAddr) -> bool {
        self.config
            .proxies
            .iter()
            .any(|proxy| match &proxy.endpoint {
                Endpoint::Tcp(target) => {
                    target.port == address.port()
                        && match &target.host {
                            Host::Ip(ip) => *ip == address.ip().to_canonical(),
                            // A name may be at any address.
                            Host::Name(_) => true,
                        }
                }
                Endpoint::Unix(_) => false,
            })
    }

    pub fn has_unix_proxy(&self) -> bool {
        let is_unix = |proxy: &Proxy| matches!(proxy.endpoint, Endpoint::Unix(_));
        self.config.proxies.iter().any(is_unix)
    }

    /// libc gave `address` for a name that it resolves itself.
    pub fn remember(&self, address: IpAddr, name: &HostName) {
        if self.config.local_domains.matches(name).is_some() {
            self.local_addresses.remember(address, name);
        }
        if route::names_a_proxy(&self.config, name) {
            self.proxy_addresses.remember(address, name);
        }
    }

    /// Where a connection to this address goes.
    pub fn route(&self, address: SocketAddr) -> Route<'_> {
        let found;
        let dialled = match self.fake_name(address) {
            Fake::No => match self.local_addresses.name_of(address.ip()) {
                Some(name) => Dialled::Local(address, name),
                None => Dialled::Address(address),
            },
            Fake::Unknown => Dialled::UnknownFake(address),
            Fake::Name(name) => {
                found = name;
                Dialled::Name(&found, address.port())
            }
        };
        let named_proxy = self.is_named_proxy(address).then_some(address);
        route::decide(&self.config, dialled, named_proxy.as_slice())
    }

    /// Whether a proxy that is given by name listens there, for a program that itself connects to one of them. The name
    /// is in /etc/hosts, or the program has resolved it, or we have, to make a tunnel; here nothing is resolved, since that takes time, and
    /// a non-blocking connect may not.
    fn is_named_proxy(&self, address: SocketAddr) -> bool {
        let is_its_port = |proxy: &Proxy| match &proxy.endpoint {
            Endpoint::Tcp(target) => {
                target.port == address.port() && matches!(target.host, Host::Name(_))
            }
            Endpoint::Unix(_) => false,
        };
        self.config.proxies.iter().any(is_its_port)
            && (self.proxy_addresses.name_of(address.ip()).is_some()
                || self.local_proxies().contains(&address.ip().to_canonical()))
    }

    /// The addresses of the proxies whose names nobody has to be asked about.
    fn local_proxies(&self) -> &[IpAddr] {
        self.local_proxies.get_or_init(|| {
            let is_proxy = |name: &HostName| route::names_a_proxy(&self.config, name);
            let mut known = self.hosts().addresses_of(&is_proxy);
            if HostName::new(b"localhost").is_ok_and(|name| is_proxy(&name)) {
                known.extend([
                    Ipv4Addr::LOCALHOST.into(),
                    IpAddr::from(Ipv6Addr::LOCALHOST),
                ]);
            }
            Box::new(known)
        })
    }

    /// Whether to make a tunnel may take a name to be looked up by libc.
    pub fn may_look_up(&self) -> bool {
        self.has_named_proxy() || self.config.proxy_down == ProxyDown::Direct
    }

    /// Whether a first proxy may have to be resolved, which may block.
    pub fn has_named_proxy(&self) -> bool {
        let is_named = |proxy: &Proxy| match &proxy.endpoint {
            Endpoint::Tcp(target) => matches!(target.host, Host::Name(_)),
            Endpoint::Unix(_) => false,
        };
        self.config.proxies.iter().any(is_named)
    }

    /// Whether there are datagrams to be refused at all.
    pub fn watches_datagrams(&self) -> bool {
        self.config.dns == Dns::Remote || self.config.raw_dns == RawDns::Deny
    }

    /// The errno for a datagram that may not go to this address, and why.
    pub fn refusal_of_datagram(&self, to: SocketAddr) -> Option<(Errno, String)> {
        match self.fake_name(to) {
            Fake::No if route::denies_direct(&self.config, to.port()) => {
                Some((route::RAW_DNS_ERROR, Refusal::RawDns.to_string()))
            }
            Fake::No => None,
            Fake::Unknown if self.fakes.is_local_multicast(to.ip()) => None,
            Fake::Unknown => Some((Errno::EHOSTUNREACH, Refusal::UnknownFake(to).to_string())),
            Fake::Name(name) => Some((
                Errno::EHOSTUNREACH,
                format!("only TCP goes through the proxy, and this address stands for {name}"),
            )),
        }
    }

    /// Whether an address is in the range of those that stand for names.
    pub fn is_fake(&self, ip: IpAddr) -> bool {
        self.config.dns == Dns::Remote && self.fakes.contains(ip)
    }

    /// Whether `address` stands for a name.
    pub fn fake_name(&self, address: SocketAddr) -> Fake {
        if self.config.dns == Dns::Local {
            return Fake::No;
        }
        match self.fakes.id_of(address.ip()) {
            None if self.fakes.contains(address.ip()) => Fake::Unknown,
            None => Fake::No,
            Some(id) => self.name_of(id).map_or(Fake::Unknown, Fake::Name),
        }
    }

    /// What the log and the C API call the configuration.
    pub fn source(&self) -> String {
        match &self.config.source {
            Source::File(path) => path.display().to_string(),
            Source::Variable(name) => format!("${name}"),
        }
    }
}

impl Report for Router {
    fn attempt(&self, attempt: &Attempt<'_>) {
        self.log.attempt(attempt);
    }

    fn passed_over(&self) {
        self.names().take_turns(1);
    }

    fn out_of_proxies(&self) {
        self.log.out_of_proxies();
    }

    fn known_resolution(&self, name: &HostName, now: Duration) -> Option<Resolution> {
        self.resolutions.get(name, now)
    }

    fn resolved(&self, name: &HostName, resolution: &Resolution, until: Duration) {
        self.resolutions.keep(name, resolution, until);
        match (resolution, &self.config.tailscale_socket) {
            // Of this name alone: not every name is for tailscaled to know.
            (Resolution::Unknown(Unanswered::Failure(Failure::Status(500))), _) => {}
            (Resolution::Unknown(Unanswered::Failure(failure)), Some(socket))
                if !self.told_of_silence.swap(true, Ordering::Relaxed) =>
            {
                self.log.message(&format!(
                    "warning: cannot ask tailscaled at {} for addresses, so names go to the proxy: {failure}",
                    socket.display()
                ));
            }
            _ => {}
        }
    }

    fn not_resolved(&self, name: &HostName, resolution: &Resolution) {
        match resolution {
            Resolution::Addresses(_) => {}
            Resolution::NoSuchName => {
                let line = format!("{name}: tailscaled knows no such name");
                self.log.message(&line);
            }
            Resolution::Unknown(why) => {
                let line = format!("{name}: tailscaled has no address for it: {why}");
                self.log.message(&line);
            }
        }
    }
}

/// A Weyl sequence started by time and pid: cheap, and different in every process.
fn seed() -> u64 {
    static SEQUENCE: AtomicU64 = AtomicU64::new(0);
    let step = SEQUENCE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    step ^ (sys::now().as_nanos() as u64).rotate_left(32) ^ sys::pid() as u64
}

/// Proxies' own names are resolved by libc: `name_policy` keeps them local.
pub struct Libc;

impl Resolver for Libc {
    fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, Errno> {
        use std::net::ToSocketAddrs;
        match (name, port).to_socket_addrs() {
            Ok(addresses) => Ok(addresses.collect()),
            Err(_) => Err(Errno::EHOSTUNREACH),
        }
    }
}
