//! Loads the configuration as the library would, and describes it in words.

#![forbid(unsafe_code)]

use std::path::Path;
use tailchain_core::config::{ChainKind, Config, Dns, Proxy, ProxyDown, RawDns, Supervise};
use tailchain_core::load::{self, LoadError, Loaded};

/// The configuration of a program started here; `file` is the one on the command line.
pub fn load(file: Option<&Path>) -> Result<Loaded, LoadError> {
    load::load(file, &|name| std::env::var_os(name))
}

/// The configuration of a program started here, as if `TAILCHAIN_BYPASS` were not set.
pub fn load_to_check(file: Option<&Path>) -> Result<Loaded, LoadError> {
    load::load(file, &|name| match name {
        load::BYPASS_VARIABLE => None,
        _ => std::env::var_os(name),
    })
}

/// One line for each thing that the configuration decides, without secrets.
pub fn summary(config: &Config) -> Vec<String> {
    let mut lines = vec![chain(config)];
    lines.extend(
        config
            .proxies
            .iter()
            .map(|proxy| format!("  {}", described(proxy))),
    );
    lines.push(match config.dns {
        Dns::Remote => format!(
            "names: resolved by the last proxy; programs see addresses in {}.0.0.0/8",
            config.fake_subnet
        ),
        Dns::Local => {
            "names: resolved here; the proxy gets addresses (proxy_dns is off)".to_owned()
        }
    });
    if config.raw_dns == RawDns::Deny {
        lines.push("what programs send to port 53 themselves: refused (raw_dns deny)".to_owned());
    }
    lines.push(format!(
        "time limits: {} ms to connect to the first proxy, {} ms for each reply",
        config.connect_timeout.as_millis(),
        config.read_timeout.as_millis()
    ));
    lines.extend(rules(config));
    lines.extend(patience(config));
    lines.extend(supervised(config).map(str::to_owned));
    if config.quiet {
        lines.push("messages: none (quiet_mode)".to_owned());
    }
    if let Some(path) = &config.log_file {
        lines.push(format!("log: {}", path.display()));
    }
    lines
}

/// `socks5 127.0.0.1:1055`, and whether it wants a password.
pub fn described(proxy: &Proxy) -> String {
    let login = match &proxy.credentials {
        Some(credentials) => format!(" as {}", String::from_utf8_lossy(&credentials.user)),
        None => String::new(),
    };
    format!("{} {}{login}", proxy.kind.keyword(), proxy.endpoint)
}

fn chain(config: &Config) -> String {
    match config.chain {
        ChainKind::Strict => "chain: strict, through all of".to_owned(),
        ChainKind::Dynamic => "chain: dynamic, through those that live of".to_owned(),
        ChainKind::Random { len } => format!("chain: random, {len} for each connection of"),
        ChainKind::RoundRobin { len } => {
            format!("chain: round robin, {len} for each connection of")
        }
    }
}

fn rules(config: &Config) -> Vec<String> {
    let exceptions = !config.local_nets.is_empty() || !config.local_domains.is_empty();
    let hold = match config.allow_list.directives().len() {
        1 => "holds",
        _ => "hold",
    };
    let list = config.allow_list.listed("and");
    let mut lines = vec![match (list.as_str(), exceptions) {
        ("", false) => "proxied: everything".to_owned(),
        ("", true) => "proxied: everything but localnet and localdomain".to_owned(),
        (list, false) => format!("proxied: only what {list} {hold}"),
        (list, true) => {
            format!("proxied: only what {list} {hold}, without localnet and localdomain")
        }
    }];
    if !config.dnat.is_empty() {
        lines.push("dnat: some IPv4 destinations are replaced".to_owned());
    }
    lines
}

/// The effect of `supervise`, unless it is the default.
fn supervised(config: &Config) -> Option<&'static str> {
    match config.supervise {
        Supervise::Auto => None,
        Supervise::Always => Some("supervised: every program (supervise always)"),
        Supervise::Never => {
            Some("supervised: none, so static and Go programs bypass the proxy (supervise never)")
        }
    }
}

fn patience(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    if !config.wait.is_zero() {
        lines.push(format!(
            "a first proxy that refuses: tried again for {} ms",
            config.wait.as_millis()
        ));
    }
    if config.proxy_down == ProxyDown::Direct {
        lines.push(
            "a first proxy that is down: connections go DIRECT (proxy_down direct)".to_owned(),
        );
    }
    if config.retry > 0 {
        lines.push(format!(
            "a general failure of the proxy: tried again up to {} times",
            config.retry
        ));
    }
    lines
}
