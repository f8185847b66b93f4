//! The configuration: its parser and its types.
//!
//! A `Config` is created once, by [`parse()`] from a file or by [`environment`] from a proxy URL, and is immutable
//! afterwards, so it needs no lock. Directives of proxychains-ng 4.17 have the same meaning here; those that tailchain
//! adds are skipped by proxychains-ng as unknown.

#![forbid(unsafe_code)]

mod allow_list;
mod builder;
mod directive;
mod error;
mod masked;
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
    /// In order, skipping dead proxies; at least one must work.
    Dynamic,
    /// `len` proxies, drawn at random for each connection.
    Random { len: usize },
    /// `len` proxies for each connection, in rotation.
    RoundRobin { len: usize },
}

/// Who resolves names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dns {
    /// libc; the proxy gets addresses.
    Local,
    /// The proxy; programs get a fake IP from `remote_dns_subnet`.
    Remote,
}

/// Whether a program may send DNS queries to port 53 itself (`raw_dns`).
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
    /// Programs that the library cannot be preloaded into.
    Auto,
    /// All programs.
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
    /// The environment variable with the proxy URL, e.g. `ALL_PROXY`.
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
    /// If `allow_nets` or `allow_domains` is not empty, only connections that match one of them are proxied.
    pub allow_nets: NetSet,
    pub allow_domains: DomainSet,
    /// The directives that `allow_nets` and `allow_domains` come from, for messages.
    pub allow_list: AllowList,
    pub dnat: DnatTable,
    /// How long to retry while the first proxy refuses TCP (`proxy_wait`).
    pub wait: Duration,
    /// How often to retry after a general failure from the proxy (`proxy_retry`).
    pub retry: u32,
    pub proxy_down: ProxyDown,
    /// tailscaled's LocalAPI socket, used to look up names (`tailscale_socket`).
    pub tailscale_socket: Option<PathBuf>,
    /// Search domains for those lookups (`tailscale_search`).
    pub tailscale_search: Vec<HostName>,
    /// Send the SOCKS5 greeting and the request in one segment (`proxy_pipeline`).
    pub pipeline: bool,
    pub supervise: Supervise,
    pub log_file: Option<PathBuf>,
    pub log_format: LogFormat,
    /// If set, nothing is proxied; the reason (`TAILCHAIN_BYPASS`).
    pub bypass: Option<String>,
    /// Empty only with `bypass`.
    pub proxies: Vec<Proxy>,
}
