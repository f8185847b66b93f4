//! Fake IPs: the addresses that a program gets for names which only the proxy can resolve.
//!
//! A [`FakeId`] identifies an entry of the name table by its slot and the generation of that slot. A reused slot has
//! another generation, so a stale fake IP is *unknown* and never leads to another name. Generations repeat after
//! [`FakeId::COUNT`] names.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Capacity of the name table.
pub const SLOTS: u32 = 131_072;

/// Number of last octets in use, 1 to 254: programs take `.0` for a network and `.255` for a broadcast address.
const LAST_OCTETS: u32 = 254;

/// A /48 of fd00::/8 with 40 random bits (RFC 4193 section 3.2.2). It must never change: processes of different
/// versions share one name table.
const PREFIX_V6: [u8; 6] = [0xfd, 0x6e, 0xb1, 0x94, 0x27, 0xd3];

/// A slot and its generation, in the 24 bits of an address's lower three octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FakeId(u32);

impl FakeId {
    /// Number of distinct ids: 127 generations of every slot.
    pub const COUNT: u32 = LAST_OCTETS << 16;

    /// The number of ids, from 0 on, that are never assigned ([`FakeId::is_reserved`]).
    pub const RESERVED: u32 = LAST_OCTETS;

    /// `None` if `value` is not below [`FakeId::COUNT`].
    pub const fn new(value: u32) -> Option<FakeId> {
        if value < Self::COUNT {
            Some(FakeId(value))
        } else {
            None
        }
    }

    /// The id of the `ticket`-th name ever inserted; slots are used in turn.
    pub const fn of_ticket(ticket: u64) -> FakeId {
        FakeId((ticket % Self::COUNT as u64) as u32)
    }

    pub const fn value(self) -> u32 {
        self.0
    }

    /// Below [`SLOTS`].
    pub const fn slot(self) -> u32 {
        self.0 % SLOTS
    }

    /// Whether this id is never assigned. With the default subnet, 224, the first 254 ids are link-local multicast
    /// groups, mDNS among them (224.0.0.0/24, RFC 5771 section 4).
    pub const fn is_reserved(self) -> bool {
        self.0 < Self::RESERVED
    }

    /// The number of names inserted since `older`, modulo [`FakeId::COUNT`].
    pub const fn since(self, older: FakeId) -> u32 {
        (self.0 + Self::COUNT - older.0) % Self::COUNT
    }

    /// Never `0.0.0`: the last octet is 1 to 254.
    const fn octets(self) -> [u8; 3] {
        let [_, high, low, _] = ((self.0 / LAST_OCTETS) << 8).to_be_bytes();
        [high, low, (self.0 % LAST_OCTETS + 1) as u8]
    }

    const fn from_octets([high, low, last]: [u8; 3]) -> Option<FakeId> {
        if last == 0 || last == 255 {
            return None;
        }
        let upper = (high as u32) << 8 | low as u32;
        Some(FakeId(upper * LAST_OCTETS + last as u32 - 1))
    }
}

/// All slots have equally many generations, so a ticket and its id have the same slot.
const _: () = assert!(FakeId::COUNT.is_multiple_of(SLOTS));

/// The address ranges of fake IPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FakeNet {
    subnet: u8,
}

impl FakeNet {
    /// `subnet` is the first octet of the IPv4 addresses (`remote_dns_subnet`).
    pub const fn new(subnet: u8) -> FakeNet {
        FakeNet { subnet }
    }

    pub const fn address_v4(self, id: FakeId) -> Ipv4Addr {
        let [x, y, z] = id.octets();
        Ipv4Addr::new(self.subnet, x, y, z)
    }

    /// Independent of the subnet; the last three octets are those of the IPv4 address.
    pub fn address_v6(self, id: FakeId) -> Ipv6Addr {
        let [a, b, c, d, e, f] = PREFIX_V6;
        let [x, y, z] = id.octets();
        Ipv6Addr::from([a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, x, y, z])
    }

    /// The id of a fake IP. `None` if `address` is outside the fake ranges, or inside but never assigned; the caller
    /// must refuse the latter ([`FakeNet::contains`]).
    pub fn id_of(self, address: IpAddr) -> Option<FakeId> {
        match address.to_canonical() {
            IpAddr::V4(ip) => match ip.octets() {
                [first, x, y, z] if first == self.subnet => FakeId::from_octets([x, y, z]),
                _ => None,
            },
            IpAddr::V6(ip) => match ip.octets() {
                [a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, x, y, z]
                    if [a, b, c, d, e, f] == PREFIX_V6 =>
                {
                    FakeId::from_octets([x, y, z])
                }
                _ => None,
            },
        }
    }

    /// Whether `address` is a link-local multicast group, which is never assigned to a name, so that programs may send
    /// multicast datagrams to it.
    pub fn is_local_multicast(self, address: IpAddr) -> bool {
        matches!(address.to_canonical(), IpAddr::V4(ip) if ip.octets().starts_with(&[224, 0, 0]))
    }

    /// Whether `address` is in one of the fake ranges; packets must never be sent to it.
    pub fn contains(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(ip) => ip.octets().first() == Some(&self.subnet),
            IpAddr::V6(ip) => ip.octets().starts_with(&PREFIX_V6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: FakeNet = FakeNet::new(224);

    #[test]
    fn every_id_round_trips_through_both_of_its_addresses() {
        for value in 0..FakeId::COUNT {
            let id = FakeId::new(value).unwrap();
            assert_eq!(NET.id_of(NET.address_v4(id).into()), Some(id));
            assert_eq!(NET.id_of(NET.address_v6(id).into()), Some(id));
        }
        assert_eq!(FakeId::new(FakeId::COUNT), None);
    }

    #[test]
    fn the_first_and_the_last_address_look_like_hosts() {
        let first = FakeId::new(0).unwrap();
        let last = FakeId::new(FakeId::COUNT - 1).unwrap();
        assert_eq!(NET.address_v4(first), Ipv4Addr::new(224, 0, 0, 1));
        assert!(first.is_reserved() && NET.is_local_multicast(NET.address_v4(first).into()));
        let first_in_use = FakeId::new(FakeId::RESERVED).unwrap();
        assert_eq!(NET.address_v4(first_in_use), Ipv4Addr::new(224, 0, 1, 1));
        assert!(!first_in_use.is_reserved());
        assert_eq!(NET.address_v4(last), Ipv4Addr::new(224, 255, 255, 254));
    }

    #[test]
    fn a_reused_slot_has_another_address() {
        let old = FakeId::of_ticket(7);
        let new = FakeId::of_ticket(7 + u64::from(SLOTS));
        assert_eq!(old.slot(), new.slot());
        assert_ne!(NET.address_v4(old), NET.address_v4(new));
        assert_eq!(new.since(old), SLOTS);
        assert_eq!(old.since(new), FakeId::COUNT - SLOTS);
    }

    #[test]
    fn an_unassigned_address_of_the_range_is_contained_but_has_no_id() {
        for text in [
            "224.0.0.0",
            "224.1.2.255",
            "::ffff:224.1.2.0",
            "fd6e:b194:27d3::",
            "fd6e:b194:27d3:1::1",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert!(NET.contains(address), "{text}");
            assert_eq!(NET.id_of(address), None, "{text}");
        }
    }

    #[test]
    fn addresses_outside_the_ranges_are_not_fake() {
        for text in ["225.0.0.1", "10.0.0.1", "fd7a:115c:a1e0::1", "::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert!(!NET.contains(address), "{text}");
            assert_eq!(NET.id_of(address), None, "{text}");
        }
    }

    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address() {
        let id = FakeId::new(4242).unwrap();
        let mapped = NET.address_v4(id).to_ipv6_mapped();
        assert_eq!(NET.id_of(mapped.into()), Some(id));
    }
}
