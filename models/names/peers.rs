//! The addresses that sockets were connected to.

use crate::check::{every_case, every_order};
use crate::name_table::layout::{PEERS, PEER_COUNT, PEER_WORDS, WORD};
use crate::name_table::memory::{Memory, Plan};
use crate::name_table::peers::Peers;
use crate::name_table::sys::Access;
use crate::name_table::SEED;
use crate::sync::atomic::Ordering;
use crate::sync::fuse;
use loom::thread;
use std::net::SocketAddr;
use std::sync::Arc;

const COOKIE: u64 = 5;
/// Of the same entry.
const LATER: u64 = COOKIE + PEER_COUNT as u64;

/// They differ in every word.
const ADDRESS: &str = "[fd00::1]:1";
const OTHER: &str = "10.0.0.2:2";

pub fn check() {
    every_order("two sockets of one entry", Some(3), || {
        let memory = memory();
        let writer = {
            let memory = memory.clone();
            thread::spawn(move || peers(&memory).remember(LATER, parse(OTHER)))
        };
        peers(&memory).remember(COOKIE, parse(ADDRESS));
        writer.join().unwrap();
        knows_its_own_peers(&memory);
    });

    every_order("a peer that is replaced under its readers", Some(3), || {
        let memory = memory();
        peers(&memory).remember(COOKIE, parse(ADDRESS));
        let writer = {
            let memory = memory.clone();
            thread::spawn(move || peers(&memory).remember(LATER, parse(OTHER)))
        };
        knows_its_own_peers(&memory);
        writer.join().unwrap();
        assert_eq!(peers(&memory).find(COOKIE), None);
        assert_eq!(peers(&memory).find(LATER), Some(parse(OTHER)));
    });

    every_order("who sees a peer's check can read it", None, || {
        let memory = memory();
        let writer = {
            let memory = memory.clone();
            thread::spawn(move || peers(&memory).remember(COOKIE, parse(ADDRESS)))
        };
        let offset = PEERS + COOKIE as usize * PEER_WORDS * WORD;
        let words = memory.words(offset, PEER_WORDS, Access::Read).unwrap();
        if words[0].load(Ordering::Relaxed) != 0 {
            assert_eq!(peers(&memory).find(COOKIE), Some(parse(ADDRESS)));
        }
        writer.join().unwrap();
    });

    every_case(
        "a process that is killed in the middle of a peer",
        0..PEER_WORDS,
        Some(2),
        Arc::new(|accesses| {
            let memory = memory();
            peers(&memory).remember(COOKIE, parse(ADDRESS));
            let victim = {
                let memory = memory.clone();
                thread::spawn(move || {
                    fuse::limit(accesses, || peers(&memory).remember(LATER, parse(OTHER)))
                })
            };
            knows_its_own_peers(&memory);
            assert!(!victim.join().unwrap());
            assert_eq!(peers(&memory).find(LATER), None);
            peers(&memory).remember(LATER, parse(OTHER));
            assert_eq!(peers(&memory).find(LATER), Some(parse(OTHER)));
        }),
    );
}

fn memory() -> Memory {
    Memory::table(Plan {
        cookies: vec![COOKIE],
        ..Plan::default()
    })
}

fn peers(memory: &Memory) -> Peers<'_> {
    Peers { memory, key: SEED }
}

fn parse(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn knows_its_own_peers(memory: &Memory) {
    for (cookie, address) in [(COOKIE, ADDRESS), (LATER, OTHER)] {
        let found = peers(memory).find(cookie);
        assert!(found.is_none_or(|found| found == parse(address)));
    }
}
