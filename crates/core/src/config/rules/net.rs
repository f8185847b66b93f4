//! One network: the value of `localnet` or `proxynet`, or an address in `NO_PROXY`.

#![forbid(unsafe_code)]

use super::{parse_port, Problem};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SYNTAX: &str = "expected ADDRESS/MASK or ADDRESS:PORT/MASK, e.g. 10.0.0.0/8, \
    192.168.1.0:80/255.255.255.0, fe80::/10 or [fd00::]:80/8";

/// The first 96 bits of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
const MAPPED: u128 = 0xffff_0000_0000;
const MAPPED_MASK: u128 = !0xffff_ffff;

/// The addresses of one network, on one port or on any port.
///
/// Addresses and masks are stored as integers; an IPv4 address uses the lowest 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Net {
    pub v6: bool,
    pub mask: u128,
    pub base: u128,
    /// 0 means any port.
    pub port: u16,
}

impl Net {
    /// Parses `ADDRESS`, `ADDRESS/MASK`, `ADDRESS:PORT/MASK` or `ADDRESS/MASK:PORT`. The mask is a prefix length or, for
    /// IPv4, dotted decimal (not necessarily contiguous). An IPv6 address with a port is in square brackets.
    pub fn parse(text: &str) -> Result<Net, Problem> {
        let (left, right) = match text.split_once('/') {
            Some((left, right)) => (left, Some(right)),
            None => (text, None),
        };
        let (address, port_left) = split_address(left)?;
        let (mask, port_right) = match right.map(|r| r.split_once(':').unwrap_or((r, ""))) {
            Some((mask, port)) => (parse_mask(mask, address)?, port),
            None => (u128::MAX, ""),
        };
        let port = match (port_left, port_right) {
            ("", "") => 0,
            (port, "") | ("", port) => parse_port(port)?,
            _ => return Err(Problem::new("the port is given twice", SYNTAX)),
        };
        Ok(Net::new(address, mask, port))
    }

    /// Every address of both families.
    pub fn everything() -> [Net; 2] {
        [
            Net::new(Ipv4Addr::UNSPECIFIED.into(), 0, 0),
            Net::new(Ipv6Addr::UNSPECIFIED.into(), 0, 0),
        ]
    }

    /// Whether the mask is a prefix: ones followed by zeros.
    pub fn has_contiguous_mask(&self) -> bool {
        let host = !self.mask & if self.v6 { u128::MAX } else { !MAPPED_MASK };
        host & host.wrapping_add(1) == 0
    }

    pub(super) fn new(address: IpAddr, mask: u128, port: u16) -> Net {
        let (v6, bits) = bits_of(address);
        // A network inside ::ffff:0:0/96 is stored as IPv4, since IPv4-mapped addresses are looked up as IPv4.
        let mapped = v6 && bits & MAPPED_MASK == MAPPED && mask & MAPPED_MASK == MAPPED_MASK;
        let v6 = v6 && !mapped;
        let mask = mask & if v6 { u128::MAX } else { !MAPPED_MASK };
        Net {
            v6,
            mask,
            base: bits & mask,
            port,
        }
    }
}

pub(super) fn bits_of(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(ip) => (false, u128::from(u32::from(ip))),
        IpAddr::V6(ip) => (true, u128::from(ip)),
    }
}

/// The address, and the port as text, empty if there is none.
fn split_address(text: &str) -> Result<(IpAddr, &str), Problem> {
    let not_an_address = || Problem::new("there is no IP address", SYNTAX);
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| not_an_address())?;
        let port = match rest {
            "" => "",
            _ => non_empty(rest.strip_prefix(':').ok_or_else(not_an_address)?)?,
        };
        return Ok((address.into(), port));
    }
    if let Ok(address) = text.parse() {
        return Ok((address, ""));
    }
    let (address, port) = text.rsplit_once(':').ok_or_else(not_an_address)?;
    let address: Ipv4Addr = address.parse().map_err(|_| not_an_address())?;
    Ok((address.into(), non_empty(port)?))
}

fn non_empty(port: &str) -> Result<&str, Problem> {
    match port {
        "" => Err(super::bad_port()),
        port => Ok(port),
    }
}

fn parse_mask(text: &str, address: IpAddr) -> Result<u128, Problem> {
    let width: u32 = if address.is_ipv4() { 32 } else { 128 };
    let wrong = || {
        Problem::new(
            "the mask is wrong",
            if address.is_ipv4() {
                "expected a prefix length from 0 to 32, or dotted decimal, e.g. 255.255.255.0"
            } else {
                "expected a prefix length from 0 to 128"
            },
        )
    };
    if address.is_ipv4() && text.contains('.') {
        let mask: Ipv4Addr = text.parse().map_err(|_| wrong())?;
        return Ok(u128::from(u32::from(mask)));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let bits: u32 = text.parse().map_err(|_| wrong())?;
    let host_bits = width.checked_sub(bits).ok_or_else(wrong)?;
    Ok(u128::MAX.checked_shl(host_bits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::NetSet;
    use super::*;
    use proptest::prelude::*;

    fn set(nets: &[&str]) -> NetSet {
        let lines = 1u32..;
        nets.iter()
            .zip(lines)
            .map(|(net, line)| (Net::parse(net).unwrap(), line))
            .collect()
    }

    fn holds(net: &str, ip: &str, port: u16) -> bool {
        set(&[net]).matches(ip.parse().unwrap(), port).is_some()
    }

    #[test]
    fn every_syntax_of_a_network_is_accepted() {
        for (net, inside, port, outside, other_port) in [
            ("10.0.0.0/255.0.0.0", "10.9.9.9", 1, "11.0.0.0", None),
            ("10.0.0.0/8", "10.9.9.9", 1, "11.0.0.0", None),
            ("10.1.2.3/8", "10.9.9.9", 1, "11.0.0.0", None),
            (
                "192.168.1.0:80/255.255.255.0",
                "192.168.1.7",
                80,
                "192.168.2.7",
                Some(81),
            ),
            (
                "192.168.1.0/24:80",
                "192.168.1.7",
                80,
                "192.168.2.7",
                Some(81),
            ),
            ("[fd00::]:80/8", "fd12::1", 80, "fe00::1", Some(443)),
            ("[fd00::]/8:80", "fd12::1", 80, "fe00::1", Some(443)),
            ("fd00::/8:80", "fd12::1", 80, "fe00::1", Some(443)),
            ("[fd00::]/8", "fd12::1", 80, "fe00::1", None),
            ("fe80::/10", "fe80::1", 80, "ff00::1", None),
            ("0.0.0.0:80/0.0.0.0", "8.8.8.8", 80, "::1", Some(443)),
            ("[::]:80/0", "2001:db8::1", 80, "8.8.8.8", Some(443)),
            ("10.0.0.0:0/8", "10.0.0.1", 5, "9.0.0.1", None),
            ("100.64.0.1", "100.64.0.1", 5, "100.64.0.2", None),
            ("100.64.0.1:5", "100.64.0.1", 5, "100.64.0.2", Some(6)),
            ("::1/128", "::1", 5, "::2", None),
        ] {
            assert!(holds(net, inside, port), "{net} holds {inside}:{port}");
            assert!(!holds(net, outside, port), "{net} lacks {outside}");
            match other_port {
                Some(other) => assert!(!holds(net, inside, other), "{net} lacks port {other}"),
                None => assert!(holds(net, inside, 9999), "{net} holds every port"),
            }
        }
    }

    #[test]
    fn a_non_contiguous_mask_is_applied_bitwise() {
        assert!(holds("10.0.7.0/255.0.255.0", "10.99.7.1", 1));
        assert!(!holds("10.0.7.0/255.0.255.0", "10.99.8.1", 1));
    }

    #[test]
    fn ipv4_mapped_addresses_and_networks_count_as_ipv4() {
        assert!(holds("10.0.0.0/8", "::ffff:10.1.1.1", 1));
        assert!(holds("::ffff:10.0.0.0/104", "10.1.1.1", 1));
        assert!(!holds("::ffff:10.0.0.0/104", "11.1.1.1", 1));
        assert!(!holds("::/0", "10.1.1.1", 1));
    }

    #[test]
    fn malformed_networks_are_refused() {
        for net in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/255.255",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "010.0.0.0/8",
            "10.0.0.0:/8",
            "10.0.0.0:65536/8",
            "10.0.0.0:http/8",
            "10.0.0.0:80/8:80",
            "fe80::/129",
            "fe80::/ffff::",
            "fe80::%eth0/10",
            "[fe80::/10",
            "[fe80::]80/10",
            "[fe80::]:/10",
            "[10.0.0.0]/8",
            "db.example/8",
        ] {
            assert!(Net::parse(net).is_err(), "{net}");
        }
    }

    proptest! {
        #[test]
        fn parsing_any_text_does_not_panic(text in "[0-9a-f.:/\\[\\]%]{0,40}") {
            let _ = Net::parse(&text);
        }
    }
}
