//! Fake addresses: what a program gets for a name that only the proxy can resolve.
//!
//! A [`FakeId`] names one entry of the shared table, as it was when the address was given out: a slot and a
//! generation of that slot. When the slot is used again its generation differs, so that an old address is
//! *unknown* and never leads to another name. Generations come round after [`FakeId::COUNT`] names.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many names the shared table holds at once.
pub const SLOTS: u32 = 131_072;

/// Last octets in use: 1 to 254. Programs take `.0` for a network and `.255` for a broadcast address.
const LAST_OCTETS: u32 = 254;

/// A /48 of ours out of fd00::/8 (RFC 4193 section 3.2.2 asks for 40 random bits; these were drawn once and
/// can never change, since running processes of two versions share a table).
const PREFIX_V6: [u8; 6] = [0xfd, 0x6e, 0xb1, 0x94, 0x27, 0xd3];

/// A slot and its generation, in 24 bits: what fits into the lower three octets of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FakeId(u32);

impl FakeId {
    /// How many different ids there are: 127 generations of every slot.
    pub const COUNT: u32 = LAST_OCTETS << 16;

    /// So many, from the first on, are never given out: [`FakeId::is_reserved`].
    pub const RESERVED: u32 = LAST_OCTETS;

    /// `None` for a value of [`FakeId::COUNT`] or more.
    pub const fn new(value: u32) -> Option<FakeId> {
        if value < Self::COUNT {
            Some(FakeId(value))
        } else {
            None
        }
    }

    /// The id of the `ticket`-th name that was ever entered: slots are used in turn.
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

    /// Whether it is never given out: where the subnet is 224, as it is by default, the first 254 would be the
    /// multicast groups of the link, mDNS among them (224.0.0.0/24, RFC 5771 section 4).
    pub const fn is_reserved(self) -> bool {
        self.0 < Self::RESERVED
    }

    /// How many names were entered since `older`, modulo [`FakeId::COUNT`].
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

/// Every slot has the same number of generations, so that a ticket's slot is also its id's slot.
const _: () = assert!(FakeId::COUNT.is_multiple_of(SLOTS));

/// The ranges that fake addresses are in.
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

    /// The same for every subnet: its last three octets are those of the IPv4 address.
    pub fn address_v6(self, id: FakeId) -> Ipv6Addr {
        let [a, b, c, d, e, f] = PREFIX_V6;
        let [x, y, z] = id.octets();
        Ipv6Addr::from([a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, x, y, z])
    }

    /// The id that an address stands for; `None` when it is not fake, or in a fake range but never given out
    /// (ask [`FakeNet::contains`]: such an address must be refused).
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

    /// Whether an address is a multicast group of the link: programs may send to it what it was made for, since it is
    /// given to no name.
    pub fn is_local_multicast(self, address: IpAddr) -> bool {
        matches!(address.to_canonical(), IpAddr::V4(ip) if ip.octets().starts_with(&[224, 0, 0]))
    }

    /// Whether an address is in one of the fake ranges: it must never be sent anywhere.
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
    fn every_id_comes_back_from_both_of_its_addresses() {
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
    fn a_slot_used_again_gets_another_address() {
        let old = FakeId::of_ticket(7);
        let new = FakeId::of_ticket(7 + u64::from(SLOTS));
        assert_eq!(old.slot(), new.slot());
        assert_ne!(NET.address_v4(old), NET.address_v4(new));
        assert_eq!(new.since(old), SLOTS);
        assert_eq!(old.since(new), FakeId::COUNT - SLOTS);
    }

    #[test]
    fn an_address_of_the_range_that_is_never_given_out_is_contained_but_has_no_id() {
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
    fn addresses_elsewhere_are_not_fake() {
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
