//! Builds a [`Config`]: the defaults, the directives read so far, and the checks that span several lines.

#![forbid(unsafe_code)]

use super::error::Problem;
use super::proxy_parts::Listed;
use super::rules::Net;
use super::{
    AllowList, ChainKind, Config, DnatTable, Dns, DomainSet, Endpoint, LogFormat, Proxy, ProxyDown,
    RawDns, Source, Supervise,
};
use crate::host::HostName;
use std::path::PathBuf;
use std::time::Duration;

/// The kind of chain without its length, which is a separate directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Strict,
    Dynamic,
    Random,
    RoundRobin,
}

#[derive(Debug)]
pub(super) struct ConfigBuilder {
    pub order: Order,
    /// `chain_len` and its line.
    pub chain_len: (usize, Option<u32>),
    pub quiet: bool,
    pub dns: Dns,
    pub raw_dns: RawDns,
    pub fake_subnet: u8,
    pub read_timeout: Duration,
    pub connect_timeout: Duration,
    pub local_nets: Vec<(Net, u32)>,
    pub local_domains: DomainSet,
    pub allow_nets: Vec<(Net, u32)>,
    pub allow_domains: DomainSet,
    pub allow_list: AllowList,
    pub dnat: DnatTable,
    pub wait: Duration,
    pub retry: u32,
    pub proxy_down: ProxyDown,
    pub tailscale_socket: Option<PathBuf>,
    pub tailscale_search: Vec<HostName>,
    pub pipeline: bool,
    pub log_file: Option<PathBuf>,
    pub supervise: Supervise,
    pub log_format: LogFormat,
    proxies: Vec<(Proxy, u32)>,
}

/// A problem with the configuration as a whole, and the line that causes it, if any.
pub(super) type ConfigProblem = (Problem, Option<u32>);

impl ConfigBuilder {
    /// The defaults of proxychains-ng; tailchain's extensions are off.
    pub fn new(order: Order) -> ConfigBuilder {
        ConfigBuilder {
            order,
            chain_len: (1, None),
            quiet: false,
            dns: Dns::Local,
            raw_dns: RawDns::Allow,
            fake_subnet: 224,
            read_timeout: Duration::from_millis(4_000),
            connect_timeout: Duration::from_millis(10_000),
            local_nets: Vec::new(),
            local_domains: DomainSet::default(),
            allow_nets: Vec::new(),
            allow_domains: DomainSet::default(),
            allow_list: AllowList::default(),
            dnat: DnatTable::default(),
            wait: Duration::ZERO,
            retry: 0,
            proxy_down: ProxyDown::Fail,
            tailscale_socket: None,
            tailscale_search: Vec::new(),
            pipeline: false,
            log_file: None,
            supervise: Supervise::Auto,
            log_format: LogFormat::Text,
            proxies: Vec::new(),
        }
    }

    pub fn add_proxy(&mut self, listed: Listed, line: u32) {
        if listed.remote_names {
            self.dns = Dns::Remote;
        }
        self.proxies.push((listed.proxy, line));
    }

    pub fn finish(self, source: &Source) -> Result<Config, ConfigProblem> {
        let chain = self.chain()?;
        self.check_unix(chain)?;
        Ok(self.build_unchecked(source, chain))
    }

    /// The configuration without any checks.
    pub fn build_unchecked(self, source: &Source, chain: ChainKind) -> Config {
        Config {
            source: source.clone(),
            chain,
            quiet: self.quiet,
            dns: self.dns,
            raw_dns: self.raw_dns,
            fake_subnet: self.fake_subnet,
            read_timeout: self.read_timeout,
            connect_timeout: self.connect_timeout,
            local_nets: self.local_nets.into_iter().collect(),
            local_domains: self.local_domains,
            allow_nets: self.allow_nets.into_iter().collect(),
            allow_domains: self.allow_domains,
            allow_list: self.allow_list,
            dnat: self.dnat,
            wait: self.wait,
            retry: self.retry,
            proxy_down: self.proxy_down,
            tailscale_socket: self.tailscale_socket,
            tailscale_search: self.tailscale_search,
            pipeline: self.pipeline,
            log_file: self.log_file,
            supervise: self.supervise,
            log_format: self.log_format,
            bypass: None,
            proxies: self.proxies.into_iter().map(|(proxy, _)| proxy).collect(),
        }
    }

    fn chain(&self) -> Result<ChainKind, ConfigProblem> {
        let proxies = self.proxies.len();
        if proxies == 0 {
            let problem = Problem::new(
                "the proxy list is empty",
                "add a proxy, e.g. socks5 127.0.0.1 1055",
            );
            return Err((problem, None));
        }
        let (len, line) = self.chain_len;
        match self.order {
            Order::Strict => Ok(ChainKind::Strict),
            Order::Dynamic => Ok(ChainKind::Dynamic),
            _ if len > proxies => {
                let problem = Problem::new(
                    format!("chain_len is {len}, but the number of proxies is {proxies}"),
                    "add proxies or lower chain_len: every connection would fail",
                );
                Err((problem, line))
            }
            Order::Random => Ok(ChainKind::Random { len }),
            Order::RoundRobin => Ok(ChainKind::RoundRobin { len }),
        }
    }

    /// A proxy cannot connect to a unix socket on this machine, so only the first hop may be one.
    fn check_unix(&self, chain: ChainKind) -> Result<(), ConfigProblem> {
        let always_first = match chain {
            ChainKind::Strict | ChainKind::Dynamic => 1,
            ChainKind::Random { len: 1 } | ChainKind::RoundRobin { len: 1 } => usize::MAX,
            ChainKind::Random { .. } | ChainKind::RoundRobin { .. } => 0,
        };
        let later = self.proxies.iter().skip(always_first);
        match later
            .into_iter()
            .find(|(proxy, _)| matches!(proxy.endpoint, Endpoint::Unix(_)))
        {
            None => Ok(()),
            Some((_, line)) => {
                let problem = Problem::new(
                    "a proxy on a unix socket cannot be reached through another proxy",
                    "only the first proxy of a chain can be on a unix socket",
                );
                Err((problem, Some(*line)))
            }
        }
    }
}
