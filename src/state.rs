//! What this process knows: its configuration and what follows from it. Made once, never changed.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};
use once_cell::race::OnceBox;
use std::ffi::{CString, OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use tailchain_core::announcement::{self, Announcement};
use tailchain_core::chain::Draw;
use tailchain_core::config::{
    bypass, ChainKind, Config, Dns, Endpoint, Proxy, ProxyDown, RawDns, Source,
};
use tailchain_core::dial::endpoint::Resolver;
use tailchain_core::dial::{Attempt, Report};
use tailchain_core::errno::Errno;
use tailchain_core::fake::{FakeId, FakeNet};
use tailchain_core::host::{Host, HostName};
use tailchain_core::hosts::{own_name, HostsFile};
use tailchain_core::load;
use tailchain_core::local_addresses::LocalAddresses;
use tailchain_core::log::Log;
use tailchain_core::route::{self, Dialled, Route};
use tailchain_core::shared_names::{KeptNames, SharedNames};
use tailchain_core::sys;

/// Everything that the hooks look at.
pub struct State {
    pub config: Config,
    pub log: Log,
    pub fakes: FakeNet,
    local_addresses: LocalAddresses,
    /// The same for the host names in the proxy list.
    proxy_addresses: LocalAddresses,
    local_proxies: OnceBox<Vec<IpAddr>>,
    names: OnceBox<SharedNames>,
    kept: KeptNames,
    hosts: OnceBox<HostsFile>,
}

/// What an address is to the names table.
pub enum Fake {
    No,
    /// In the fake range, but given to nobody, or so long ago that it was given to another name since.
    Unknown,
    Name(HostName),
}

// `race`, not `sync`: no lock that a forked child could find held. Two threads may both make it; one wins.
static STATE: OnceBox<State> = OnceBox::new();

/// The state, made on first use: a constructor of another library may connect before ours has run.
pub fn state() -> &'static State {
    STATE.get_or_init(|| Box::new(State::load()))
}

/// The state, if it is made already.
pub fn known_state() -> Option<&'static State> {
    STATE.get()
}

impl State {
    /// Read the configuration. Without a usable one the program does not start (exit status 1): going on
    /// would mean to go around the proxy.
    fn load() -> State {
        let loaded = match load::load(None, &variable) {
            Ok(loaded) => loaded,
            Err(error) => {
                let line = format!("[proxychains] tailchain: {error}\n");
                if let Some(stderr) = sys::Stderr::at_start() {
                    stderr.write(line.as_bytes());
                }
                // SAFETY: _exit ends the process without running anything of it.
                unsafe { libc::_exit(1) }
            }
        };
        let log = Log::new(&loaded.config);
        let warnings: &[_] = match Announcement::of(&variable) {
            Announcement::Done => &[],
            _ => &[&loaded.passed_over, &loaded.warnings],
        };
        for warning in warnings.iter().copied().flatten() {
            log.message(&format!("warning: {warning}"));
        }
        State {
            fakes: FakeNet::new(loaded.config.fake_subnet),
            local_addresses: LocalAddresses::new(),
            proxy_addresses: LocalAddresses::new(),
            local_proxies: OnceBox::new(),
            log,
            names: OnceBox::new(),
            kept: KeptNames::default(),
            hosts: OnceBox::new(),
            config: loaded.config,
        }
    }

    /// The names table, opened on first use.
    pub fn names(&self) -> &SharedNames {
        self.names
            .get_or_init(|| Box::new(SharedNames::open(&variable)))
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

    /// Whether libc knows a name for `ip` without asking a server.
    pub fn knows_address(&self, ip: IpAddr) -> bool {
        self.hosts().names().has_address(ip)
    }

    fn hosts(&self) -> &HostsFile {
        self.hosts
            .get_or_init(|| Box::new(HostsFile::new("/etc/hosts")))
    }

    /// The one line at start that says that we are there, or that we do nothing.
    pub fn announce(&self) {
        match Announcement::of(&variable) {
            Announcement::Done => return,
            Announcement::Once => {
                replace_variable(announcement::VARIABLE, Announcement::Done.value());
            }
            Announcement::Always => {}
        }
        match &self.config.bypass {
            Some(reason) => self.log.message(&bypass::notice(reason)),
            None => self
                .log
                .message(concat!("DLL init: tailchain ", env!("CARGO_PKG_VERSION"))),
        }
    }

    /// Numbers for the planner of one connection: those that its kind of chain asks for.
    pub fn draw(&self) -> Draw {
        let mut draw = Draw { turn: 0, seed: 0 };
        match self.config.chain {
            ChainKind::Strict | ChainKind::Dynamic => {}
            ChainKind::RoundRobin { len } => draw.turn = self.names().take_turns(len),
            ChainKind::Random { .. } => draw.seed = seed(),
        }
        draw
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

impl Report for State {
    fn attempt(&self, attempt: &Attempt<'_>) {
        self.log.attempt(attempt);
    }

    fn passed_over(&self) {
        self.names().take_turns(1);
    }

    fn out_of_proxies(&self) {
        self.log.out_of_proxies();
    }
}

/// What a panic says: a line of the log, where there is one. std's own hook would write to the program's stderr,
/// quiet or not.
pub fn report_panic(panic: &std::panic::PanicHookInfo<'_>) {
    if let Some(state) = STATE.get() {
        state
            .log
            .message(&format!("bug in tailchain, the call fails: {panic}"));
    }
}

/// A Weyl sequence started by time and pid: cheap, and different in every process.
fn seed() -> u64 {
    static SEQUENCE: AtomicU64 = AtomicU64::new(0);
    let step = SEQUENCE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    step ^ (sys::now().as_nanos() as u64).rotate_left(32) ^ sys::pid() as u64
}

/// An environment variable, in a set-user-ID program none: its caller made them. Not std's: that takes a lock which a
/// forked child could find held.
pub fn variable(name: &str) -> Option<OsString> {
    if sys::is_set_user_id() {
        return None;
    }
    let mut terminated = name.as_bytes().to_vec();
    terminated.push(0);
    let name = CStr::from_bytes_with_nul(&terminated).ok()?;
    // SAFETY: name ends with a NUL.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv returned a C string; it is copied at once.
    let value = unsafe { CStr::from_ptr(value) };
    Some(OsStr::from_bytes(value.to_bytes()).to_owned())
}

/// Give a variable that is there another value, for the programs that this one will start: setenv(3). Before `main`
/// only, while the program has no thread that could read the environment.
fn replace_variable(name: &str, value: Option<&str>) {
    let texts = (CString::new(name), CString::new(value.unwrap_or_default()));
    if let (Ok(name), Ok(value)) = texts {
        // SAFETY: two C strings, which are copied.
        unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) };
    }
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
