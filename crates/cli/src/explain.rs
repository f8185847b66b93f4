//! `tailchain explain`: how would a connection be routed, and which rule says so?

#![forbid(unsafe_code)]

use crate::configuration::{self, described};
use crate::{destination, resolve};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use tailchain_core::config::{ChainKind, Config, Dns, Endpoint, Proxy, Supervise};
use tailchain_core::host::{Host, HostName, Target};
use tailchain_core::hosts::{self, HostsFile};
use tailchain_core::route::{self, Dialled, NamePolicy, NameReason, Route};
use tailchain_diagnostics::report;

const DNS_PORT: u16 = 53;

/// Say how a connection would be routed, and why
#[derive(clap::Args)]
pub struct Args {
    /// A name or an address, as a program would give it; or HOST:PORT
    host: String,

    port: Option<u16>,

    /// The configuration [default: the one that a program started here would get]
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub fn run(args: &Args) -> ExitCode {
    let loaded = match configuration::load(args.file.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return report::fail(error),
    };
    let config = &loaded.config;
    let told = |target: Target| match &target.host {
        Host::Ip(ip) => {
            let address = SocketAddr::new(*ip, target.port);
            let lines = [of_address(config, address, None)].into_iter();
            Ok(lines.chain(of_resolver(config, address)).collect())
        }
        Host::Name(name) => of_name(config, name, target.port),
    };
    match destination::host_and_port(&args.host, args.port).and_then(told) {
        Ok(lines) => {
            lines.iter().for_each(report::say);
            ExitCode::SUCCESS
        }
        Err(reason) => report::fail(reason),
    }
}

fn of_name(config: &Config, name: &HostName, port: u16) -> Result<Vec<String>, String> {
    match route::name_policy(config, name, &mut |name| is_known_here(name)) {
        NamePolicy::Remote => {
            let route = route::decide(config, Dialled::Name(name, port), &[]);
            Ok(vec![
                format!("{name}: {}", resolved_by(config)),
                format!("{name}:{port}: {}", told(config, &route)),
            ])
        }
        NamePolicy::Local(reason) => {
            let found = (name.as_str(), port).to_socket_addrs();
            let found = found.map_err(|error| unresolved(config, name, &reason, &error))?;
            let routes = found.map(|address| of_address(config, address, Some(name)));
            Ok([format!("{name}: resolved here: {reason}")]
                .into_iter()
                .chain(routes)
                .collect())
        }
    }
}

/// The supervisor answers what goes to a name server, whichever way that is reached.
fn of_resolver(config: &Config, address: SocketAddr) -> Option<String> {
    let is_answered = address.port() == DNS_PORT
        && config.dns == Dns::Remote
        && config.supervise != Supervise::Never
        && !resolve::is_fake(config, address.ip());
    is_answered.then(|| {
        format!("{address}: to a program under a supervisor, DNS is answered here (proxy_dns)")
    })
}

/// What becomes of a name that is not resolved here.
fn resolved_by(config: &Config) -> String {
    const SEEN: &str = "the program sees a stand-in address";
    match &config.tailscale_socket {
        None => format!("sent to the proxy as a name (proxy_dns); {SEEN}"),
        Some(socket) => format!(
            "tailscaled is asked for its address (tailscale_socket {}), and without one the proxy gets the name (proxy_dns); {SEEN}",
            socket.display()
        ),
    }
}

fn of_address(config: &Config, address: SocketAddr, name: Option<&HostName>) -> String {
    let behind;
    let dialled = match name {
        Some(name) => Dialled::Local(address, name),
        None if !resolve::is_fake(config, address.ip()) => Dialled::Address(address),
        None => match resolve::name_behind(config, address.ip()) {
            None => Dialled::UnknownFake(address),
            Some(name) => {
                behind = name;
                Dialled::Name(&behind, address.port())
            }
        },
    };
    let route = route::decide(config, dialled, &addresses_of_named_proxies(config));
    format!("{address}: {}", told(config, &route))
}

fn told(config: &Config, route: &Route<'_>) -> String {
    match route {
        Route::Direct { reason, to: None } => format!("direct: {reason}"),
        Route::Direct {
            reason,
            to: Some(to),
        } => format!("direct, to {to} (dnat): {reason}"),
        Route::Chain(target) => format!("proxied: {}", hops(config, target)),
        Route::Refuse(errno, why) => format!("refused with {errno}: {why}"),
    }
}

fn hops(config: &Config, target: &Target) -> String {
    let list = |between: &str| {
        config
            .proxies
            .iter()
            .map(described)
            .collect::<Vec<_>>()
            .join(between)
    };
    match config.chain {
        ChainKind::Strict => format!("{} -> {target}", list(" -> ")),
        ChainKind::Dynamic => format!("those that live of [{}] -> {target}", list(" -> ")),
        ChainKind::Random { len } => format!("{len} at random of [{}] -> {target}", list(", ")),
        ChainKind::RoundRobin { len } => format!("{len} in turn of [{}] -> {target}", list(", ")),
    }
}

fn addresses_of_named_proxies(config: &Config) -> Vec<SocketAddr> {
    let resolved = |proxy: &Proxy| match &proxy.endpoint {
        Endpoint::Tcp(Target {
            host: Host::Name(name),
            port,
        }) => (name.as_str(), *port).to_socket_addrs().ok(),
        _ => None,
    };
    config
        .proxies
        .iter()
        .filter_map(resolved)
        .flatten()
        .collect()
}

/// Why a name that is not for the proxy has no address here.
pub fn unresolved(
    config: &Config,
    name: &HostName,
    reason: &NameReason<'_>,
    error: &io::Error,
) -> String {
    // The search domains of the tailnet are MagicDNS's, which libc does not ask.
    let short = config.allow_list.tailnet_only && !name.as_str().contains('.');
    let hint = match reason {
        NameReason::NotAllowed(_) if short => {
            format!("; with tailnet_only write it in full, such as {name}.TAILNET.ts.net")
        }
        _ => String::new(),
    };
    format!("{name}: resolved here ({reason}), which failed: {error}{hint}")
}

/// Whether libc knows the name without asking a server.
pub fn is_known_here(name: &HostName) -> bool {
    HostsFile::new("/etc/hosts").names().contains(name) || hosts::own_name().as_ref() == Some(name)
}
