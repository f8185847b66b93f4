//! The fake IPs that this process was given, kept for its lifetime: a program may resolve a name once and connect to it
//! days later, when other processes have long reused its slot of the table, or even its address, for other names.
//!
//! The first 65,536 are kept with their names. For later ones only the round is known: how often all IDs had been used
//! up when this one was assigned. That is enough to refuse an address that now belongs to another name. Forked children
//! have a copy. It is a tree that only grows, and so needs no lock that a forked child could find held.

#![forbid(unsafe_code)]

use super::memory::Memory;
use super::sys::{Access, Backing};
use crate::fake_ip::FakeId;
use crate::host::HostName;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use once_cell::race::OnceBox;

/// About 8 MB, in a process that resolves this many names.
const MOST: usize = 65_536;

pub struct KeptNames {
    first: OnceBox<Node>,
    count: AtomicUsize,
    most: usize,
    /// One byte for each ID. `None`: out of memory.
    rounds: OnceBox<Option<Memory>>,
}

/// At each node an ID descends by two more of its bits, until it finds its own node or an empty place.
struct Node {
    id: FakeId,
    name: HostName,
    children: [OnceBox<Node>; 4],
}

impl Default for KeptNames {
    fn default() -> KeptNames {
        KeptNames::with_room(MOST)
    }
}

impl KeptNames {
    fn with_room(most: usize) -> KeptNames {
        KeptNames {
            first: OnceBox::new(),
            count: AtomicUsize::new(0),
            most,
            rounds: OnceBox::new(),
        }
    }

    /// Records that this process is being given the ID of `ticket` for `name`. False if it has kept that ID for another
    /// name: the program must then be given another.
    #[must_use]
    pub fn keep(&self, ticket: u64, name: &HostName) -> bool {
        let id = FakeId::of_ticket(ticket);
        loop {
            let place = match self.find(id) {
                Ok(node) => return node.name == *name,
                Err(place) => place,
            };
            if self.count.load(Ordering::Relaxed) >= self.most {
                self.note_round(ticket);
                return true;
            }
            let node = Node {
                id,
                name: name.clone(),
                children: Default::default(),
            };
            // If another thread was first, its node is examined like any other.
            if place.set(Box::new(node)).is_ok() {
                self.count.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
    }

    /// The name for which this process was given an ID.
    pub fn name_of(&self, id: FakeId) -> Option<&HostName> {
        self.find(id).ok().map(|node| &node.name)
    }

    /// Whether the table's entry under `ticket` may be the one for which this process was given its ID.
    pub fn may_be(&self, ticket: u64) -> bool {
        let Some(Some(rounds)) = self.rounds.get() else {
            return true;
        };
        let (place, shift) = place_of(FakeId::of_ticket(ticket));
        let word = rounds.words(place, 1, Access::Read);
        word.and_then(<[AtomicU64]>::first).is_none_or(|word| {
            let known = word.load(Ordering::Relaxed) >> shift & 0xff;
            known == 0 || known == round_of(ticket)
        })
    }

    fn find(&self, id: FakeId) -> Result<&Node, &OnceBox<Node>> {
        let mut bits = id.value();
        let mut link = &self.first;
        while let Some(node) = link.get() {
            if node.id == id {
                return Ok(node);
            }
            let [a, b, c, d] = &node.children;
            link = match bits & 3 {
                0 => a,
                1 => b,
                2 => c,
                _ => d,
            };
            bits >>= 2;
        }
        Err(link)
    }

    fn note_round(&self, ticket: u64) {
        let map = || Box::new(Memory::map(Backing::Private, FakeId::COUNT as usize).ok());
        let Some(rounds) = self.rounds.get_or_init(map) else {
            return;
        };
        let (place, shift) = place_of(FakeId::of_ticket(ticket));
        let word = rounds.words(place, 1, Access::Write);
        if let Some(word) = word.and_then(<[AtomicU64]>::first) {
            let mut old = word.load(Ordering::Relaxed);
            loop {
                let new = old & !(0xff << shift) | round_of(ticket) << shift;
                match word.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return,
                    Err(now) => old = now,
                }
            }
        }
    }
}

/// Where the round of an ID is stored: the word, and how far to shift it.
fn place_of(id: FakeId) -> (usize, u32) {
    const WORD: usize = size_of::<u64>();
    let byte = id.value() as usize;
    (byte - byte % WORD, byte as u32 % 8 * 8)
}

/// 1 to 255; it repeats after 4 billion names.
fn round_of(ticket: u64) -> u64 {
    ticket / u64::from(FakeId::COUNT) % 255 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u64 = FakeId::COUNT as u64;

    fn name(text: &str) -> HostName {
        HostName::new(text.as_bytes()).unwrap()
    }

    fn kept(kept: &KeptNames, ticket: u64) -> Option<&HostName> {
        kept.name_of(FakeId::of_ticket(ticket))
    }

    #[test]
    fn every_address_keeps_its_name() {
        let names = KeptNames::default();
        // Close together, far apart, and with equal bits up to the last. No two of them have the same ID.
        let powers = || (0..24).map(|bit| 1 << bit).filter(|id| *id < COUNT);
        let tickets = || {
            (1000..3000).chain(powers().map(|id| {
                if (1000..3000).contains(&id) {
                    id
                } else {
                    COUNT + id
                }
            }))
        };
        for ticket in tickets() {
            assert!(names.keep(ticket, &name(&format!("host-{ticket}"))));
        }
        for ticket in tickets() {
            let expected = name(&format!("host-{ticket}"));
            assert_eq!(kept(&names, ticket), Some(&expected));
        }
        assert_eq!(kept(&names, 5000), None);
    }

    #[test]
    fn an_address_that_is_kept_for_one_name_is_not_taken_for_another() {
        let names = KeptNames::default();
        assert!(names.keep(7, &name("db")));
        assert!(names.keep(7, &name("db")));
        assert!(!names.keep(7 + COUNT, &name("other")));
        assert!(names.keep(7 + COUNT, &name("db")));
        assert_eq!(kept(&names, 7), Some(&name("db")));
    }

    #[test]
    fn an_address_that_is_not_kept_any_more_is_told_from_one_of_a_later_round() {
        let names = KeptNames::with_room(2);
        for ticket in 0..40 {
            assert!(names.keep(ticket, &name("x")));
        }
        assert!(kept(&names, 1).is_some());
        for ticket in 2..40 {
            assert_eq!(kept(&names, ticket), None);
            assert!(names.may_be(ticket));
            assert!(!names.may_be(ticket + COUNT));
        }
        // Not this process's.
        assert!(names.may_be(41) && names.may_be(41 + COUNT));
        assert!(names.keep(5 + COUNT, &name("y")));
        assert!(names.may_be(5 + COUNT) && !names.may_be(5));
        assert!(names.may_be(4) && names.may_be(6));
    }

    #[test]
    fn threads_lose_nothing() {
        let names = KeptNames::default();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let names = &names;
                scope.spawn(move || {
                    for ticket in 0..500 {
                        assert!(names.keep(ticket, &name(&format!("host-{ticket}"))));
                        let own = 1000 * (thread + 1) + ticket;
                        assert!(names.keep(own, &name("own")));
                    }
                });
            }
        });
        for ticket in 0..500 {
            let expected = name(&format!("host-{ticket}"));
            assert_eq!(kept(&names, ticket), Some(&expected));
        }
        assert_eq!(names.count.load(Ordering::Relaxed), 9 * 500);
    }
}
