//! Which address a socket was dialled to: socket cookie -> address, for getpeername(2) in any process.
//!
//! The kernel counts cookies up and never reuses one (socket(7), SO_COOKIE), so the cookie modulo the number of entries
//! makes a ring. Entries are written without a lock; a check word, over all other words and a key of this boot, detects
//! torn entries and those of an earlier boot.

#![forbid(unsafe_code)]

use super::hash::hash;
use super::layout::{PEERS, PEER_COUNT, PEER_WORDS, WORD};
use super::memory::Memory;
use super::sys::Access;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

/// The ring in a table's mapping.
pub struct Peers<'a> {
    pub memory: &'a Memory,
    pub key: u64,
}

impl Peers<'_> {
    pub fn remember(&self, cookie: u64, address: SocketAddr) {
        let Some([check, data @ ..]) = self.entry(cookie, Access::Write) else {
            return;
        };
        let words = pack(cookie, address);
        for (to, from) in data.iter().zip(words) {
            to.store(from, Ordering::Relaxed);
        }
        check.store(hash(self.key, words), Ordering::Release);
    }

    pub fn find(&self, cookie: u64) -> Option<SocketAddr> {
        let [check, data @ ..] = self.entry(cookie, Access::Read)? else {
            return None;
        };
        let check = check.load(Ordering::Acquire);
        let mut words = [0; PEER_WORDS - 1];
        for (to, from) in words.iter_mut().zip(data) {
            *to = from.load(Ordering::Relaxed);
        }
        (check == hash(self.key, words)).then_some(())?;
        unpack(cookie, words)
    }

    fn entry(&self, cookie: u64, access: Access) -> Option<&[AtomicU64]> {
        let number = cookie as usize % PEER_COUNT;
        self.memory
            .words(PEERS + number * PEER_WORDS * WORD, PEER_WORDS, access)
    }
}

/// Flag in the last word: the address is of family AF_INET. The IPv4-mapped address of an AF_INET6 socket is not.
const IPV4: u64 = 1 << 63;

/// Cookie, address (IPv4 as IPv4-mapped), then port, IPv6 scope and family.
fn pack(cookie: u64, address: SocketAddr) -> [u64; PEER_WORDS - 1] {
    let (ip, rest) = match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), IPV4),
        SocketAddr::V6(v6) => (*v6.ip(), u64::from(v6.scope_id()) << 16),
    };
    let bits = ip.to_bits();
    let port = u64::from(address.port());
    [cookie, (bits >> 64) as u64, bits as u64, rest | port]
}

fn unpack(cookie: u64, words: [u64; PEER_WORDS - 1]) -> Option<SocketAddr> {
    let [its_cookie, high, low, rest] = words;
    let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    let port = rest as u16;
    let address = if rest & IPV4 == 0 {
        let scope = u32::try_from(rest >> 16).ok()?;
        SocketAddrV6::new(ip, port, 0, scope).into()
    } else {
        SocketAddr::new(ip.to_ipv4_mapped()?.into(), port)
    };
    (its_cookie == cookie).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::super::layout::SIZE;
    use super::super::sys::Backing;
    use super::*;

    fn memory() -> Memory {
        Memory::map(Backing::Private, SIZE).unwrap()
    }

    #[test]
    fn an_address_is_found_by_its_cookie_alone() {
        let memory = memory();
        let peers = Peers {
            memory: &memory,
            key: 1,
        };
        for (cookie, text) in [
            (1, "100.64.0.7:5432"),
            (2, "[fe80::1%3]:80"),
            (4, "[::ffff:10.0.0.1]:80"),
            (u64::MAX, "[fd00::1]:1"),
        ] {
            let address = text.parse().unwrap();
            peers.remember(cookie, address);
            assert_eq!(peers.find(cookie), Some(address));
        }
        assert_eq!(peers.find(3), None);
        assert_eq!(peers.find(1 + PEER_COUNT as u64), None);
    }

    #[test]
    fn a_later_cookie_takes_the_place_of_an_earlier_one() {
        let memory = memory();
        let peers = Peers {
            memory: &memory,
            key: 1,
        };
        let (old, new) = (5, 5 + PEER_COUNT as u64);
        peers.remember(old, "10.0.0.1:1".parse().unwrap());
        peers.remember(new, "10.0.0.2:2".parse().unwrap());
        assert_eq!(peers.find(old), None);
        assert_eq!(peers.find(new), "10.0.0.2:2".parse().ok());
    }

    #[test]
    fn what_an_earlier_boot_left_is_not_found() {
        let memory = memory();
        let before = Peers {
            memory: &memory,
            key: 1,
        };
        before.remember(5, "10.0.0.1:1".parse().unwrap());
        assert_eq!(
            Peers {
                memory: &memory,
                key: 2
            }
            .find(5),
            None
        );
    }

    #[test]
    fn a_torn_entry_is_not_found() {
        let memory = memory();
        let peers = Peers {
            memory: &memory,
            key: 1,
        };
        peers.remember(5, "10.0.0.1:1".parse().unwrap());
        for word in peers.entry(5, Access::Write).unwrap() {
            word.fetch_xor(1 << 20, Ordering::Relaxed);
            assert_eq!(peers.find(5), None);
            word.fetch_xor(1 << 20, Ordering::Relaxed);
        }
        assert!(peers.find(5).is_some());
    }
}
