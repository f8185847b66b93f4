//! `tailchain explain`: how a connection would be routed, and which rule decides it.

#![forbid(unsafe_code)]

use crate::configuration::{self, described};
use crate::{destination, names};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use tailchain_core::config::{ChainKind, Config, Dns, Endpoint, Proxy, Supervise};
use tailchain_core::host::{Host, HostName, Target};
use tailchain_core::route::{self, Dialled, NamePolicy, Route};
use tailchain_diagnostics::report;

const DNS_PORT: u16 = 53;

/// Explain how a connection would be routed
#[derive(clap::Args)]
pub struct Args {
    /// A name or an address, as a program would give it; or HOST:PORT
    host: String,

    /// The port
    port: Option<u16>,

    /// The configuration [default: the one that a program started here would use]
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub fn run(args: &Args) -> ExitCode {
    let loaded = match configuration::load(args.file.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return report::fail(error),
    };
    let config = &loaded.config;
    let explain = |target: Target| match &target.host {
        Host::Ip(ip) => {
            let address = SocketAddr::new(*ip, target.port);
            let lines = [of_address(config, address, None)].into_iter();
            Ok(lines.chain(of_dns_query(config, address)).collect())
        }
        Host::Name(name) => of_name(config, name, target.port),
    };
    match destination::host_and_port(&args.host, args.port).and_then(explain) {
        Ok(lines) => {
            lines.iter().for_each(report::say);
            ExitCode::SUCCESS
        }
        Err(reason) => report::fail(reason),
    }
}

fn of_name(config: &Config, name: &HostName, port: u16) -> Result<Vec<String>, String> {
    match route::name_policy(config, name, &mut names::is_known_here) {
        NamePolicy::Remote => {
            let route = route::decide(config, Dialled::Name(name, port), &[]);
            Ok(vec![
                format!("{name}: {}", describe_remote_name(config)),
                format!("{name}:{port}: {}", describe_route(config, &route)),
            ])
        }
        NamePolicy::Local(reason) => {
            let found = (name.as_str(), port).to_socket_addrs();
            let found = found.map_err(|error| names::unresolved(config, name, &reason, &error))?;
            let routes = found.map(|address| of_address(config, address, Some(name)));
            Ok([format!("{name}: resolved here: {reason}")]
                .into_iter()
                .chain(routes)
                .collect())
        }
    }
}

/// The supervisor answers DNS queries itself, however the name server would be reached.
fn of_dns_query(config: &Config, address: SocketAddr) -> Option<String> {
    let is_answered = address.port() == DNS_PORT
        && config.dns == Dns::Remote
        && config.supervise != Supervise::Never
        && !names::is_fake(config, address.ip());
    is_answered.then(|| {
        format!("{address}: to a program under a supervisor, DNS is answered here (proxy_dns)")
    })
}

/// How a name reaches the proxy.
fn describe_remote_name(config: &Config) -> String {
    const FAKE_IP: &str = "the program sees a fake IP";
    match &config.tailscale_socket {
        None => format!("sent to the proxy as a name (proxy_dns); {FAKE_IP}"),
        Some(socket) => format!(
            "tailscaled is asked for its address (tailscale_socket {}), and without one the proxy gets the name (proxy_dns); {FAKE_IP}",
            socket.display()
        ),
    }
}

fn of_address(config: &Config, address: SocketAddr, name: Option<&HostName>) -> String {
    let fake_name;
    let dialled = match name {
        Some(name) => Dialled::Local(address, name),
        None if !names::is_fake(config, address.ip()) => Dialled::Address(address),
        None => match names::name_of(config, address.ip()) {
            None => Dialled::UnknownFake(address),
            Some(name) => {
                fake_name = name;
                Dialled::Name(&fake_name, address.port())
            }
        },
    };
    let route = route::decide(config, dialled, &addresses_of_named_proxies(config));
    format!("{address}: {}", describe_route(config, &route))
}

fn describe_route(config: &Config, route: &Route<'_>) -> String {
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
    let joined = |separator: &str| {
        config
            .proxies
            .iter()
            .map(described)
            .collect::<Vec<_>>()
            .join(separator)
    };
    match config.chain {
        ChainKind::Strict => format!("{} -> {target}", joined(" -> ")),
        ChainKind::Dynamic => format!("those that live of [{}] -> {target}", joined(" -> ")),
        ChainKind::Random { len } => format!("{len} at random of [{}] -> {target}", joined(", ")),
        ChainKind::RoundRobin { len } => format!("{len} in turn of [{}] -> {target}", joined(", ")),
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
