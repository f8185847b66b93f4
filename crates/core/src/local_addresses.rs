//! The addresses that libc gave for names which are to be connected to directly (`localdomain`, `NO_PROXY`).
//!
//! The rule is about a name, but connect(2) gets an address: what was resolved is remembered here, by this process
//! and the children it forks. A list that only grows needs no lock, which a forked child could find held.

#![forbid(unsafe_code)]

use crate::host::HostName;
use core::sync::atomic::{AtomicUsize, Ordering};
use once_cell::race::OnceBox;
use std::net::IpAddr;

/// So many are remembered. The addresses of further names go through the proxy like any other.
const MOST: usize = 4096;

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

    /// libc gave `address` for `name`.
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
            if self.count.load(Ordering::Relaxed) >= MOST {
                return;
            }
            let entry = Entry {
                address,
                name: name.clone(),
                next: OnceBox::new(),
            };
            // Where another thread was first, its entry is looked at like any other.
            if link.set(Box::new(entry)).is_ok() {
                self.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// The name that `address` was given for.
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
    fn it_does_not_grow_without_end() {
        let addresses = LocalAddresses::new();
        for number in 0..MOST as u32 + 10 {
            addresses.remember(std::net::Ipv4Addr::from(number).into(), &name("x"));
        }
        assert!(addresses
            .name_of(std::net::Ipv4Addr::from(MOST as u32 - 1).into())
            .is_some());
        assert!(addresses
            .name_of(std::net::Ipv4Addr::from(MOST as u32).into())
            .is_none());
    }

    #[test]
    fn threads_lose_nothing() {
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
