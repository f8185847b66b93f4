//! The addresses to which libc resolved names that are connected to directly (`localdomain`, `NO_PROXY`).
//!
//! Those rules match names, but connect(2) gets an address, so this process and its forked children remember what was
//! resolved. The list is append-only and lock-free, because a forked child could find a lock held.

#![forbid(unsafe_code)]

use crate::host::HostName;
use core::sync::atomic::{AtomicUsize, Ordering};
use once_cell::race::OnceBox;
use std::net::IpAddr;

/// Capacity. Addresses beyond it go through the proxy like any other.
const MAX_ADDRESSES: usize = 4096;

#[derive(Default)]
pub struct LocalAddresses {
    first: OnceBox<Entry>,
    count: AtomicUsize,
}

struct Entry {
    address: IpAddr,
    name: HostName,
    next: OnceBox<Entry>,
}

impl LocalAddresses {
    pub fn new() -> LocalAddresses {
        LocalAddresses::default()
    }

    /// Records that libc resolved `name` to `address`.
    pub fn remember(&self, address: IpAddr, name: &HostName) {
        let address = address.to_canonical();
        let mut link = &self.first;
        loop {
            while let Some(entry) = link.get() {
                if entry.address == address {
                    return;
                }
                link = &entry.next;
            }
            if self.count.load(Ordering::Relaxed) >= MAX_ADDRESSES {
                return;
            }
            let entry = Entry {
                address,
                name: name.clone(),
                next: OnceBox::new(),
            };
            // If another thread was faster, the loop goes on with its entry.
            if link.set(Box::new(entry)).is_ok() {
                self.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// The name that was resolved to `address`.
    pub fn name_of(&self, address: IpAddr) -> Option<&HostName> {
        let address = address.to_canonical();
        let mut link = &self.first;
        while let Some(entry) = link.get() {
            if entry.address == address {
                return Some(&entry.name);
            }
            link = &entry.next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_address_is_remembered_once_with_its_name() {
        let addresses = LocalAddresses::new();
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(addresses.name_of(one), None);
        addresses.remember(one, &name("db.internal"));
        addresses.remember(one, &name("other.internal"));
        addresses.remember("10.0.0.2".parse().unwrap(), &name("two.internal"));
        assert_eq!(addresses.name_of(one), Some(&name("db.internal")));
        let mapped: IpAddr = "::ffff:10.0.0.2".parse().unwrap();
        assert_eq!(addresses.name_of(mapped), Some(&name("two.internal")));
    }

    #[test]
    fn the_list_is_bounded() {
        let addresses = LocalAddresses::new();
        for number in 0..MAX_ADDRESSES as u32 + 10 {
            addresses.remember(std::net::Ipv4Addr::from(number).into(), &name("x"));
        }
        assert!(addresses
            .name_of(std::net::Ipv4Addr::from(MAX_ADDRESSES as u32 - 1).into())
            .is_some());
        assert!(addresses
            .name_of(std::net::Ipv4Addr::from(MAX_ADDRESSES as u32).into())
            .is_none());
    }

    #[test]
    fn concurrent_inserts_are_all_kept() {
        let addresses = LocalAddresses::new();
        std::thread::scope(|scope| {
            for thread in 0..8u32 {
                let addresses = &addresses;
                scope.spawn(move || {
                    for number in 0..100 {
                        let ip = std::net::Ipv4Addr::from(thread * 1000 + number);
                        addresses.remember(ip.into(), &name("x"));
                    }
                });
            }
        });
        for thread in 0..8u32 {
            for number in 0..100 {
                let ip = std::net::Ipv4Addr::from(thread * 1000 + number);
                assert!(addresses.name_of(ip.into()).is_some());
            }
        }
    }
}
