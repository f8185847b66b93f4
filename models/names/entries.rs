//! One entry: readers see a complete name or none.

use crate::check::{every_case, every_order};
use crate::fake_ip::{FakeId, SLOTS};
use crate::name_table::entry::{Entry, Write};
use crate::name_table::layout::NAME_WORDS;
use crate::name_table::{seqlock, SEED};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::fuse;
use loom::thread;
use std::sync::Arc;

const TICKET: u64 = 7;
/// After the ring has wrapped around.
const LATER: u64 = TICKET + SLOTS as u64;

/// Two words each, so that a reader could mix a half of each. No two words are equal.
const NAME: &str = "aaaaaaaabbb";
const OTHER: &str = "ccccccccddd";

type Words = Arc<Vec<AtomicU64>>;

pub fn check() {
    every_order("a reader beside two writers of one slot", Some(2), || {
        let words = blank();
        let writers = [(TICKET, NAME), (LATER, OTHER)].map(|(ticket, name)| {
            let words = words.clone();
            thread::spawn(move || write(&words, ticket, name))
        });
        holds_its_own_names(&words);
        let [_, later] = writers.map(|writer| writer.join().unwrap());
        holds_its_own_names(&words);
        if later == Write::Published {
            // Its own name, or none: the other writer may have been suspended, and then written into this entry.
            assert_eq!(read(&words, TICKET), None);
        }
    });

    every_order("a name that is replaced under its readers", Some(3), || {
        let words = blank();
        assert_eq!(write(&words, TICKET, NAME), Write::Published);
        let writer = {
            let words = words.clone();
            thread::spawn(move || assert_eq!(write(&words, LATER, OTHER), Write::Published))
        };
        holds_its_own_names(&words);
        writer.join().unwrap();
        assert_eq!(read(&words, LATER).as_deref(), Some(OTHER));
    });

    every_order("who sees an entry published can read it", None, || {
        let words = blank();
        let writer = {
            let words = words.clone();
            thread::spawn(move || assert_eq!(write(&words, TICKET, NAME), Write::Published))
        };
        if words[0].load(Ordering::Acquire) == TICKET << 16 | NAME.len() as u64 {
            assert_eq!(read(&words, TICKET).as_deref(), Some(NAME));
        }
        writer.join().unwrap();
    });

    every_order("the seqlock alone, without the check", Some(3), || {
        let words = blank();
        let write = |words: &Words, ticket, name: &str| {
            let entry = seqlock::entry::Entry::new(words).unwrap();
            let written = entry.write(SEED, ticket, name.as_bytes());
            assert_eq!(written, seqlock::entry::Write::Published);
        };
        write(&words, TICKET, NAME);
        let writer = {
            let words = words.clone();
            thread::spawn(move || write(&words, LATER, OTHER))
        };
        for (ticket, name) in [(TICKET, NAME), (LATER, OTHER)] {
            let mut buffer = [0; 255];
            let entry = seqlock::entry::Entry::new(&words).unwrap();
            let found = entry.read(SEED, FakeId::of_ticket(ticket), &mut buffer);
            assert!(found.is_none_or(|(_, len)| &buffer[..len] == name.as_bytes()));
        }
        writer.join().unwrap();
    });

    // A writer's accesses: two to claim the slot, three to write, one to publish.
    every_case(
        "a writer that is killed at any access",
        0..7,
        None,
        Arc::new(|accesses| {
            let words = blank();
            let victim = {
                let words = words.clone();
                thread::spawn(move || {
                    let whole = fuse::limit(accesses, || {
                        write(&words, TICKET, NAME);
                    });
                    assert_eq!(whole, accesses >= 6);
                })
            };
            holds_its_own_names(&words);
            victim.join().unwrap();
            assert_eq!(read(&words, TICKET).is_some(), accesses >= 6);
            // What it leaves behind does not block the next writer.
            assert_eq!(write(&words, LATER, OTHER), Write::Published);
            assert_eq!(read(&words, LATER).as_deref(), Some(OTHER));
            assert_eq!(read(&words, TICKET), None);
        }),
    );
}

fn blank() -> Words {
    Arc::new((0..NAME_WORDS).map(|_| AtomicU64::new(0)).collect())
}

fn write(words: &Words, ticket: u64, name: &str) -> Write {
    Entry::new(words)
        .unwrap()
        .write(SEED, ticket, name.as_bytes())
}

fn read(words: &Words, ticket: u64) -> Option<String> {
    let mut buffer = [0; 255];
    let entry = Entry::new(words).unwrap();
    let (its_ticket, len) = entry.read(SEED, FakeId::of_ticket(ticket), &mut buffer)?;
    assert_eq!(its_ticket, ticket);
    Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
}

fn holds_its_own_names(words: &Words) {
    for (ticket, name) in [(TICKET, NAME), (LATER, OTHER)] {
        assert!(read(words, ticket).is_none_or(|found| found == name));
    }
}
