//! The directives: the table of all that a line before `[ProxyList]` can say.

#![forbid(unsafe_code)]

use super::builder::{ConfigBuilder, Order};
use super::error::Problem;
use super::proxy_parts::parse_kind;
use super::rules::{Dnat, Net, Suffix};
use super::words::{Note, Words};
use super::{Dns, LogFormat, ProxyDown, RawDns, Supervise};
use crate::host::HostName;
use std::path::PathBuf;

/// What `tailnet_only` stands for: Tailscale's CGNAT range, its IPv6 prefix and its MagicDNS domain.
const TAILNET_NETS: [&str; 2] = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"];
const TAILNET_DOMAIN: &str = ".ts.net";

/// Bytes of a path in a sockaddr_un (unix(7)), without the final NUL.
pub(super) const LONGEST_SOCKET: usize = 107;

type Apply = fn(&mut ConfigBuilder, &Words<'_>, u32) -> Result<Note, Problem>;

/// All that there is to know of a directive: the parser, the shipped config, the man page and the documents take it
/// from here.
pub struct Directive {
    pub name: &'static str,
    /// As man pages show it; empty for a directive without a value.
    pub value: &'static str,
    /// What holds without the directive: a value, `on` or `off`, or `none`.
    pub default: &'static str,
    pub section: Section,
    /// One sentence, with names in backquotes.
    pub summary: &'static str,
    /// What else the shipped config and the man page say.
    pub detail: &'static str,
    /// Its lines in the shipped config.
    pub shipped: &'static [&'static str],
    apply: Apply,
}

/// A part of the shipped config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Chain,
    Names,
    Routing,
    Patience,
    Messages,
}

/// One row for each directive, in the order of the shipped config. None of tailchain's own begins with a name that
/// proxychains-ng matches as a prefix (`localnet`, `dnat`, `chain_len`, the timeouts, `remote_dns_subnet`,
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
        summary: "`chain_len` proxies; each connection goes on where the last one stopped.",
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
        detail: "Without it libc resolves, and it knows nothing of MagicDNS.",
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
            let address = w.one("the address of a daemon, such as 127.0.0.1:1053")?;
            let well_formed = address.parse::<std::net::SocketAddr>().is_ok();
            d.dns = Dns::Remote;
            match well_formed {
                true => Ok(Some(Problem::new(
                    "no daemon is asked; this means proxy_dns",
                    "write proxy_dns",
                ))),
                false => Err(Problem::new(
                    "this is not an address with a port",
                    "expected such as 127.0.0.1:1053; or write proxy_dns, which needs no daemon",
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
        detail: "A program must not need the real addresses of that range. Tried with 0, 10, \
            100, 127, 198, 224, 239, 240 and 255: curl, wget, busybox, ssh, git, nmap, \
            redis-cli, socat, Python, Node, Ruby, PHP, Perl and Java accepted them all; 15 \
            more, from lftp to smbclient and Erlang, accepted 224 and 240. 224 is the \
            default because what bypasses the proxy fails at once: the kernel makes no TCP \
            connection to a multicast address. To 240 it would try, by way of the router, \
            until the timeout. 240 is the next choice for a program that refuses multicast \
            addresses; 127 is not, because it hides the loopback addresses, and 10 is in \
            many networks. UDP to the range is refused, so a program that sends to \
            multicast groups of 224 (other than 224.0.0.0/24, which mDNS uses) needs \
            another number, too.",
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
        detail: "localhost, /etc/hosts and the machine's own name always are.",
        shipped: &["#localdomain .internal"],
        apply: |d, w, line| {
            let suffix = Suffix::parse(w.one("a domain, such as .internal")?)?;
            d.local_domains.insert(suffix, line);
            Ok(None)
        },
    },
    Directive {
        name: "tailscale_socket",
        value: "PATH",
        default: "none",
        section: Section::Names,
        summary: "tailscaled's socket, on which it is asked for the addresses of names; the \
            proxy gets those.",
        detail: "tailscaled's proxies alone know the names of machines, and not those of split \
            DNS routes and 4via6. `tailchain run` and the buildpack need no such line.",
        shipped: &["#tailscale_socket /var/run/tailscale/tailscaled.sock"],
        apply: |d, w, _| {
            let path = absolute(w.one("the path of tailscaled's socket")?)?;
            if path.as_os_str().len() > LONGEST_SOCKET {
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
        summary: "Where tailscaled is to look for names without a dot; each domain on a line of \
            its own.",
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
        summary: "Whether a program that asks a DNS server by itself (dig, dns.resolve of Node, \
            dnspython) may bypass `proxy_dns`.",
        detail: "`deny` refuses what it sends to port 53, UDP and TCP, unless that goes through \
            the proxy.",
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
        summary: "Connected to directly.",
        detail: "An IPv6 address with a port is in brackets. 127.0.0.0/8 and ::1/128 are what \
            listens on this machine.",
        shipped: &[
            "localnet 127.0.0.0/8",
            "localnet ::1/128",
            "#localnet 10.0.0.0/255.0.0.0",
            "#localnet 192.168.1.0:80/255.255.255.0",
            "#localnet [fd00::]:80/8",
        ],
        apply: |d, w, line| {
            let net = Net::parse(w.one("a network, such as 10.0.0.0/8")?)?;
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
        summary: "Only what matches such a line, `proxydomain` or `tailnet_only` is proxied: \
            subnet routes, optionally on one port.",
        detail: "One line is enough: what is not in the list is connected to directly.",
        shipped: &["#proxynet 10.20.0.0/16", "#proxynet 10.30.0.0/16:5432"],
        apply: |d, w, line| {
            let net = Net::parse(w.one("a network, such as 100.64.0.0/10")?)?;
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
            let suffix = Suffix::parse(w.one("a domain, such as .ts.net")?)?;
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
        summary: "Connect to another IPv4 address than the program says.",
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
        summary: "Which programs `proxychains4` starts under a supervisor: those that no library \
            can be preloaded into, every one, or none.",
        detail: "Static and Go programs cannot be preloaded. A supervisor makes their \
            connections; it takes seccomp and ptrace, which a container may not permit.",
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
        section: Section::Patience,
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
        section: Section::Patience,
        summary: "Timeout of each reply of a proxy, in milliseconds.",
        detail: "tailscaled replies after 5 seconds at the latest, when the peer is not there; \
            a shorter timeout would hide that.",
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
        section: Section::Patience,
        summary: "While the first proxy refuses connections, as before tailscaled has started, \
            try again for this long.",
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
        section: Section::Patience,
        summary: "When the proxy reports a general failure, try again this often.",
        detail: "The first connection to a peer that was idle may fail.",
        shipped: &["proxy_retry 2"],
        apply: |d, w, _| {
            let times = w.number(0, 1000, "how often to try again")?;
            d.retry = u32::try_from(times).unwrap_or(0);
            Ok(None)
        },
    },
    Directive {
        name: "proxy_down",
        value: "fail|direct",
        default: "fail",
        section: Section::Patience,
        summary: "What to do when the first proxy still refuses connections after `proxy_wait`: \
            fail, or bypass it.",
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
        section: Section::Patience,
        summary: "Send SOCKS5 greeting and request in one segment: one round trip less for each \
            hop without a user.",
        detail: "For proxies that read exactly what they need, as tailscaled does; one that \
            reads the greeting with a large buffer (microsocks) loses the request, and the \
            connection times out.",
        shipped: &["#proxy_pipeline"],
        apply: |d, w, _| w.flag(|| d.pipeline = true),
    },
    Directive {
        name: "quiet_mode",
        value: "",
        default: "off",
        section: Section::Messages,
        summary: "Nothing on stderr.",
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
        detail: "Ignored in a file that was only found in the current directory: name that one \
            with -f.",
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

/// What the parser needs of the table: the rest of it is not in the preload library.
#[allow(clippy::indexing_slicing)] // By the compiler, which would not accept an index out of bounds.
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
            "begin it with /: programs change their directory",
        )),
    }
}

fn search_domain(text: &str) -> Result<HostName, Problem> {
    let not_one = || {
        Problem::new(
            "this is not a domain to search",
            "expected e.g. corp.example.com",
        )
    };
    let suffix = Suffix::parse(text)?;
    suffix.domain().ok_or_else(not_one)
}

pub(super) fn is_known(keyword: &str) -> bool {
    PARSERS.iter().any(|(name, _)| *name == keyword)
}

/// Apply one line to the builder. An unknown directive leaves a note and changes nothing.
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
            "this directive is not known and ignored",
            format!("did you mean {name}?"),
        ),
        None => Problem::new(
            "this directive is not known and ignored",
            "take the line out or correct it",
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

    /// A line and what must hold of the configuration then.
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
    fn every_directive_does_what_it_says() {
        for (line, holds) in GOOD {
            let (config, _) = read(line).unwrap();
            assert!(holds(&config), "{line}");
        }
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_place_and_text_and_what_is_expected() {
        for line in BAD {
            let error = read(&format!("# first\n{line}")).unwrap_err();
            let place = format!("p.conf:2: `{line}`: ");
            assert!(error.starts_with(&place), "{line}: {error}");
            assert!(error.contains("; "), "{line}: {error}");
        }
    }

    #[test]
    fn what_programs_are_given_for_a_name_is_called_a_fake_ip() {
        let error = read("remote_dns_subnet 256").unwrap_err();
        assert!(
            error.ends_with("expected the first octet of the fake IPs, a number from 0 to 255"),
            "{error}"
        );
    }

    #[test]
    fn no_directive_is_left_out_of_these_tables() {
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
    fn the_default_of_each_value_is_what_holds_without_the_directive() {
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
    fn each_line_of_the_shipped_config_is_of_its_directive() {
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
    fn proxychains_ng_would_not_take_ours_for_its_own() {
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
    fn what_means_something_else_than_in_proxychains_ng_is_warned_about() {
        for line in ["proxy_dns_old", "proxy_dns_daemon 127.0.0.1:1053"] {
            let (_, warnings) = read(line).unwrap();
            assert_eq!(warnings.len(), 1, "{line}");
            assert!(warnings[0].to_string().contains("proxy_dns"));
        }
    }

    #[test]
    fn an_unknown_directive_is_a_warning_that_guesses_what_was_meant() {
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
    fn of_two_lines_that_say_different_things_the_last_one_counts() {
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
    fn a_comment_behind_a_directive_is_cut_off_and_warned_about() {
        let (config, warnings) = read("strict_chain # all of them\nchain_len = 2 #two").unwrap();
        assert_eq!(config.chain, ChainKind::Strict);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[1]
            .to_string()
            .starts_with("p.conf:2: `chain_len = 2 #two`"));
    }
}
