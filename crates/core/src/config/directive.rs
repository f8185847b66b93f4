//! The directives: the table of all that a line before `[ProxyList]` can say.

#![forbid(unsafe_code)]

use super::draft::{Draft, Order};
use super::error::Problem;
use super::proxy_parts::parse_kind;
use super::rules::{Dnat, Net, Suffix};
use super::{Dns, LogFormat, ProxyDown, RawDns};
use std::path::PathBuf;
use std::time::Duration;

/// What `tailnet_only` stands for: Tailscale's CGNAT range, its IPv6 prefix and its MagicDNS domain.
const TAILNET_NETS: [&str; 2] = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"];
const TAILNET_DOMAIN: &str = ".ts.net";

/// poll(2) takes milliseconds in a C int.
const MS_MAX: u64 = i32::MAX as u64;

/// What is remarked about a line that was understood, if anything.
type Remark = Option<Problem>;
type Apply = fn(&mut Draft, &Words<'_>, u32) -> Result<Remark, Problem>;

/// One row for each directive. None of tailchain's own begins with a name that proxychains-ng matches as a
/// prefix (`localnet`, `dnat`, `chain_len`, the timeouts, `remote_dns_subnet`, `proxy_dns_daemon`).
const DIRECTIVES: &[(&str, Apply)] = &[
    ("strict_chain", |d, w, _| w.flag(|| d.order = Order::Strict)),
    ("dynamic_chain", |d, w, _| {
        w.flag(|| d.order = Order::Dynamic)
    }),
    ("random_chain", |d, w, _| w.flag(|| d.order = Order::Random)),
    ("round_robin_chain", |d, w, _| {
        w.flag(|| d.order = Order::RoundRobin)
    }),
    ("chain_len", |d, w, line| {
        // 0 is 1 in proxychains-ng.
        let len = w.number(0, u64::from(u16::MAX), "proxies")?.max(1);
        d.chain_len = (usize::try_from(len).unwrap_or(1), Some(line));
        Ok(None)
    }),
    ("quiet_mode", |d, w, _| w.flag(|| d.quiet = true)),
    ("proxy_dns", |d, w, _| w.flag(|| d.dns = Dns::Remote)),
    ("proxy_dns_old", |d, w, _| {
        w.flag(|| d.dns = Dns::Remote)?;
        Ok(Some(Problem::new(
            "proxyresolv is not run; this means proxy_dns",
            "write proxy_dns",
        )))
    }),
    ("proxy_dns_daemon", |d, w, _| {
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
    }),
    ("raw_dns", |d, w, _| {
        d.raw_dns = w.choice(&[("allow", RawDns::Allow), ("deny", RawDns::Deny)])?;
        Ok(None)
    }),
    ("remote_dns_subnet", |d, w, _| {
        let octet = w.number(0, 255, "the first octet of the fake addresses")?;
        d.fake_subnet = u8::try_from(octet).unwrap_or(u8::MAX);
        Ok(None)
    }),
    ("tcp_read_time_out", |d, w, _| {
        d.read_timeout = w.milliseconds(1)?;
        Ok(None)
    }),
    ("tcp_connect_time_out", |d, w, _| {
        d.connect_timeout = w.milliseconds(1)?;
        Ok(None)
    }),
    ("localnet", |d, w, line| {
        let net = Net::parse(w.one("a network, such as 10.0.0.0/8")?)?;
        d.local_nets.push((net, line));
        Ok(None)
    }),
    ("dnat", |d, w, _| {
        let (from, to) = w.two("FROM[:PORT] TO[:PORT]")?;
        d.dnat.insert(Dnat::parse(from, to)?);
        Ok(None)
    }),
    ("localdomain", |d, w, line| {
        let suffix = Suffix::parse(w.one("a domain, such as .internal")?)?;
        d.local_domains.insert(suffix, line);
        Ok(None)
    }),
    ("proxynet", |d, w, line| {
        let net = Net::parse(w.one("a network, such as 100.64.0.0/10")?)?;
        d.allow_nets.push((net, line));
        Ok(None)
    }),
    ("proxydomain", |d, w, line| {
        let suffix = Suffix::parse(w.one("a domain, such as .ts.net")?)?;
        d.allow_domains.insert(suffix, line);
        Ok(None)
    }),
    ("tailnet_only", |d, w, line| {
        w.flag(|| ())?;
        for net in TAILNET_NETS {
            d.allow_nets.push((Net::parse(net)?, line));
        }
        d.allow_domains.insert(Suffix::parse(TAILNET_DOMAIN)?, line);
        Ok(None)
    }),
    ("proxy_wait", |d, w, _| {
        d.wait = w.milliseconds(0)?;
        Ok(None)
    }),
    ("proxy_retry", |d, w, _| {
        let times = w.number(0, 1000, "how often to try again")?;
        d.retry = u32::try_from(times).unwrap_or(0);
        Ok(None)
    }),
    ("proxy_down", |d, w, _| {
        d.proxy_down = w.choice(&[("fail", ProxyDown::Fail), ("direct", ProxyDown::Direct)])?;
        Ok(None)
    }),
    ("log_file", |d, w, _| {
        let path = w.one("an absolute path")?;
        if !path.starts_with('/') || path.contains('\0') {
            return Err(Problem::new(
                "this is not an absolute path",
                "begin it with /: programs change their folder",
            ));
        }
        d.log_file = Some(PathBuf::from(path));
        Ok(None)
    }),
    ("log_format", |d, w, _| {
        d.log_format = w.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])?;
        Ok(None)
    }),
];

pub(super) fn is_known(keyword: &str) -> bool {
    DIRECTIVES.iter().any(|(name, _)| *name == keyword)
}

/// Lets a line work on the draft. A directive that is not known is remarked and changes nothing.
pub(super) fn apply(draft: &mut Draft, words: &Words<'_>, line: u32) -> Result<Remark, Problem> {
    match DIRECTIVES.iter().find(|(name, _)| *name == words.keyword) {
        Some((_, apply)) => apply(draft, words, line),
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
    match DIRECTIVES.iter().find(meant) {
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

/// A line before `[ProxyList]`: `KEYWORD VALUE...`, `KEYWORD = VALUE` or `KEYWORD=VALUE`.
pub(super) struct Words<'l> {
    pub keyword: &'l str,
    /// `None` when the line is not UTF-8: no directive takes such a value.
    values: Option<Vec<&'l str>>,
}

impl<'l> Words<'l> {
    /// The words, and a remark when a comment was cut off behind them.
    pub fn split(line: &'l [u8]) -> (Words<'l>, Remark) {
        let end = line
            .iter()
            .position(|b| b.is_ascii_whitespace() || *b == b'=')
            .unwrap_or(line.len());
        let (keyword, rest) = line.split_at(end);
        let rest = rest.trim_ascii_start();
        let rest = rest.strip_prefix(b"=").unwrap_or(rest);
        let keyword = core::str::from_utf8(keyword).unwrap_or_default();
        let Ok(rest) = core::str::from_utf8(rest) else {
            let words = Words {
                keyword,
                values: None,
            };
            return (words, None);
        };
        let mut values: Vec<&str> = rest.split_ascii_whitespace().collect();
        let comment = values.iter().position(|word| word.starts_with('#'));
        let remark = comment.filter(|_| is_known(keyword)).map(|at| {
            values.truncate(at);
            Problem::new(
                "proxychains-ng takes # for a comment only at the start of a line",
                "put the comment on a line of its own",
            )
        });
        let values = Some(values);
        (Words { keyword, values }, remark)
    }

    fn values(&self) -> Result<&[&'l str], Problem> {
        self.values
            .as_deref()
            .ok_or_else(|| Problem::new("the line is not UTF-8", "save the file as UTF-8"))
    }

    fn flag(&self, set: impl FnOnce()) -> Result<Remark, Problem> {
        match self.values()? {
            [] => {
                set();
                Ok(None)
            }
            _ => Err(Problem::new(
                "this directive takes no value",
                "take out what follows it",
            )),
        }
    }

    fn one(&self, expected: &str) -> Result<&'l str, Problem> {
        match self.values()? {
            [value] => Ok(value),
            [] => Err(Problem::new(
                "the value is missing",
                expected_text(expected),
            )),
            _ => Err(Problem::new(
                "there is more than one value",
                expected_text(expected),
            )),
        }
    }

    fn two(&self, expected: &str) -> Result<(&'l str, &'l str), Problem> {
        match self.values()? {
            [first, second] => Ok((first, second)),
            values => Err(Problem::new(
                format!("there are {} values and not 2", values.len()),
                expected_text(expected),
            )),
        }
    }

    /// A whole number in decimal digits.
    fn number(&self, min: u64, max: u64, what: &str) -> Result<u64, Problem> {
        let expected = format!("{what}, a number from {min} to {max}");
        let text = self.one(&expected)?;
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = text
            .parse()
            .ok()
            .filter(|n| digits && (min..=max).contains(n));
        number.ok_or_else(|| Problem::new("the value is wrong", expected_text(&expected)))
    }

    fn milliseconds(&self, min: u64) -> Result<Duration, Problem> {
        self.number(min, MS_MAX, "milliseconds")
            .map(Duration::from_millis)
    }

    fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Problem> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let expected = names.join(" or ");
        let text = self.one(&expected)?;
        choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| Problem::new("the value is wrong", expected_text(&expected)))
    }
}

fn expected_text(what: &str) -> String {
    format!("expected {what}")
}
