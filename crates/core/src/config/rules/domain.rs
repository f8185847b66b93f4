//! Sets of host-name suffixes: `localdomain`, `proxydomain`, the names of `NO_PROXY`.

#![forbid(unsafe_code)]

use super::Problem;
use crate::host::HostName;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A domain: the name itself and its subdomains. The empty suffix matches every name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct Suffix(Box<str>);

impl Suffix {
    /// `ts.net`, `.ts.net` and `*.ts.net` are equivalent; `*` matches every name.
    pub fn parse(text: &str) -> Result<Suffix, Problem> {
        const SYNTAX: &str = "expected a domain, e.g. .ts.net or db.example";
        if text == "*" {
            return Ok(Suffix::everything());
        }
        let bare = text.strip_prefix('*').unwrap_or(text);
        let bare = bare.strip_prefix('.').unwrap_or(bare);
        if bare.parse::<IpAddr>().is_ok() || bare.contains('/') {
            return Err(Problem::new(
                "this is an address, not a domain",
                "write networks with localnet (direct) or proxynet (proxied)",
            ));
        }
        let name = HostName::new(bare.as_bytes())
            .map_err(|_| Problem::new("this is not a domain", SYNTAX))?;
        let malformed = name.as_str().split('.').any(str::is_empty)
            || name.as_str().contains(['*', ':', '@', '[', ']', ',']);
        if malformed {
            return Err(Problem::new("this is not a domain", SYNTAX));
        }
        Ok(Suffix(name.as_str().into()))
    }

    /// The domain; `None` if the suffix matches every name.
    pub fn domain(&self) -> Option<HostName> {
        HostName::new(self.0.as_bytes()).ok()
    }

    pub fn everything() -> Suffix {
        Suffix("".into())
    }
}

/// A set of domains. A lookup costs one search for each label of the name.
// A BTreeMap, because HashMap calls getrandom(2).
#[derive(Clone, Debug, Default)]
pub struct DomainSet {
    lines: BTreeMap<Box<str>, u32>,
}

impl DomainSet {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line of the longest suffix that matches `name`.
    pub fn matches(&self, name: &HostName) -> Option<u32> {
        let mut rest = Some(name.as_str());
        while let Some(suffix) = rest {
            if let Some(line) = self.lines.get(suffix) {
                return Some(*line);
            }
            rest = suffix.split_once('.').map(|(_, parent)| parent);
        }
        self.lines.get("").copied()
    }

    /// A domain that is listed twice keeps its first line.
    pub(in crate::config) fn insert(&mut self, suffix: Suffix, line: u32) {
        self.lines.entry(suffix.0).or_insert(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(suffixes: &[&str]) -> DomainSet {
        let mut set = DomainSet::default();
        for (suffix, line) in suffixes.iter().zip(1u32..) {
            set.insert(Suffix::parse(suffix).unwrap(), line);
        }
        set
    }

    fn name(text: &str) -> HostName {
        HostName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_domain_matches_itself_and_its_subdomains() {
        for spelling in [".ts.net", "ts.net", "*.ts.net", "TS.NET", "ts.net."] {
            let set = set(&[spelling]);
            for inside in ["ts.net", "db.ts.net", "a.b.ts.net", "DB.TS.NET."] {
                assert_eq!(set.matches(&name(inside)), Some(1), "{spelling} {inside}");
            }
            for outside in ["its.net", "net", "ts.net.evil", "ts", "db.ts.nets"] {
                assert_eq!(set.matches(&name(outside)), None, "{spelling} {outside}");
            }
        }
    }

    #[test]
    fn a_star_matches_every_name_and_an_empty_set_none() {
        assert_eq!(set(&["*"]).matches(&name("anything.at.all")), Some(1));
        assert_eq!(set(&[]).matches(&name("anything.at.all")), None);
    }

    #[test]
    fn the_longest_suffix_and_its_first_line_are_returned() {
        let set = set(&["*", "net", "ts.net", "ts.net"]);
        assert_eq!(set.matches(&name("a.ts.net")), Some(3));
        assert_eq!(set.matches(&name("a.net")), Some(2));
        assert_eq!(set.matches(&name("a.org")), Some(1));
    }

    #[test]
    fn malformed_domains_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "..ts.net",
            "a b",
            "a*b.net",
            "ts.net:80",
            "10.0.0.1",
            "10.0.0.0/8",
            "fe80::1",
            "u@h",
            "**",
        ] {
            assert!(Suffix::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_set_agrees_with_is_within(
            suffixes in proptest::collection::vec("[ab](\\.[ab]){0,3}", 0..6),
            text in "[ab](\\.[ab]){0,4}",
        ) {
            let refs: Vec<&str> = suffixes.iter().map(String::as_str).collect();
            let name = name(&text);
            let expected = suffixes.iter().any(|suffix| name.is_within(suffix));
            prop_assert_eq!(set(&refs).matches(&name).is_some(), expected);
        }
    }
}
