//! The router of a process: the configuration, and the state that the rules of [`crate::route`] need, i.e. the name
//! table, /etc/hosts and addresses resolved earlier.
//!
//! The preload library and the supervisor have one router each. [`connect`] decides about one connect of a socket,
//! [`names`] about one name or DNS query.

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
use crate::name_table::{KeptNames, NameTable, Place};
use crate::resolutions::Resolutions;
use crate::route::{self, Dialled, Refusal, Route};
use crate::sys;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use once_cell::race::OnceBox;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Routes connections and names. Created once per process; its caches are shared by all threads.
pub struct Router {
    pub config: Config,
    pub log: Log,
    pub fakes: FakeNet,
    env: fn(&str) -> Option<OsString>,
    local_addresses: LocalAddresses,
    /// The addresses to which host names in the proxy list were resolved.
    proxy_addresses: LocalAddresses,
    /// The addresses of host names in the proxy list that are in /etc/hosts.
    local_proxies: OnceBox<Vec<IpAddr>>,
    names: OnceBox<NameTable>,
    /// Stands in for it while there is no memory.
    no_names: OnceBox<NameTable>,
    kept: KeptNames,
    /// Cached answers of tailscaled (`tailscale_socket`).
    resolutions: Resolutions,
    /// The warning that tailscaled cannot be asked has been logged.
    warned_about_tailscaled: AtomicBool,
    hosts: OnceBox<HostsFile>,
}

/// The result of looking up an address in the name table.
pub enum Fake {
    No,
    /// In the fake range, but never assigned, or evicted since.
    Unknown,
    Name(HostName),
}

impl Router {
    /// `env` reads an environment variable: XDG_RUNTIME_DIR determines where the name table is.
    pub fn new(config: Config, env: fn(&str) -> Option<OsString>) -> Router {
        Router {
            log: Log::new(&config),
            fakes: FakeNet::new(config.fake_subnet),
            env,
            local_addresses: LocalAddresses::new(),
            proxy_addresses: LocalAddresses::new(),
            local_proxies: OnceBox::new(),
            names: OnceBox::new(),
            no_names: OnceBox::new(),
            kept: KeptNames::default(),
            resolutions: Resolutions::default(),
            warned_about_tailscaled: AtomicBool::new(false),
            hosts: OnceBox::new(),
            config,
        }
    }

    /// The name table, opened on first use, and again while there is no memory for it.
    pub fn names(&self) -> &NameTable {
        if let Some(names) = self.names.get() {
            return names;
        }
        let names = NameTable::open(&self.env);
        let place = match names.place() {
            Place::Unavailable => &self.no_names,
            _ => &self.names,
        };
        place.get_or_init(|| Box::new(names))
    }

    /// Assigns a fake IP to `name`, valid for the lifetime of this process. `None` if the table is full.
    pub fn assign(&self, name: &HostName) -> Option<FakeId> {
        /// How many ids to try: this process may keep an id for another name.
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

    /// The name that is assigned to `id` in this process.
    fn name_of(&self, id: FakeId) -> Option<HostName> {
        if let Some(name) = self.kept.name_of(id) {
            return Some(name.clone());
        }
        let (ticket, name) = self.names().holder_of(id)?;
        self.kept.may_be(ticket).then_some(name)
    }

    /// Whether libc resolves `name` without a server: it is in /etc/hosts, or the machine's own name.
    pub fn knows(&self, name: &HostName) -> bool {
        self.hosts().names().contains(name) || own_name().as_ref() == Some(name)
    }

    /// As [`Router::knows`], for a name that the program passes to libc in this spelling.
    pub fn knows_as(&self, name: &HostName, spelling: Spelling) -> bool {
        self.known_host(name, Some(spelling)).is_some() || own_name().as_ref() == Some(name)
    }

    /// The addresses of `name` in /etc/hosts, listed in this spelling or, with `None`, in any.
    pub fn known_host(&self, name: &HostName, spelling: Option<Spelling>) -> Option<KnownHost> {
        let names = self.hosts().names();
        match spelling {
            Some(spelling) => names.host(name, spelling),
            None => names.any_host(name),
        }
    }

    /// The name of `ip` in /etc/hosts.
    pub fn known_name(&self, ip: IpAddr) -> Option<HostName> {
        self.hosts().names().name_of(ip).cloned()
    }

    fn hosts(&self) -> &HostsFile {
        self.hosts
            .get_or_init(|| Box::new(HostsFile::new("/etc/hosts")))
    }

    /// The seed for the planner of one connection. Sets only the field that the kind of chain uses.
    pub fn chain_seed(&self) -> ChainSeed {
        let mut chain_seed = ChainSeed { turn: 0, seed: 0 };
        match self.config.chain {
            ChainKind::Strict | ChainKind::Dynamic => {}
            ChainKind::RoundRobin { len } => chain_seed.turn = self.names().take_turns(len),
            ChainKind::Random { .. } => chain_seed.seed = seed(),
        }
        chain_seed
    }

    /// Whether a proxy may listen at `address`.
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

    /// Records that libc resolved `name` to `address`.
    pub fn remember(&self, address: IpAddr, name: &HostName) {
        if self.config.local_domains.matches(name).is_some() {
            self.local_addresses.remember(address, name);
        }
        if route::names_a_proxy(&self.config, name) {
            self.proxy_addresses.remember(address, name);
        }
    }

    /// Decides where a connection to `address` goes.
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

    /// Whether `address` is that of a proxy configured by name, to which the program connects itself. Uses only /etc/hosts
    /// and names that were resolved earlier, by the program or for a tunnel: a lookup here could block a non-blocking
    /// connect.
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

    /// The addresses of proxies whose names are known without a resolver.
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

    /// Whether establishing a tunnel may look up a name with libc.
    pub fn may_look_up(&self) -> bool {
        self.has_named_proxy() || self.config.proxy_down == ProxyDown::Direct
    }

    /// Whether a proxy is configured by name; looking it up may block.
    pub fn has_named_proxy(&self) -> bool {
        let is_named = |proxy: &Proxy| match &proxy.endpoint {
            Endpoint::Tcp(target) => matches!(target.host, Host::Name(_)),
            Endpoint::Unix(_) => false,
        };
        self.config.proxies.iter().any(is_named)
    }

    /// Whether any datagram may have to be refused.
    pub fn watches_datagrams(&self) -> bool {
        self.config.dns == Dns::Remote || self.config.raw_dns == RawDns::Deny
    }

    /// The errno and the reason if a datagram to this address is refused.
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

    /// Whether `ip` is in the fake range.
    pub fn is_fake(&self, ip: IpAddr) -> bool {
        self.config.dns == Dns::Remote && self.fakes.contains(ip)
    }

    /// Looks up `address` in the name table.
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

    /// The source of the configuration, as the log and the C API report it.
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

    fn skipped_dead_proxy(&self) {
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
            // tailscaled works but could not resolve this name.
            (Resolution::Unknown(Unanswered::Failure(Failure::Status(500))), _) => {}
            (Resolution::Unknown(Unanswered::Failure(failure)), Some(socket))
                if !self.warned_about_tailscaled.swap(true, Ordering::Relaxed) =>
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

/// A Weyl sequence seeded with time and pid: cheap, and different in every process.
fn seed() -> u64 {
    static SEQUENCE: AtomicU64 = AtomicU64::new(0);
    let step = SEQUENCE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    step ^ (sys::now().as_nanos() as u64).rotate_left(32) ^ sys::pid() as u64
}

/// Resolves the proxies' host names with libc's getaddrinfo(3).
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
