//! The routing rules: where a connection goes, who resolves a name, and why.

#![forbid(unsafe_code)]

use crate::config::{AllowList, Config, Dns, Endpoint, RawDns, Source};
use crate::errno::Errno;
use crate::host::{Host, HostName, Target};
use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address of a connect, after the lookup in the name table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled<'a> {
    /// A real address.
    Address(SocketAddr),
    /// An address to which libc resolved a name that [`name_policy`] keeps local.
    Local(SocketAddr, &'a HostName),
    /// A fake IP: its name, and the port.
    Name(&'a HostName, u16),
    /// An address of the fake range that is assigned to no name.
    UnknownFake(SocketAddr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'c> {
    /// libc's connect.
    Direct {
        reason: Reason<'c>,
        /// The address to connect to if `dnat` changed it; else the program's sockaddr is passed on unchanged.
        to: Option<SocketAddr>,
    },
    /// Through the proxies.
    Chain(Target),
    /// The call fails with this errno.
    Refuse(Errno, Refusal),
}

/// The configuration line that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<'c> {
    pub directive: &'static str,
    pub source: &'c Source,
    /// Counted from 1; in an environment variable, the position of the item.
    pub line: u32,
}

/// Why a connection is not proxied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'c> {
    /// `TAILCHAIN_BYPASS` is set to this reason.
    Bypass(&'c str),
    LocalNet(Rule<'c>),
    LocalDomain(Rule<'c>),
    /// The address is that of a configured proxy.
    OwnProxy,
    /// There is an allow-list, made up of these directives, and the address is not in it.
    NotAllowed(AllowList),
}

/// Why a connection fails without being attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    UnknownFake(SocketAddr),
    /// A direct connection to a DNS server, which `raw_dns deny` forbids.
    RawDns,
}

/// Where DNS servers listen (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// As if no DNS server were running: a resolver then tries its next server at once, and gives up after the last.
pub const RAW_DNS_ERROR: Errno = Errno::ECONNREFUSED;

/// Whether `raw_dns deny` forbids direct traffic to this port.
pub fn denies_direct(config: &Config, port: u16) -> bool {
    config.raw_dns == RawDns::Deny && port == DNS_PORT
}

/// Decides where a connection goes. `proxy_addresses` are the resolved addresses of proxies that are configured by name;
/// numeric proxy addresses are taken from `config`.
///
/// The rules in order: `TAILCHAIN_BYPASS`, unknown fake IP, `dnat`, the proxies' own addresses, `localdomain`,
/// `localnet`, the allow-list; last, `raw_dns deny` for direct connections. An IPv4-mapped address counts as IPv4;
/// `0.0.0.0` and `::` mean loopback, as in the kernel. A name always goes through the proxies, because names that may be
/// reached directly do not get a fake IP.
pub fn decide<'c>(
    config: &'c Config,
    dialled: Dialled<'_>,
    proxy_addresses: &[SocketAddr],
) -> Route<'c> {
    if let Some(why) = &config.bypass {
        let (reason, to) = (Reason::Bypass(why), None);
        return Route::Direct { reason, to };
    }
    let (dialled, name) = match dialled {
        Dialled::Address(address) => (address, None),
        Dialled::Local(address, name) => (address, Some(name)),
        Dialled::Name(name, port) => {
            let host = Host::Name(name.clone());
            return Route::Chain(Target { host, port });
        }
        Dialled::UnknownFake(address) => {
            return Route::Refuse(Errno::EHOSTUNREACH, Refusal::UnknownFake(address))
        }
    };
    let to = dnat(config, canonical(dialled));
    let address = loopback_if_unspecified(to.unwrap_or(canonical(dialled)));
    match direct_reason(config, address, name, proxy_addresses) {
        Some(reason) if reason != Reason::OwnProxy && denies_direct(config, address.port()) => {
            Route::Refuse(RAW_DNS_ERROR, Refusal::RawDns)
        }
        Some(reason) => Route::Direct { reason, to },
        None => Route::Chain(Target::from(address)),
    }
}

fn direct_reason<'c>(
    config: &'c Config,
    address: SocketAddr,
    name: Option<&HostName>,
    proxy_addresses: &[SocketAddr],
) -> Option<Reason<'c>> {
    if is_own_proxy(config, address, proxy_addresses) {
        return Some(Reason::OwnProxy);
    }
    if let Some(line) = name.and_then(|name| config.local_domains.matches(name)) {
        return Some(Reason::LocalDomain(rule(config, "localdomain", line)));
    }
    if let Some(line) = config.local_nets.matches(address.ip(), address.port()) {
        return Some(Reason::LocalNet(rule(config, "localnet", line)));
    }
    let allowed = config
        .allow_nets
        .matches(address.ip(), address.port())
        .is_some();
    (!config.allow_list.is_empty() && !allowed).then_some(Reason::NotAllowed(config.allow_list))
}

fn rule<'c>(config: &'c Config, directive: &'static str, line: u32) -> Rule<'c> {
    Rule {
        directive,
        source: &config.source,
        line,
    }
}

fn is_own_proxy(config: &Config, address: SocketAddr, proxy_addresses: &[SocketAddr]) -> bool {
    let is_this = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(Target {
            host: Host::Ip(ip),
            port,
        }) => loopback_if_unspecified(SocketAddr::new(*ip, *port)) == address,
        _ => false,
    };
    config.proxies.iter().any(|proxy| is_this(&proxy.endpoint))
        || proxy_addresses
            .iter()
            .any(|proxy| loopback_if_unspecified(canonical(*proxy)) == address)
}

fn dnat(config: &Config, address: SocketAddr) -> Option<SocketAddr> {
    match address {
        SocketAddr::V4(v4) => config.dnat.apply(v4).map(SocketAddr::V4),
        SocketAddr::V6(_) => None,
    }
}

/// The address without flow label and scope, converted to IPv4 if IPv4-mapped.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn loopback_if_unspecified(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Who resolves a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePolicy<'c> {
    /// libc.
    Local(NameReason<'c>),
    /// The proxy; the program gets a fake IP.
    Remote,
}

/// Why libc resolves a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameReason<'c> {
    /// `TAILCHAIN_BYPASS` is set to this reason.
    Bypass(&'c str),
    /// `proxy_dns` is off.
    DnsIsLocal,
    /// `localhost` and the names below it (RFC 6761 section 6.3).
    Localhost,
    LocalDomain(Rule<'c>),
    /// The host name of a configured proxy.
    OwnProxy,
    /// There is an allow-list, and none of these directives matches the name.
    NotAllowed(AllowList),
    /// In `/etc/hosts`, or the machine's own name.
    KnownLocally,
}

/// Decides who resolves a name, which must not be a numeric address. `known_locally` tells whether the name is in
/// `/etc/hosts` or is the machine's own; it is called last, because it may read a file.
pub fn name_policy<'c>(
    config: &'c Config,
    name: &HostName,
    known_locally: &mut dyn FnMut(&HostName) -> bool,
) -> NamePolicy<'c> {
    match local_reason(config, name, known_locally) {
        Some(reason) => NamePolicy::Local(reason),
        None => NamePolicy::Remote,
    }
}

fn local_reason<'c>(
    config: &'c Config,
    name: &HostName,
    known_locally: &mut dyn FnMut(&HostName) -> bool,
) -> Option<NameReason<'c>> {
    if let Some(why) = &config.bypass {
        return Some(NameReason::Bypass(why));
    }
    if is_localhost(name) {
        return Some(NameReason::Localhost);
    }
    if let Some(line) = config.local_domains.matches(name) {
        return Some(NameReason::LocalDomain(rule(config, "localdomain", line)));
    }
    if config.dns == Dns::Local {
        return Some(NameReason::DnsIsLocal);
    }
    if names_a_proxy(config, name) {
        return Some(NameReason::OwnProxy);
    }
    if !config.allow_list.is_empty() && config.allow_domains.matches(name).is_none() {
        return Some(NameReason::NotAllowed(config.allow_list.of_names()));
    }
    known_locally(name).then_some(NameReason::KnownLocally)
}

/// Whether `name` is `localhost` or below it (RFC 6761 section 6.3).
pub fn is_localhost(name: &HostName) -> bool {
    name.is_within("localhost")
}

/// Whether `name` is the host name of a configured proxy.
pub fn names_a_proxy(config: &Config, name: &HostName) -> bool {
    config.proxies.iter().any(|proxy| {
        matches!(&proxy.endpoint, Endpoint::Tcp(Target { host: Host::Name(own), .. }) if own == name)
    })
}

/// `localnet, PATH:12`, or `NO_PROXY, item 2`.
impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::File(_) => write!(f, "{}, {}:{}", self.directive, self.source, self.line),
            // A proxy URL contains no rules, so this one is an exception in NO_PROXY.
            Source::Variable(_) => write!(f, "NO_PROXY, item {}", self.line),
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Bypass(why) => write!(f, "TAILCHAIN_BYPASS, {why}"),
            Reason::LocalNet(rule) | Reason::LocalDomain(rule) => rule.fmt(f),
            Reason::OwnProxy => f.write_str("the address of a proxy"),
            Reason::NotAllowed(list) => write!(f, "not matched by {}", list.listed("or")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UnknownFake(address) => write!(
                f,
                "{} is in the range of remote_dns_subnet, but stands for no name",
                address.ip()
            ),
            Refusal::RawDns => f.write_str("raw_dns deny"),
        }
    }
}

impl fmt::Display for NameReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameReason::Bypass(why) => write!(f, "TAILCHAIN_BYPASS, {why}"),
            NameReason::DnsIsLocal => f.write_str("proxy_dns is off"),
            NameReason::Localhost => f.write_str("a name of this machine (localhost)"),
            NameReason::LocalDomain(rule) => rule.fmt(f),
            NameReason::OwnProxy => f.write_str("the host name of a proxy"),
            // The allow-list has networks only.
            NameReason::NotAllowed(list) if list.is_empty() => {
                f.write_str("no proxydomain matches it")
            }
            NameReason::NotAllowed(list) => write!(f, "not matched by {}", list.listed("or")),
            NameReason::KnownLocally => f.write_str("in /etc/hosts, or the name of this machine"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, environment};

    fn config(directives: &str) -> Config {
        config_with(directives, "socks5 127.0.0.1 1055")
    }

    fn config_with(directives: &str, proxies: &str) -> Config {
        let text = format!("{directives}\n[ProxyList]\n{proxies}\n");
        let source = Source::File("p.conf".into());
        config::parse(text.as_bytes(), source).unwrap().0
    }

    /// The route in one line: `direct: REASON`, `direct to ADDRESS: REASON`, `chain TARGET`, `ERRNO: REFUSAL`.
    fn describe(route: Route<'_>) -> String {
        match route {
            Route::Direct { reason, to: None } => format!("direct: {reason}"),
            Route::Direct {
                reason,
                to: Some(to),
            } => format!("direct to {to}: {reason}"),
            Route::Chain(target) => format!("chain {target}"),
            Route::Refuse(errno, refusal) => format!("{errno}: {refusal}"),
        }
    }

    fn dial(config: &Config, address: &str) -> String {
        let address = Dialled::Address(address.parse().unwrap());
        describe(decide(config, address, &[]))
    }

    fn name(text: &str) -> HostName {
        HostName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn without_rules_everything_is_proxied() {
        let config = config("");
        assert_eq!(dial(&config, "8.8.8.8:53"), "chain 8.8.8.8:53");
        assert_eq!(dial(&config, "[2001:db8::1]:1"), "chain [2001:db8::1]:1");
        assert_eq!(dial(&config, "127.0.0.1:80"), "chain 127.0.0.1:80");
    }

    #[test]
    fn an_unassigned_fake_ip_is_refused() {
        let config = config("localnet 0.0.0.0/0");
        let unknown = Dialled::UnknownFake("224.0.0.9:80".parse().unwrap());
        assert_eq!(
            describe(decide(&config, unknown, &[])),
            "EHOSTUNREACH: 224.0.0.9 is in the range of remote_dns_subnet, but stands for no name"
        );
    }

    #[test]
    fn address_rules_do_not_apply_to_names() {
        let config = config("localnet 0.0.0.0/0\nproxynet 10.0.0.0/8");
        let name = name("db.ts.net");
        let route = decide(&config, Dialled::Name(&name, 5432), &[]);
        assert_eq!(describe(route), "chain db.ts.net:5432");
    }

    #[test]
    fn localnet_goes_direct_and_the_reason_has_its_line() {
        let config = config("\nlocalnet 10.0.0.0:80/8\nlocalnet ::1/128");
        assert_eq!(dial(&config, "10.0.0.1:80"), "direct: localnet, p.conf:2");
        assert_eq!(dial(&config, "10.0.0.1:81"), "chain 10.0.0.1:81");
        assert_eq!(dial(&config, "[::1]:5"), "direct: localnet, p.conf:3");
    }

    #[test]
    fn an_ipv4_mapped_address_counts_as_ipv4() {
        let config = config("localnet 10.0.0.0/8\ndnat 1.1.1.1 2.2.2.2");
        let local = dial(&config, "[::ffff:10.0.0.1]:80");
        assert_eq!(local, "direct: localnet, p.conf:1");
        let remote = dial(&config, "[::ffff:8.8.8.8]:80");
        assert_eq!(remote, "chain 8.8.8.8:80");
        let replaced = dial(&config, "[::ffff:1.1.1.1]:80");
        assert_eq!(replaced, "chain 2.2.2.2:80");
    }

    #[test]
    fn dnat_comes_before_localnet_and_the_new_address_is_dialled() {
        let config = config("dnat 1.1.1.1 10.0.0.1:81\nlocalnet 10.0.0.0/8\ndnat 10.0.0.9 8.8.8.8");
        assert_eq!(
            dial(&config, "1.1.1.1:80"),
            "direct to 10.0.0.1:81: localnet, p.conf:2"
        );
        assert_eq!(dial(&config, "10.0.0.9:80"), "chain 8.8.8.8:80");
    }

    #[test]
    fn the_unspecified_address_counts_as_loopback_and_is_passed_on_unchanged() {
        let local = config("localnet 127.0.0.0/8\nlocalnet ::1/128");
        assert_eq!(dial(&local, "0.0.0.0:80"), "direct: localnet, p.conf:1");
        assert_eq!(dial(&local, "[::]:80"), "direct: localnet, p.conf:2");
        let remote = config("");
        assert_eq!(dial(&remote, "0.0.0.0:80"), "chain 127.0.0.1:80");
        assert_eq!(dial(&remote, "[::]:80"), "chain [::1]:80");
    }

    #[test]
    fn the_proxies_are_always_reached_directly() {
        let config = config_with(
            "proxynet 0.0.0.0/0\nproxynet ::/0\ndnat 9.9.9.9 127.0.0.1:1055",
            "socks5 127.0.0.1 1055\nsocks5 proxy.example 1080",
        );
        let own = "direct: the address of a proxy";
        assert_eq!(dial(&config, "127.0.0.1:1055"), own);
        assert_eq!(dial(&config, "[::ffff:127.0.0.1]:1055"), own);
        assert_eq!(dial(&config, "0.0.0.0:1055"), own);
        assert_eq!(
            dial(&config, "9.9.9.9:1"),
            "direct to 127.0.0.1:1055: the address of a proxy"
        );
        assert_eq!(dial(&config, "127.0.0.1:1056"), "chain 127.0.0.1:1056");

        let resolved = ["[::ffff:192.0.2.7]:1080".parse().unwrap()];
        let dialled = |address: &str| {
            let address = Dialled::Address(address.parse().unwrap());
            describe(decide(&config, address, &resolved))
        };
        assert_eq!(dialled("192.0.2.7:1080"), own);
        assert_eq!(dialled("192.0.2.7:1081"), "chain 192.0.2.7:1081");
    }

    #[test]
    fn with_an_allow_list_only_matching_addresses_are_proxied() {
        let tailnet = config("tailnet_only\nproxynet 10.1.0.0/16:5432\nlocalnet 100.64.0.9/32");
        let outside = "direct: not matched by tailnet_only or proxynet";
        assert_eq!(dial(&tailnet, "100.64.0.1:80"), "chain 100.64.0.1:80");
        assert_eq!(
            dial(&tailnet, "[fd7a:115c:a1e0::1]:80"),
            "chain [fd7a:115c:a1e0::1]:80"
        );
        assert_eq!(dial(&tailnet, "10.1.0.1:5432"), "chain 10.1.0.1:5432");
        assert_eq!(dial(&tailnet, "10.1.0.1:80"), outside);
        assert_eq!(dial(&tailnet, "8.8.8.8:443"), outside);
        assert_eq!(
            dial(&tailnet, "100.64.0.9:80"),
            "direct: localnet, p.conf:3"
        );
        let names_only = config("proxydomain .ts.net");
        assert_eq!(
            dial(&names_only, "100.64.0.1:80"),
            "direct: not matched by proxydomain"
        );
    }

    #[test]
    fn an_address_resolved_from_a_localdomain_name_goes_direct() {
        let config = config("localdomain .internal");
        let address = "192.0.2.1:80".parse().unwrap();
        let (inside, outside) = (name("db.internal"), name("db.example"));
        assert_eq!(
            describe(decide(&config, Dialled::Local(address, &inside), &[])),
            "direct: localdomain, p.conf:1"
        );
        assert_eq!(
            describe(decide(&config, Dialled::Local(address, &outside), &[])),
            "chain 192.0.2.1:80"
        );
    }

    #[test]
    fn an_exception_of_no_proxy_is_named_by_its_item() {
        let (config, _) =
            environment::from_url("socks5h://h:1", "ALL_PROXY", Some("x,10.0.0.0/8")).unwrap();
        assert_eq!(dial(&config, "10.0.0.1:80"), "direct: NO_PROXY, item 2");
    }

    fn policy(config: &Config, text: &str, known: bool) -> String {
        match name_policy(config, &name(text), &mut |_| known) {
            NamePolicy::Local(reason) => format!("local: {reason}"),
            NamePolicy::Remote => "remote".to_owned(),
        }
    }

    #[test]
    fn names_are_remote_with_proxy_dns_only() {
        let off = policy(&config(""), "db.example", false);
        assert_eq!(off, "local: proxy_dns is off");
        let on = policy(&config("proxy_dns"), "db.example", false);
        assert_eq!(on, "remote");
    }

    #[test]
    fn names_of_this_machine_stay_local() {
        let config = config("proxy_dns\nproxydomain *");
        let localhost = "local: a name of this machine (localhost)";
        assert_eq!(policy(&config, "localhost", false), localhost);
        assert_eq!(policy(&config, "App.LocalHost.", false), localhost);
        assert_eq!(policy(&config, "notlocalhost", false), "remote");
        assert_eq!(
            policy(&config, "dyno", true),
            "local: in /etc/hosts, or the name of this machine"
        );
    }

    #[test]
    fn the_host_name_of_a_proxy_is_never_sent_to_it() {
        let config = config_with("proxy_dns", "socks5 Proxy.Example 1080");
        assert_eq!(
            policy(&config, "proxy.example", false),
            "local: the host name of a proxy"
        );
        assert_eq!(policy(&config, "a.proxy.example", false), "remote");
    }

    #[test]
    fn localdomain_overrides_proxydomain_and_other_names_are_local() {
        let config = config("proxy_dns\nproxydomain .ts.net\nlocaldomain .lan.ts.net");
        assert_eq!(policy(&config, "db.ts.net", false), "remote");
        assert_eq!(
            policy(&config, "db.lan.ts.net", false),
            "local: localdomain, p.conf:3"
        );
        assert_eq!(
            policy(&config, "db.example", false),
            "local: not matched by proxydomain"
        );
    }

    #[test]
    fn the_reason_for_a_name_outside_of_the_tailnet_is_tailnet_only() {
        let both = config("proxy_dns\ntailnet_only\nproxynet 10.0.0.0/8\nproxydomain .lan");
        assert_eq!(
            policy(&both, "db", false),
            "local: not matched by tailnet_only or proxydomain"
        );
        let alone = config("proxy_dns\ntailnet_only");
        assert_eq!(
            policy(&alone, "db", false),
            "local: not matched by tailnet_only"
        );
    }

    #[test]
    fn an_allow_list_of_networks_only_keeps_all_names_local() {
        let config = config("proxy_dns\nproxynet 10.0.0.0/8");
        assert_eq!(
            policy(&config, "db.example", false),
            "local: no proxydomain matches it"
        );
    }

    #[test]
    fn files_are_not_read_for_names_that_a_rule_decides() {
        let config = config("proxy_dns\nlocaldomain a\nproxydomain b");
        for text in ["localhost", "x.a", "x.c"] {
            let policy = name_policy(&config, &name(text), &mut |_| panic!("asked about {text}"));
            assert!(matches!(policy, NamePolicy::Local(_)));
        }
    }
}
