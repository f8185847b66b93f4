//! The table of directives, i.e. of the lines before `[ProxyList]`.

#![forbid(unsafe_code)]

use super::builder::{ConfigBuilder, Order};
use super::error::Problem;
use super::proxy_parts::parse_kind;
use super::rules::{Dnat, Net, Suffix};
use super::words::{Note, Words};
use super::{Dns, LogFormat, ProxyDown, RawDns, Supervise};
use crate::host::HostName;
use std::path::PathBuf;

/// The expansion of `tailnet_only`: Tailscale's CGNAT range, its IPv6 prefix and its MagicDNS domain.
const TAILNET_NETS: [&str; 2] = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"];
const TAILNET_DOMAIN: &str = ".ts.net";

/// Bytes of a path in a sockaddr_un (unix(7)), without the final NUL.
pub(super) const UNIX_PATH_MAX: usize = 107;

type Apply = fn(&mut ConfigBuilder, &Words<'_>, u32) -> Result<Note, Problem>;

/// The definition of a directive. The parser, the shipped config, the man page and the documents are generated from it.
pub struct Directive {
    pub name: &'static str,
    /// The syntax of the value, as in man pages; empty for a directive without a value.
    pub value: &'static str,
    /// The default: a value, `on` or `off`, or `none`.
    pub default: &'static str,
    pub section: Section,
    /// One sentence, with names in backquotes.
    pub summary: &'static str,
    /// Further text for the shipped config and the man page.
    pub detail: &'static str,
    /// The lines in the shipped config.
    pub shipped: &'static [&'static str],
    apply: Apply,
}

/// A part of the shipped config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Chain,
    Names,
    Routing,
    Retries,
    Messages,
}

/// One entry for each directive, in the order of the shipped config. tailchain's extensions must not begin with a name
/// that proxychains-ng matches as a prefix (`localnet`, `dnat`, `chain_len`, the timeouts, `remote_dns_subnet`,
/// `proxy_dns_daemon`).
pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "strict_chain",
        value: "",
        default: "off",
        section: Section::Chain,
        summary: "All proxies of the list, in order.",
        detail: "",
        shipped: &["strict_chain"],
        apply: |d, w, _| w.flag(|| d.order = Order::Strict),
    },
    Directive {
        name: "dynamic_chain",
        value: "",
        default: "on",
        section: Section::Chain,
        summary: "All proxies in order, without those that do not answer.",
        detail: "",
        shipped: &["#dynamic_chain"],
        apply: |d, w, _| w.flag(|| d.order = Order::Dynamic),
    },
    Directive {
        name: "random_chain",
        value: "",
        default: "off",
        section: Section::Chain,
        summary: "`chain_len` proxies, drawn at random.",
        detail: "",
        shipped: &["#random_chain"],
        apply: |d, w, _| w.flag(|| d.order = Order::Random),
    },
    Directive {
        name: "round_robin_chain",
        value: "",
        default: "off",
        section: Section::Chain,
        summary:
            "`chain_len` proxies; each connection starts after the last proxy of the previous one.",
        detail: "",
        shipped: &["#round_robin_chain"],
        apply: |d, w, _| w.flag(|| d.order = Order::RoundRobin),
    },
    Directive {
        name: "chain_len",
        value: "N",
        default: "1",
        section: Section::Chain,
        summary: "The number of proxies for `random_chain` and `round_robin_chain`.",
        detail: "",
        shipped: &["#chain_len = 1"],
        apply: |d, w, line| {
            // proxychains-ng takes 0 for 1.
            let len = w.number(1, u64::from(u16::MAX), "the proxies of a connection")?;
            d.chain_len = (usize::try_from(len).unwrap_or(1), Some(line));
            Ok(None)
        },
    },
    Directive {
        name: "proxy_dns",
        value: "",
        default: "off",
        section: Section::Names,
        summary: "The proxy resolves host names; the program is given a fake IP.",
        detail: "Without it libc resolves names, and does not know MagicDNS.",
        shipped: &["proxy_dns"],
        apply: |d, w, _| w.flag(|| d.dns = Dns::Remote),
    },
    Directive {
        name: "proxy_dns_old",
        value: "",
        default: "off",
        section: Section::Names,
        summary: "Accepted with a warning; means `proxy_dns`.",
        detail: "",
        shipped: &[],
        apply: |d, w, _| {
            w.flag(|| d.dns = Dns::Remote)?;
            Ok(Some(Problem::new(
                "proxyresolv is not run; this means proxy_dns",
                "write proxy_dns",
            )))
        },
    },
    Directive {
        name: "proxy_dns_daemon",
        value: "ADDRESS:PORT",
        default: "none",
        section: Section::Names,
        summary: "Accepted with a warning; means `proxy_dns`. No daemon is asked.",
        detail: "",
        shipped: &[],
        apply: |d, w, _| {
            let address = w.one("the address of a daemon, e.g. 127.0.0.1:1053")?;
            let well_formed = address.parse::<std::net::SocketAddr>().is_ok();
            d.dns = Dns::Remote;
            match well_formed {
                true => Ok(Some(Problem::new(
                    "no daemon is asked; this means proxy_dns",
                    "write proxy_dns",
                ))),
                false => Err(Problem::new(
                    "this is not an address with a port",
                    "expected e.g. 127.0.0.1:1053; or write proxy_dns, which needs no daemon",
                )),
            }
        },
    },
    Directive {
        name: "remote_dns_subnet",
        value: "N",
        default: "224",
        section: Section::Names,
        summary: "The first octet of the fake IPs, from 0 to 255.",
        detail: "Real addresses in that range become unreachable. Tested with 0, 10, 100, 127, \
            198, 224, 239, 240 and 255: curl, wget, busybox, ssh, git, nmap, redis-cli, \
            socat, Python, Node, Ruby, PHP, Perl and Java accept them all; 15 other \
            programs, from lftp to smbclient and Erlang, accept 224 and 240. The default is \
            224 because a connection that bypasses the proxy then fails at once: the kernel \
            opens no TCP connection to a multicast address. With 240 such a connection \
            would be sent to the router and time out. Use 240 for a program that rejects \
            multicast addresses. Do not use 127, which hides the loopback addresses, or 10, \
            which many networks use. UDP to the range is refused, so a program that sends \
            to multicast groups of 224 (other than 224.0.0.0/24, which mDNS uses) needs \
            another value, too.",
        shipped: &["remote_dns_subnet 224"],
        apply: |d, w, _| {
            let octet = w.number(0, 255, "the first octet of the fake IPs")?;
            d.fake_subnet = u8::try_from(octet).unwrap_or(u8::MAX);
            Ok(None)
        },
    },
    Directive {
        name: "localdomain",
        value: "SUFFIX",
        default: "none",
        section: Section::Names,
        summary: "Names that libc resolves and that are connected to directly.",
        detail: "This always applies to localhost, names in /etc/hosts and the machine's own name.",
        shipped: &["#localdomain .internal"],
        apply: |d, w, line| {
            let suffix = Suffix::parse(w.one("a domain, e.g. .internal")?)?;
            d.local_domains.insert(suffix, line);
            Ok(None)
        },
    },
    Directive {
        name: "tailscale_socket",
        value: "PATH",
        default: "none",
        section: Section::Names,
        summary: "tailscaled's LocalAPI socket. Names are looked up there, and the proxy gets \
            their addresses.",
        detail: "Needed for the names of split DNS routes and 4via6, which tailscaled's proxies \
            do not resolve: they know the names of machines only. `tailchain run` and the \
            buildpack set it by themselves.",
        shipped: &["#tailscale_socket /var/run/tailscale/tailscaled.sock"],
        apply: |d, w, _| {
            let path = absolute(w.one("the path of tailscaled's socket")?)?;
            if path.as_os_str().len() > UNIX_PATH_MAX {
                return Err(Problem::new(
                    "this path is too long for a unix socket",
                    "expected at most 107 bytes",
                ));
            }
            d.tailscale_socket = Some(path);
            Ok(None)
        },
    },
    Directive {
        name: "tailscale_search",
        value: "DOMAIN",
        default: "none",
        section: Section::Names,
        summary: "A search domain for names without a dot, for lookups on `tailscale_socket`; one \
            domain per line.",
        detail: "",
        shipped: &["#tailscale_search corp.example.com"],
        apply: |d, w, _| {
            let domain = w.one("a domain, e.g. corp.example.com")?;
            d.tailscale_search.push(search_domain(domain)?);
            Ok(None)
        },
    },
    Directive {
        name: "raw_dns",
        value: "allow|deny",
        default: "allow",
        section: Section::Names,
        summary: "Whether a program that queries a DNS server itself (dig, dns.resolve of Node, \
            dnspython) may bypass `proxy_dns`.",
        detail: "`deny` refuses UDP and TCP to port 53, except TCP through the proxy.",
        shipped: &["#raw_dns deny"],
        apply: |d, w, _| {
            d.raw_dns = w.choice(&[("allow", RawDns::Allow), ("deny", RawDns::Deny)])?;
            Ok(None)
        },
    },
    Directive {
        name: "localnet",
        value: "ADDRESS[:PORT]/MASK",
        default: "none",
        section: Section::Routing,
        summary: "Addresses that are connected to directly.",
        detail: "An IPv6 address with a port is in brackets. 127.0.0.0/8 and ::1/128 are this \
            machine.",
        shipped: &[
            "localnet 127.0.0.0/8",
            "localnet ::1/128",
            "#localnet 10.0.0.0/255.0.0.0",
            "#localnet 192.168.1.0:80/255.255.255.0",
            "#localnet [fd00::]:80/8",
        ],
        apply: |d, w, line| {
            let net = Net::parse(w.one("a network, e.g. 10.0.0.0/8")?)?;
            d.local_nets.push((net, line));
            Ok(None)
        },
    },
    Directive {
        name: "tailnet_only",
        value: "",
        default: "off",
        section: Section::Routing,
        summary: "Only the tailnet is proxied: 100.64.0.0/10, fd7a:115c:a1e0::/48 and names \
            below .ts.net.",
        detail: "The rest of the internet is connected to directly.",
        shipped: &["# tailnet_only"],
        apply: |d, w, line| {
            w.flag(|| ())?;
            for net in TAILNET_NETS {
                d.allow_nets.push((Net::parse(net)?, line));
            }
            d.allow_domains.insert(Suffix::parse(TAILNET_DOMAIN)?, line);
            d.allow_list.tailnet_only = true;
            Ok(None)
        },
    },
    Directive {
        name: "proxynet",
        value: "CIDR[:PORT]",
        default: "none",
        section: Section::Routing,
        summary: "Proxy only connections that match `proxynet`, `proxydomain` or `tailnet_only`; \
            for subnet routes, optionally on one port.",
        detail: "One such line suffices: all other addresses are connected to directly.",
        shipped: &["#proxynet 10.20.0.0/16", "#proxynet 10.30.0.0/16:5432"],
        apply: |d, w, line| {
            let net = Net::parse(w.one("a network, e.g. 100.64.0.0/10")?)?;
            d.allow_nets.push((net, line));
            d.allow_list.proxynet = true;
            Ok(None)
        },
    },
    Directive {
        name: "proxydomain",
        value: "SUFFIX",
        default: "none",
        section: Section::Routing,
        summary: "As `proxynet`, for names.",
        detail: "",
        shipped: &["#proxydomain db.example.com"],
        apply: |d, w, line| {
            let suffix = Suffix::parse(w.one("a domain, e.g. .ts.net")?)?;
            d.allow_domains.insert(suffix, line);
            d.allow_list.proxydomain = true;
            Ok(None)
        },
    },
    Directive {
        name: "dnat",
        value: "FROM[:PORT] TO[:PORT]",
        default: "none",
        section: Section::Routing,
        summary: "Replace an IPv4 destination address.",
        detail: "",
        shipped: &["#dnat 192.0.2.10:5432 100.100.1.2:5432"],
        apply: |d, w, _| {
            let (from, to) = w.two("FROM[:PORT] TO[:PORT]")?;
            d.dnat.insert(Dnat::parse(from, to)?);
            Ok(None)
        },
    },
    Directive {
        name: "supervise",
        value: "auto|always|never",
        default: "auto",
        section: Section::Routing,
        summary: "Which programs `proxychains4` starts under a supervisor: those that ignore \
            LD_PRELOAD, all, or none.",
        detail: "Static and Go programs ignore LD_PRELOAD. The supervisor establishes their \
            connections; it needs seccomp and ptrace, which a container may not permit.",
        shipped: &["#supervise never"],
        apply: |d, w, _| {
            d.supervise = w.choice(&Supervise::NAMES)?;
            Ok(None)
        },
    },
    Directive {
        name: "tcp_connect_time_out",
        value: "MS",
        default: "10000",
        section: Section::Retries,
        summary: "Timeout of the TCP connection to the first proxy, in milliseconds.",
        detail: "",
        shipped: &["tcp_connect_time_out 8000"],
        apply: |d, w, _| {
            d.connect_timeout = w.milliseconds(1)?;
            Ok(None)
        },
    },
    Directive {
        name: "tcp_read_time_out",
        value: "MS",
        default: "4000",
        section: Section::Retries,
        summary: "Timeout of each reply of a proxy, in milliseconds.",
        detail: "tailscaled reports an unreachable peer after at most 5 seconds; a shorter \
            timeout would hide the reason.",
        shipped: &["tcp_read_time_out 15000"],
        apply: |d, w, _| {
            d.read_timeout = w.milliseconds(1)?;
            Ok(None)
        },
    },
    Directive {
        name: "proxy_wait",
        value: "MS",
        default: "0",
        section: Section::Retries,
        summary: "How long to retry while the first proxy refuses connections, e.g. because \
            tailscaled is still starting.",
        detail: "",
        shipped: &["proxy_wait 20000"],
        apply: |d, w, _| {
            d.wait = w.milliseconds(0)?;
            Ok(None)
        },
    },
    Directive {
        name: "proxy_retry",
        value: "N",
        default: "0",
        section: Section::Retries,
        summary: "How often to retry after the proxy reports a general failure.",
        detail: "The first connection to an idle peer may fail.",
        shipped: &["proxy_retry 2"],
        apply: |d, w, _| {
            let times = w.number(0, 1000, "the number of retries")?;
            d.retry = u32::try_from(times).unwrap_or(0);
            Ok(None)
        },
    },
    Directive {
        name: "proxy_down",
        value: "fail|direct",
        default: "fail",
        section: Section::Retries,
        summary: "What to do if the first proxy still refuses connections after `proxy_wait`: \
            fail the connection, or bypass the proxy.",
        detail: "",
        shipped: &["#proxy_down direct"],
        apply: |d, w, _| {
            d.proxy_down = w.choice(&[("fail", ProxyDown::Fail), ("direct", ProxyDown::Direct)])?;
            Ok(None)
        },
    },
    Directive {
        name: "proxy_pipeline",
        value: "",
        default: "off",
        section: Section::Retries,
        summary: "Send the SOCKS5 greeting and the request in one segment, which saves a round \
            trip for each hop without a user.",
        detail: "Works with proxies that read exactly the bytes they need, such as tailscaled. A \
            proxy that reads the greeting into a large buffer (microsocks) loses the \
            request, and the connection times out.",
        shipped: &["#proxy_pipeline"],
        apply: |d, w, _| w.flag(|| d.pipeline = true),
    },
    Directive {
        name: "quiet_mode",
        value: "",
        default: "off",
        section: Section::Messages,
        summary: "Write nothing to stderr.",
        detail: "",
        shipped: &["#quiet_mode"],
        apply: |d, w, _| w.flag(|| d.quiet = true),
    },
    Directive {
        name: "log_file",
        value: "PATH",
        default: "none",
        section: Section::Messages,
        summary: "Append messages to this file instead of stderr.",
        detail: "Ignored in a file that was found in the current directory; name that file with \
            -f.",
        shipped: &["#log_file /var/log/tailchain.log"],
        apply: |d, w, _| {
            d.log_file = Some(absolute(w.one("an absolute path")?)?);
            Ok(None)
        },
    },
    Directive {
        name: "log_format",
        value: "text|json",
        default: "text",
        section: Section::Messages,
        summary: "One line of text or one JSON object for each message.",
        detail: "",
        shipped: &["#log_format json"],
        apply: |d, w, _| {
            d.log_format = w.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])?;
            Ok(None)
        },
    },
];

/// Only the part of the table that the parser needs, so that the texts are not linked into the preload library.
#[allow(clippy::indexing_slicing)] // Evaluated at compile time: an index out of bounds does not compile.
static PARSERS: [(&str, Apply); DIRECTIVES.len()] = {
    let first = &DIRECTIVES[0];
    let mut parsers = [(first.name, first.apply); DIRECTIVES.len()];
    let mut index = 1;
    while index < DIRECTIVES.len() {
        parsers[index] = (DIRECTIVES[index].name, DIRECTIVES[index].apply);
        index += 1;
    }
    parsers
};

fn absolute(path: &str) -> Result<PathBuf, Problem> {
    match path.starts_with('/') && !path.contains('\0') {
        true => Ok(PathBuf::from(path)),
        false => Err(Problem::new(
            "this is not an absolute path",
            "begin it with /, because programs change their directory",
        )),
    }
}

fn search_domain(text: &str) -> Result<HostName, Problem> {
    let not_one = || {
        Problem::new(
            "this is not a search domain",
            "expected e.g. corp.example.com",
        )
    };
    let suffix = Suffix::parse(text)?;
    suffix.domain().ok_or_else(not_one)
}

pub(super) fn is_known(keyword: &str) -> bool {
    PARSERS.iter().any(|(name, _)| *name == keyword)
}

/// Applies one line to the builder. An unknown directive is ignored with a note.
pub(super) fn apply(
    builder: &mut ConfigBuilder,
    words: &Words<'_>,
    line: u32,
) -> Result<Note, Problem> {
    match PARSERS.iter().find(|(name, _)| *name == words.keyword) {
        Some((_, apply)) => apply(builder, words, line),
        None => Ok(Some(unknown(words.keyword))),
    }
}

fn unknown(keyword: &str) -> Problem {
    let scheme = keyword.split("://").next().unwrap_or(keyword);
    if parse_kind(scheme.as_bytes()).is_ok() {
        return Problem::new(
            "a proxy before [ProxyList] is ignored",
            "move the line below [ProxyList]",
        );
    }
    if keyword.eq_ignore_ascii_case("[ProxyList]") {
        return Problem::new("this heading is ignored", "write [ProxyList]");
    }
    let meant = |(name, _): &&(&str, Apply)| {
        keyword.eq_ignore_ascii_case(name)
            || keyword.replace('-', "_") == *name
            || keyword.starts_with(name)
            || (keyword.len() > 3 && name.starts_with(keyword))
    };
    match PARSERS.iter().find(meant) {
        Some((name, _)) => Problem::new(
            "unknown directive, ignored",
            format!("did you mean {name}?"),
        ),
        None => Problem::new(
            "unknown directive, ignored",
            "remove the line or correct it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse, ChainKind, Config, Source, Warning};
    use crate::host::HostName;
    use std::time::Duration;

    fn read(directives: &str) -> Result<(Config, Vec<Warning>), String> {
        let proxy = "socks5 127.0.0.1 1080\n";
        let text = format!("{directives}\n[ProxyList]\n{proxy}{proxy}{proxy}");
        parse(text.as_bytes(), Source::File("p.conf".into())).map_err(|error| error.to_string())
    }

    type Holds = fn(&Config) -> bool;

    /// A line, and a predicate on the resulting configuration.
    const GOOD: &[(&str, Holds)] = &[
        ("", |c| c.chain == ChainKind::Dynamic),
        ("strict_chain", |c| c.chain == ChainKind::Strict),
        ("dynamic_chain", |c| c.chain == ChainKind::Dynamic),
        ("random_chain", |c| c.chain == ChainKind::Random { len: 1 }),
        ("round_robin_chain", |c| {
            c.chain == ChainKind::RoundRobin { len: 1 }
        }),
        ("random_chain\nchain_len = 2", |c| {
            c.chain == ChainKind::Random { len: 2 }
        }),
        ("random_chain\nchain_len=2", |c| {
            c.chain == ChainKind::Random { len: 2 }
        }),
        ("chain_len 3\nround_robin_chain", |c| {
            c.chain == ChainKind::RoundRobin { len: 3 }
        }),
        ("", |c| !c.quiet),
        ("quiet_mode", |c| c.quiet),
        ("", |c| c.dns == Dns::Local),
        ("proxy_dns", |c| c.dns == Dns::Remote),
        ("proxy_dns_old", |c| c.dns == Dns::Remote),
        ("proxy_dns_daemon 127.0.0.1:1053", |c| c.dns == Dns::Remote),
        ("", |c| c.raw_dns == RawDns::Allow),
        ("raw_dns allow", |c| c.raw_dns == RawDns::Allow),
        ("raw_dns deny", |c| c.raw_dns == RawDns::Deny),
        ("", |c| c.fake_subnet == 224),
        ("remote_dns_subnet 0", |c| c.fake_subnet == 0),
        ("remote_dns_subnet 255", |c| c.fake_subnet == 255),
        ("remote_dns_subnet\t10", |c| c.fake_subnet == 10),
        ("", |c| c.read_timeout == Duration::from_millis(4000)),
        ("tcp_read_time_out 15000", |c| {
            c.read_timeout == Duration::from_millis(15_000)
        }),
        ("", |c| c.connect_timeout == Duration::from_millis(10_000)),
        ("tcp_connect_time_out 8000", |c| {
            c.connect_timeout == Duration::from_millis(8000)
        }),
        ("localnet 10.0.0.0/8", |c| {
            c.local_nets.matches([10, 0, 0, 1].into(), 1) == Some(1)
        }),
        ("dnat 1.1.1.1:80 2.2.2.2", |c| {
            c.dnat.apply("1.1.1.1:80".parse().unwrap()) == "2.2.2.2:80".parse().ok()
        }),
        ("localdomain .internal", |c| {
            holds(&c.local_domains, "db.internal")
        }),
        ("proxynet 10.0.0.0/8:80", |c| {
            c.allow_nets.matches([10, 0, 0, 1].into(), 80) == Some(1)
        }),
        ("proxynet 10.0.0.0/8:80", |c| {
            c.allow_nets.matches([10, 0, 0, 1].into(), 81).is_none()
        }),
        ("proxydomain ts.net", |c| {
            holds(&c.allow_domains, "db.ts.net")
        }),
        ("tailnet_only", |c| holds(&c.allow_domains, "db.ts.net")),
        ("", |c| c.allow_list.is_empty()),
        ("tailnet_only\nproxynet ::/0\nproxydomain a", |c| {
            c.allow_list.directives() == ["tailnet_only", "proxynet", "proxydomain"]
        }),
        ("tailnet_only", |c| {
            c.allow_nets.matches([100, 127, 0, 1].into(), 1) == Some(1)
        }),
        ("tailnet_only", |c| {
            c.allow_nets.matches([100, 128, 0, 1].into(), 1).is_none()
        }),
        ("tailnet_only", |c| {
            let ip = "fd7a:115c:a1e0:1::1".parse().unwrap();
            c.allow_nets.matches(ip, 1) == Some(1)
        }),
        ("", |c| c.wait.is_zero()),
        ("proxy_wait 30000", |c| c.wait == Duration::from_secs(30)),
        ("proxy_wait 0", |c| c.wait.is_zero()),
        ("", |c| c.retry == 0),
        ("proxy_retry 2", |c| c.retry == 2),
        ("", |c| c.proxy_down == ProxyDown::Fail),
        ("proxy_down fail", |c| c.proxy_down == ProxyDown::Fail),
        ("proxy_down direct", |c| c.proxy_down == ProxyDown::Direct),
        ("", |c| !c.pipeline),
        ("proxy_pipeline", |c| c.pipeline),
        ("", |c| c.tailscale_socket.is_none()),
        ("tailscale_socket /run/t.sock", |c| {
            c.tailscale_socket == Some("/run/t.sock".into())
        }),
        ("tailscale_search .a.corp\ntailscale_search b.corp", |c| {
            c.tailscale_search
                .iter()
                .map(HostName::as_str)
                .eq(["a.corp", "b.corp"])
        }),
        ("", |c| c.supervise == Supervise::Auto),
        ("supervise auto", |c| c.supervise == Supervise::Auto),
        ("supervise always", |c| c.supervise == Supervise::Always),
        ("supervise never", |c| c.supervise == Supervise::Never),
        ("", |c| c.log_file.is_none()),
        ("log_file /var/log/t.log", |c| {
            c.log_file == Some("/var/log/t.log".into())
        }),
        ("", |c| c.log_format == LogFormat::Text),
        ("log_format text", |c| c.log_format == LogFormat::Text),
        ("log_format json", |c| c.log_format == LogFormat::Json),
    ];

    /// Lines that must be errors: a wrong value, a missing value, too many values.
    const BAD: &[&str] = &[
        "strict_chain yes",
        "dynamic_chain 1",
        "random_chain 2",
        "round_robin_chain = 2",
        "chain_len",
        "chain_len =",
        "chain_len two",
        "chain_len = 0",
        "chain_len = -1",
        "chain_len = 65536",
        "quiet_mode on",
        "proxy_dns yes",
        "proxy_pipeline on",
        "proxy_dns_old yes",
        "proxy_dns_daemon",
        "proxy_dns_daemon 127.0.0.1",
        "raw_dns",
        "raw_dns maybe",
        "remote_dns_subnet",
        "remote_dns_subnet 256",
        "remote_dns_subnet -1",
        "remote_dns_subnet 10.0.0.0",
        "remote_dns_subnet 224 10",
        "tcp_read_time_out",
        "tcp_read_time_out 0",
        "tcp_read_time_out 1.5",
        "tcp_read_time_out 2147483648",
        "tcp_read_time_out 99999999999999999999999",
        "tcp_connect_time_out",
        "tcp_connect_time_out 8s",
        "tcp_connect_time_out 8000 ms",
        "localnet",
        "localnet 10.0.0.0 / 8",
        "localnet 10.0.0.0/33",
        "dnat",
        "dnat 1.1.1.1",
        "dnat 1.1.1.1 2.2.2.2 3.3.3.3",
        "dnat ::1 ::2",
        "localdomain",
        "localdomain 10.0.0.1",
        "proxynet",
        "proxynet db.example",
        "proxydomain",
        "proxydomain a b",
        "tailnet_only yes",
        "proxy_wait",
        "proxy_wait long",
        "proxy_retry",
        "proxy_retry -1",
        "proxy_down",
        "proxy_down perhaps",
        "tailscale_socket",
        "tailscale_socket run/t.sock",
        "tailscale_search",
        "tailscale_search 10.0.0.1",
        "tailscale_search a b",
        "log_file",
        "log_file relative.log",
        "supervise",
        "supervise sometimes",
        "log_format",
        "log_format xml",
    ];

    fn holds(set: &crate::config::DomainSet, name: &str) -> bool {
        set.matches(&HostName::new(name.as_bytes()).unwrap()) == Some(1)
    }

    #[test]
    fn every_directive_has_its_effect() {
        for (line, holds) in GOOD {
            let (config, _) = read(line).unwrap();
            assert!(holds(&config), "{line}");
        }
    }

    #[test]
    fn the_error_for_a_wrong_value_has_position_text_and_remedy() {
        for line in BAD {
            let error = read(&format!("# first\n{line}")).unwrap_err();
            let place = format!("p.conf:2: `{line}`: ");
            assert!(error.starts_with(&place), "{line}: {error}");
            assert!(error.contains("; "), "{line}: {error}");
        }
    }

    #[test]
    fn the_error_for_a_wrong_subnet_mentions_fake_ips() {
        let error = read("remote_dns_subnet 256").unwrap_err();
        assert!(
            error.ends_with("expected the first octet of the fake IPs, a number from 0 to 255"),
            "{error}"
        );
    }

    #[test]
    fn these_tables_cover_every_directive() {
        let keyword = |line: &str| line.split([' ', '\t', '=']).next().unwrap().to_owned();
        let good: Vec<String> = GOOD
            .iter()
            .flat_map(|(text, _)| text.lines().map(keyword))
            .collect();
        let bad: Vec<String> = BAD.iter().map(|line| keyword(line)).collect();
        for (name, _) in PARSERS {
            assert!(good.contains(&name.to_string()), "{name} is not in GOOD");
            assert!(bad.contains(&name.to_string()), "{name} is not in BAD");
        }
    }

    #[test]
    fn each_documented_default_is_the_actual_default() {
        let without = format!("{:?}", read("").unwrap().0);
        for directive in DIRECTIVES.iter().filter(|d| !d.value.is_empty()) {
            let line = format!("{} {}", directive.name, directive.default);
            match (directive.default, read(&line)) {
                ("none", _) => {}
                (_, Ok((config, _))) => assert_eq!(format!("{config:?}"), without, "{line}"),
                (_, Err(error)) => panic!("{error}"),
            }
        }
        for directive in DIRECTIVES.iter().filter(|d| d.value.is_empty()) {
            let (config, _) = read(directive.name).unwrap();
            let is_default = format!("{config:?}") == without;
            assert_eq!(is_default, directive.default == "on", "{}", directive.name);
        }
    }

    #[test]
    fn each_shipped_line_belongs_to_its_directive() {
        for directive in DIRECTIVES {
            for line in directive.shipped {
                let line = line.trim_start_matches(['#', ' ']);
                let keyword = line.split([' ', '=']).next().unwrap();
                assert_eq!(keyword, directive.name);
                assert!(read(line).unwrap().1.is_empty(), "{line}");
            }
        }
    }

    #[test]
    fn no_extension_begins_with_a_keyword_of_proxychains_ng() {
        let prefixes = [
            "localnet",
            "dnat",
            "chain_len",
            "tcp_read_time_out",
            "tcp_connect_time_out",
            "remote_dns_subnet",
            "proxy_dns_daemon",
        ];
        for Directive { name, .. } in DIRECTIVES {
            for prefix in &prefixes {
                assert!(name == prefix || !name.starts_with(prefix), "{name}");
            }
        }
    }

    #[test]
    fn directives_that_differ_from_proxychains_ng_are_warned_about() {
        for line in ["proxy_dns_old", "proxy_dns_daemon 127.0.0.1:1053"] {
            let (_, warnings) = read(line).unwrap();
            assert_eq!(warnings.len(), 1, "{line}");
            assert!(warnings[0].to_string().contains("proxy_dns"));
        }
    }

    #[test]
    fn the_warning_for_an_unknown_directive_has_a_suggestion() {
        for (line, hint) in [
            ("frobnicate 3", "correct it"),
            ("Strict_Chain", "strict_chain"),
            ("proxy-dns", "proxy_dns"),
            ("localnets 10.0.0.0/8", "localnet"),
            ("quiet", "quiet_mode"),
            ("[proxylist]", "[ProxyList]"),
            ("socks5 127.0.0.1 1080", "below [ProxyList]"),
            ("socks5://127.0.0.1:1080", "below [ProxyList]"),
        ] {
            let (_, warnings) = read(line).unwrap();
            let text: Vec<String> = warnings.iter().map(Warning::to_string).collect();
            let place = format!("p.conf:1: `{line}`: ");
            assert!(text.len() == 1 && text[0].starts_with(&place), "{text:?}");
            assert!(text[0].contains(hint), "{text:?}");
        }
    }

    #[test]
    fn of_contradictory_lines_the_last_applies() {
        let (config, _) = read(
            "strict_chain\nrandom_chain\nchain_len 1\nchain_len 2\ntcp_read_time_out 1\n\
             tcp_read_time_out 2\nremote_dns_subnet 10\nremote_dns_subnet 127",
        )
        .unwrap();
        assert_eq!(config.chain, ChainKind::Random { len: 2 });
        assert_eq!(config.read_timeout, Duration::from_millis(2));
        assert_eq!(config.fake_subnet, 127);
    }

    #[test]
    fn a_trailing_comment_is_cut_off_with_a_warning() {
        let (config, warnings) = read("strict_chain # all of them\nchain_len = 2 #two").unwrap();
        assert_eq!(config.chain, ChainKind::Strict);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[1]
            .to_string()
            .starts_with("p.conf:2: `chain_len = 2 #two`"));
    }
}
