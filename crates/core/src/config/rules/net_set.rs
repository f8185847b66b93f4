//! Sets of networks: `localnet`, `proxynet`, the addresses of `NO_PROXY`.

#![forbid(unsafe_code)]

use super::net::{bits_of, Net};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A set of networks, each with its line number. A lookup is one binary search, plus one search for each distinct
/// non-contiguous mask.
#[derive(Clone, Debug, Default)]
pub struct NetSet {
    v4: Family,
    v6: Family,
}

impl NetSet {
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The line of the first network in the configuration that matches the address and port.
    pub fn matches(&self, ip: IpAddr, port: u16) -> Option<u32> {
        let (v6, bits) = bits_of(ip.to_canonical());
        let family = if v6 { &self.v6 } else { &self.v4 };
        family.find(bits, port)
    }
}

#[derive(Clone, Debug, Default)]
struct Family {
    /// Sorted by base, then wider before narrower networks. Two prefixes are disjoint or nested, so the prefixes that
    /// contain an address are the last one whose base is not above it, and that prefix's ancestors.
    prefixes: Vec<Prefix>,
    /// Networks with a non-contiguous mask: mask to base to lines.
    non_contiguous: BTreeMap<u128, BTreeMap<u128, Lines>>,
}

#[derive(Clone, Debug)]
struct Prefix {
    base: u128,
    mask: u128,
    lines: Lines,
    /// The index of the narrowest prefix that contains this one.
    parent: Option<usize>,
}

/// The lines for one network: the line for any port, and those for single ports (sorted).
#[derive(Clone, Debug, Default)]
struct Lines {
    any_port: Option<u32>,
    single_ports: Vec<(u16, u32)>,
}

impl Family {
    fn is_empty(&self) -> bool {
        self.prefixes.is_empty() && self.non_contiguous.is_empty()
    }

    fn find(&self, bits: u128, port: u16) -> Option<u32> {
        let mut found = None;
        let mut at = self
            .prefixes
            .partition_point(|prefix| prefix.base <= bits)
            .checked_sub(1);
        while let Some(prefix) = at.and_then(|at| self.prefixes.get(at)) {
            if prefix.contains(bits) {
                found = first(found, prefix.lines.find(port));
            }
            at = prefix.parent;
        }
        for (mask, bases) in &self.non_contiguous {
            if let Some(lines) = bases.get(&(bits & mask)) {
                found = first(found, lines.find(port));
            }
        }
        found
    }

    /// Networks must be added in the order of base, mask, port, line.
    fn add(&mut self, net: Net, line: u32) {
        if !net.has_contiguous_mask() {
            let bases = self.non_contiguous.entry(net.mask).or_default();
            bases.entry(net.base).or_default().add(net.port, line);
            return;
        }
        let mut parent = self.prefixes.len().checked_sub(1);
        while let Some((at, prefix)) = parent.and_then(|at| Some((at, self.prefixes.get_mut(at)?)))
        {
            if (prefix.base, prefix.mask) == (net.base, net.mask) {
                prefix.lines.add(net.port, line);
                return;
            }
            if prefix.contains(net.base) {
                parent = Some(at);
                break;
            }
            parent = prefix.parent;
        }
        let mut lines = Lines::default();
        lines.add(net.port, line);
        self.prefixes.push(Prefix {
            base: net.base,
            mask: net.mask,
            lines,
            parent,
        });
    }
}

impl Prefix {
    fn contains(&self, bits: u128) -> bool {
        bits & self.mask == self.base
    }
}

impl Lines {
    fn find(&self, port: u16) -> Option<u32> {
        let single = self.single_ports.binary_search_by_key(&port, |one| one.0);
        let single = single.ok().and_then(|at| self.single_ports.get(at));
        first(self.any_port, single.map(|one| one.1))
    }

    /// Ports and lines must be added in ascending order; a port that is listed twice keeps its first line.
    fn add(&mut self, port: u16, line: u32) {
        if port == 0 {
            self.any_port = first(self.any_port, Some(line));
        } else if self.single_ports.last().is_none_or(|one| one.0 != port) {
            self.single_ports.push((port, line));
        }
    }
}

fn first(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    a.into_iter().chain(b).min()
}

/// From networks and their line numbers.
impl FromIterator<(Net, u32)> for NetSet {
    fn from_iter<I: IntoIterator<Item = (Net, u32)>>(entries: I) -> NetSet {
        let mut entries: Vec<(Net, u32)> = entries.into_iter().collect();
        entries.sort_unstable_by_key(|(net, line)| (net.base, net.mask, net.port, *line));
        let mut set = NetSet::default();
        for (net, line) in entries {
            let family = if net.v6 { &mut set.v6 } else { &mut set.v4 };
            family.add(net, line);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn set(nets: &[&str]) -> NetSet {
        let lines = 1u32..;
        nets.iter()
            .zip(lines)
            .map(|(net, line)| (Net::parse(net).unwrap(), line))
            .collect()
    }

    #[test]
    fn nested_and_disjoint_networks_are_all_found() {
        let set = set(&[
            "10.0.0.0/8:1",
            "10.1.0.0/16:2",
            "10.1.1.0/24:3",
            "10.2.0.0/16:4",
            "10.0.0.0/16:5",
        ]);
        let held = |ip: &str| -> Vec<u16> {
            let ip = ip.parse().unwrap();
            (1..=5)
                .filter(|port| set.matches(ip, *port).is_some())
                .collect()
        };
        assert_eq!(held("10.1.1.9"), [1, 2, 3]);
        assert_eq!(held("10.1.2.9"), [1, 2]);
        assert_eq!(held("10.2.2.9"), [1, 4]);
        assert_eq!(held("10.0.2.9"), [1, 5]);
        assert_eq!(held("10.9.2.9"), [1]);
        assert!(held("9.255.255.255").is_empty() && held("11.0.0.0").is_empty());
    }

    #[test]
    fn the_first_matching_line_is_returned() {
        let set = set(&["10.1.0.0/16", "10.0.0.0/8", "10.1.0.0:80/16", "10.1.0.0/16"]);
        let line = |ip: &str, port| set.matches(ip.parse().unwrap(), port);
        assert_eq!(line("10.1.0.1", 80), Some(1));
        assert_eq!(line("10.2.0.1", 80), Some(2));
        assert_eq!(line("11.2.0.1", 80), None);
    }

    #[test]
    fn everything_matches_both_families_and_an_empty_set_nothing() {
        let all: NetSet = Net::everything().map(|net| (net, 1)).into_iter().collect();
        for ip in ["0.0.0.0", "255.255.255.255", "::", "2001:db8::1"] {
            assert_eq!(all.matches(ip.parse().unwrap(), 1), Some(1));
            assert_eq!(NetSet::default().matches(ip.parse().unwrap(), 1), None);
        }
        assert!(NetSet::default().is_empty() && !all.is_empty());
    }

    fn any_net() -> impl Strategy<Value = Net> {
        // Only a few distinct bits, so that networks overlap and addresses match.
        let address = prop_oneof![
            (0u32..8).prop_map(|n| IpAddr::from(Ipv4Addr::from(n << 28 | n))),
            (0u128..8).prop_map(|n| IpAddr::from(Ipv6Addr::from(n << 124 | n))),
        ];
        let mask = prop_oneof![
            Just(7u128),
            (0u32..=128).prop_map(|bits| u128::MAX.checked_shl(bits).unwrap_or(0)),
            any::<u128>()
        ];
        (address, mask, 0u16..3).prop_map(|(a, m, p)| Net::new(a, m, p))
    }

    proptest! {
        #[test]
        fn a_lookup_agrees_with_a_linear_search(
            nets in proptest::collection::vec(any_net(), 0..40),
            n in 0u32..8, v6: bool, port in 1u16..3,
        ) {
            let ip: IpAddr = if v6 {
                Ipv6Addr::from(u128::from(n) << 124 | u128::from(n)).into()
            } else {
                Ipv4Addr::from(n << 28 | n).into()
            };
            let (_, bits) = bits_of(ip);
            let expected = nets.iter().position(|net| {
                net.v6 == v6 && bits & net.mask == net.base && (net.port == 0 || net.port == port)
            });
            let set: NetSet = nets.iter().copied().zip(0u32..).collect();
            prop_assert_eq!(set.matches(ip, port), expected.map(|at| at as u32));
        }
    }
}
