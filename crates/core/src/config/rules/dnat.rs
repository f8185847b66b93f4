//! Replacement of IPv4 destinations: `dnat FROM[:PORT] TO[:PORT]`.

#![forbid(unsafe_code)]

use super::{parse_port, Problem};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// An address and a port. Port 0 means any port in `FROM`, and the dialled port in `TO`.
type AddressPort = (Ipv4Addr, u16);

/// One replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Dnat {
    from: AddressPort,
    to: AddressPort,
}

impl Dnat {
    pub fn parse(from: &str, to: &str) -> Result<Dnat, Problem> {
        Ok(Dnat {
            from: parse_address_port(from)?,
            to: parse_address_port(to)?,
        })
    }
}

fn parse_address_port(text: &str) -> Result<AddressPort, Problem> {
    let (address, port) = match text.split_once(':') {
        Some((address, port)) => (address, parse_port(port)?),
        None => (text, 0),
    };
    let address = address.parse().map_err(|_| {
        Problem::new(
            "this is not an IPv4 address",
            "expected FROM[:PORT] TO[:PORT], e.g. dnat 1.1.1.1:1234 1.1.1.2:443",
        )
    })?;
    Ok((address, port))
}

#[derive(Clone, Debug, Default)]
pub struct DnatTable {
    replacements: BTreeMap<AddressPort, AddressPort>,
}

impl DnatTable {
    pub fn is_empty(&self) -> bool {
        self.replacements.is_empty()
    }

    /// The new destination, `None` if no entry matches. An entry with a port takes precedence over one without; of two
    /// entries with the same `FROM`, the first applies.
    pub fn apply(&self, dialled: SocketAddrV4) -> Option<SocketAddrV4> {
        let (ip, port) = (*dialled.ip(), dialled.port());
        let to = self.replacements.get(&(ip, port));
        let (new_ip, new_port) = to.or_else(|| self.replacements.get(&(ip, 0)))?;
        let new_port = if *new_port == 0 { port } else { *new_port };
        Some(SocketAddrV4::new(*new_ip, new_port))
    }

    pub(in crate::config) fn insert(&mut self, dnat: Dnat) {
        self.replacements.entry(dnat.from).or_insert(dnat.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(entries: &[(&str, &str)], dialled: &str) -> Option<String> {
        let mut table = DnatTable::default();
        for (from, to) in entries {
            table.insert(Dnat::parse(from, to).unwrap());
        }
        table
            .apply(dialled.parse().unwrap())
            .map(|to| to.to_string())
    }

    #[test]
    fn each_form_replaces_address_and_port() {
        for (from, to, dialled, expected) in [
            ("1.1.1.1:1234", "2.2.2.2:443", "1.1.1.1:1234", "2.2.2.2:443"),
            ("1.1.1.1:443", "2.2.2.2", "1.1.1.1:443", "2.2.2.2:443"),
            ("1.1.1.1", "2.2.2.2:443", "1.1.1.1:80", "2.2.2.2:443"),
            ("1.1.1.1", "2.2.2.2", "1.1.1.1:80", "2.2.2.2:80"),
            ("1.1.1.1:0", "2.2.2.2:0", "1.1.1.1:80", "2.2.2.2:80"),
        ] {
            let new = applied(&[(from, to)], dialled);
            assert_eq!(new.as_deref(), Some(expected), "dnat {from} {to}");
        }
    }

    #[test]
    fn another_address_or_port_is_left_alone() {
        assert_eq!(applied(&[("1.1.1.1:80", "2.2.2.2")], "1.1.1.1:81"), None);
        assert_eq!(applied(&[("1.1.1.1", "2.2.2.2")], "1.1.1.3:80"), None);
    }

    #[test]
    fn an_entry_with_a_port_takes_precedence_and_then_the_first() {
        let entries = [
            ("1.1.1.1", "2.0.0.1"),
            ("1.1.1.1:80", "2.0.0.2"),
            ("1.1.1.1:80", "2.0.0.3"),
        ];
        let new = |dialled| applied(&entries, dialled);
        assert_eq!(new("1.1.1.1:80").as_deref(), Some("2.0.0.2:80"));
        assert_eq!(new("1.1.1.1:81").as_deref(), Some("2.0.0.1:81"));
    }

    #[test]
    fn a_replacement_is_not_replaced_again() {
        let entries = [("1.1.1.1", "1.1.1.2"), ("1.1.1.2", "1.1.1.3")];
        let new = applied(&entries, "1.1.1.1:80");
        assert_eq!(new.as_deref(), Some("1.1.1.2:80"));
    }

    #[test]
    fn only_ipv4_addresses_are_accepted() {
        for text in ["", "::1", "name", "1.1.1.1:", "1.1.1.1:x", "1.1.1.1:65536"] {
            assert!(Dnat::parse(text, "1.1.1.1").is_err(), "{text}");
            assert!(Dnat::parse("1.1.1.1", text).is_err(), "{text}");
        }
    }
}
