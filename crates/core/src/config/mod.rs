//! The configuration: what it can say, and the types that hold it once it was understood.
//!
//! A `Config` is made once, by [`parse()`] from a file's bytes or by [`environment`] from a proxy URL, and
//! never changes afterwards: hence no locks. What proxychains-ng 4.17 reads means the same here; what tailchain
//! adds are directives that proxychains-ng skips as unknown.

#![forbid(unsafe_code)]

mod allow_list;
mod builder;
mod directive;
mod error;
mod parse;
mod proxy;
mod proxy_line;
mod proxy_parts;
mod rules;
mod url;
mod words;

pub mod bypass;
pub mod environment;
pub mod locate;
pub mod tailscaled;

pub use allow_list::AllowList;
pub use directive::{Directive, Section, DIRECTIVES};
pub use error::{ConfigError, Diagnostic, Warning};
pub use parse::parse;
pub use proxy::{Credentials, Endpoint, Proxy, ProxyKind, Secret};
pub use rules::{DnatTable, DomainSet, NetSet};

use crate::host::HostName;
use std::path::PathBuf;
use std::time::Duration;

/// How the proxies of the list are used for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// All of them, in order; any failure fails the connect.
    Strict,
    /// In order, dead ones skipped; at least one must live.
    Dynamic,
    /// `len` of them, drawn at random for each connection.
    Random { len: usize },
    /// `len` of them for each connection, going round the list.
    RoundRobin { len: usize },
}

/// Who resolves names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dns {
    /// libc does; addresses are sent to the proxy.
    Local,
    /// The proxy does: programs get a fake address out of `remote_dns_subnet`.
    Remote,
}

/// What a program's own resolver may do that talks to port 53 by itself (`raw_dns`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawDns {
    Allow,
    Deny,
}

/// What happens when the first proxy refuses TCP and `proxy_wait` is over (`proxy_down`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyDown {
    Fail,
    Direct,
}

/// Which programs the launcher starts under a supervisor (`supervise`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervise {
    /// One that the library cannot be preloaded into.
    Auto,
    /// Every one.
    Always,
    Never,
}

impl Supervise {
    /// The values of the directive and of the launcher's option.
    pub const NAMES: [(&'static str, Supervise); 3] = [
        ("auto", Supervise::Auto),
        ("always", Supervise::Always),
        ("never", Supervise::Never),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// The environment variable that held a proxy URL, such as `ALL_PROXY`.
    Variable(&'static str),
}

#[derive(Clone, Debug)]
pub struct Config {
    pub source: Source,
    pub chain: ChainKind,
    pub quiet: bool,
    pub dns: Dns,
    pub raw_dns: RawDns,
    /// First octet of the fake IPv4 addresses (`remote_dns_subnet`).
    pub fake_subnet: u8,
    /// For each reply of a proxy (`tcp_read_time_out`).
    pub read_timeout: Duration,
    /// TCP connect to the first proxy (`tcp_connect_time_out`).
    pub connect_timeout: Duration,
    /// Not proxied (`localnet`, and the addresses of `NO_PROXY`).
    pub local_nets: NetSet,
    /// Resolved by libc and not proxied (`localdomain`, and the names of `NO_PROXY`).
    pub local_domains: DomainSet,
    /// With `allow_nets` or `allow_domains` not empty, only what matches one of them is proxied.
    pub allow_nets: NetSet,
    pub allow_domains: DomainSet,
    /// The directives that filled the two, to name them.
    pub allow_list: AllowList,
    pub dnat: DnatTable,
    /// How long a first proxy that refuses TCP is tried again (`proxy_wait`).
    pub wait: Duration,
    /// How often a general failure from the proxy is tried again (`proxy_retry`).
    pub retry: u32,
    pub proxy_down: ProxyDown,
    /// tailscaled's socket, on which it is asked for the addresses of names (`tailscale_socket`).
    pub tailscale_socket: Option<PathBuf>,
    /// Where it looks for them besides (`tailscale_search`).
    pub tailscale_search: Vec<HostName>,
    /// A SOCKS5 greeting and the request in one segment (`proxy_pipeline`).
    pub pipeline: bool,
    pub supervise: Supervise,
    pub log_file: Option<PathBuf>,
    pub log_format: LogFormat,
    /// Why nothing is proxied, whatever the rules say (`TAILCHAIN_BYPASS`).
    pub bypass: Option<String>,
    /// Never empty, but with `bypass` without any configuration.
    pub proxies: Vec<Proxy>,
}
