//! The address of tailscaled's SOCKS5 proxy in this environment, which replaces the one in the config.
//!
//! In userspace mode tailscaled forwards connections from peers to 127.0.0.1, so a proxy there would serve the whole
//! tailnet. `tailchain run` and the buildpack therefore start the proxy on another loopback address and pass it in the
//! environment. Configs that were written for 127.0.0.1 keep working.

#![forbid(unsafe_code)]

use super::directive::UNIX_PATH_MAX;
use super::{Config, Endpoint, Proxy, ProxyKind};
use crate::host::{Host, HostName, Target};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The address of the proxy, on this machine. If unset, the config's proxies stay as they are.
pub const HOST_VARIABLE: &str = "TAILSCALE_SOCKS5_HOST";
/// The port of the proxy, if it is not [`DEFAULT_PORT`].
pub const PORT_VARIABLE: &str = "TAILSCALE_SOCKS5_PORT";
/// tailscaled's LocalAPI socket, as in `tailscale_socket`.
pub const SOCKET_VARIABLE: &str = "TAILSCALE_SOCKET";
/// The search domains of the tailnet, as in `tailscale_search`, separated by blanks or commas.
pub const SEARCH_VARIABLE: &str = "TAILSCALE_SEARCH_DOMAINS";

/// tailscaled forwards no connection from the tailnet to this address.
pub const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// The port in Tailscale's documentation.
pub const DEFAULT_PORT: u16 = 1055;

/// The address and port in the environment; `None` if unset or malformed. A malformed value is reported when tailscaled
/// is started.
pub fn from_env(env: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Option<(IpAddr, u16)> {
    let host = host(env(HOST_VARIABLE)?.to_str()?)?;
    let port = match env(PORT_VARIABLE) {
        Some(port) if !port.is_empty() => port.to_str()?.parse().ok()?,
        _ => DEFAULT_PORT,
    };
    // A proxy that listens on all addresses is reached on loopback.
    let host = match host.is_unspecified() {
        true => Ipv4Addr::LOCALHOST.into(),
        false => host,
    };
    Some((host, port))
}

/// Parses a numeric address or `localhost`, the one name that needs no resolver.
pub fn host(text: &str) -> Option<IpAddr> {
    match text {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().ok(),
    }
}

/// Moves the proxies that mean tailscaled to `host` and `port`.
pub fn relocate(proxies: &mut [Proxy], (host, port): (IpAddr, u16)) {
    for proxy in proxies {
        if let (ProxyKind::Socks5, Endpoint::Tcp(target)) = (proxy.kind, &mut proxy.endpoint) {
            if means_tailscaled(&target.host, target.port, port) {
                target.host = Host::Ip(host);
                target.port = port;
            }
        }
    }
}

/// If the only proxy is this environment's tailscaled, enables lookups on its LocalAPI socket, unless the configuration
/// names another socket. Other proxies resolve names themselves.
pub fn resolve_names(
    config: &mut Config,
    (host, port): (IpAddr, u16),
    env: &dyn Fn(&str) -> Option<std::ffi::OsString>,
) {
    let own = Target {
        host: Host::Ip(host),
        port,
    };
    let is_own = |proxy: &Proxy| {
        proxy.kind == ProxyKind::Socks5
            && matches!(&proxy.endpoint, Endpoint::Tcp(target) if *target == own)
    };
    if config.tailscale_socket.is_none() && matches!(&config.proxies[..], [only] if is_own(only)) {
        let socket = env(SOCKET_VARIABLE).map(PathBuf::from);
        config.tailscale_socket =
            socket.filter(|path| path.is_absolute() && path.as_os_str().len() <= UNIX_PATH_MAX);
    }
    if config.tailscale_search.is_empty() {
        let domains = env(SEARCH_VARIABLE).and_then(|domains| domains.into_string().ok());
        config.tailscale_search = domains
            .iter()
            .flat_map(|domains| domains.split([' ', ',']))
            .filter_map(|domain| HostName::new(domain.as_bytes()).ok())
            .collect();
    }
}

fn means_tailscaled(host: &Host, port: u16, actual: u16) -> bool {
    match host {
        Host::Ip(ip) if *ip == DEFAULT_HOST => port == DEFAULT_PORT || port == actual,
        Host::Ip(ip) => *ip == IpAddr::V4(Ipv4Addr::LOCALHOST) && port == actual,
        Host::Name(name) => name.as_str() == "localhost" && port == actual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Source};

    fn relocated(line: &str, at: (&str, u16)) -> String {
        let text = format!("[ProxyList]\n{line}\n");
        let parsed = config::parse(text.as_bytes(), Source::Variable("test"));
        let mut proxies = parsed.unwrap().0.proxies;
        relocate(&mut proxies, (at.0.parse().unwrap(), at.1));
        proxies[0].endpoint.to_string()
    }

    #[test]
    fn a_proxy_on_localhost_is_moved_to_tailscaled() {
        for host in ["127.0.0.1", "localhost", "127.0.0.2"] {
            let line = format!("socks5 {host} 1055");
            assert_eq!(relocated(&line, ("127.0.0.2", 1055)), "127.0.0.2:1055");
        }
        let line = "socks5 127.0.0.1 1056";
        assert_eq!(relocated(line, ("127.0.0.3", 1056)), "127.0.0.3:1056");
    }

    #[test]
    fn the_default_address_follows_every_setting() {
        let line = "socks5 127.0.0.2 1055";
        assert_eq!(relocated(line, ("127.0.0.1", 1056)), "127.0.0.1:1056");
    }

    #[test]
    fn other_proxies_are_not_moved() {
        for line in [
            "socks5 127.0.0.1 1080",
            "http 127.0.0.1 1055",
            "socks5 192.0.2.1 1055",
            "socks5 127.0.0.3 1055",
        ] {
            assert!(
                relocated(line, ("127.0.0.2", 1055)) != "127.0.0.2:1055",
                "{line}"
            );
        }
    }

    fn with_lookups(lines: &str) -> (Option<PathBuf>, Vec<String>) {
        let parsed = config::parse(lines.as_bytes(), Source::Variable("test"));
        let mut config = parsed.unwrap().0;
        resolve_names(&mut config, (DEFAULT_HOST, 1055), &|name| match name {
            SOCKET_VARIABLE => Some("/run/env.sock".into()),
            SEARCH_VARIABLE => Some("a.corp, b.corp".into()),
            _ => None,
        });
        let search = config.tailscale_search.iter();
        (
            config.tailscale_socket,
            search.map(|domain| domain.as_str().to_owned()).collect(),
        )
    }

    #[test]
    fn lookups_are_enabled_if_tailscaled_is_the_only_proxy() {
        let (socket, search) = with_lookups("[ProxyList]\nsocks5 127.0.0.2 1055");
        assert_eq!(socket, Some("/run/env.sock".into()));
        assert_eq!(search, ["a.corp", "b.corp"]);
        for others in [
            "[ProxyList]\nsocks5 127.0.0.2 1080",
            "[ProxyList]\nhttp 127.0.0.2 1055",
            "[ProxyList]\nsocks5 127.0.0.2 1055\nsocks5 10.0.0.1 1080",
        ] {
            assert_eq!(with_lookups(others).0, None, "{others}");
        }
        let (socket, search) = with_lookups(
            "tailscale_socket /run/own.sock\ntailscale_search own\n[ProxyList]\nsocks5 127.0.0.2 1055",
        );
        assert_eq!(socket, Some("/run/own.sock".into()));
        assert_eq!(search, ["own"]);
    }

    #[test]
    fn without_a_valid_address_nothing_is_moved() {
        let read = |host: &'static str, port: &'static str| {
            from_env(&|name| match name {
                HOST_VARIABLE => Some(host.into()),
                PORT_VARIABLE => Some(port.into()),
                _ => None,
            })
        };
        assert_eq!(from_env(&|_| None), None);
        assert_eq!(read("127.0.0.2", ""), Some((DEFAULT_HOST, 1055)));
        assert_eq!(read("127.0.0.2", "1056"), Some((DEFAULT_HOST, 1056)));
        assert!(read("localhost", "").is_some());
        assert_eq!(read("0.0.0.0", ""), read("127.0.0.1", ""));
        assert_eq!(read("here", "1056"), None);
        assert_eq!(read("127.0.0.2", "x"), None);
    }
}
