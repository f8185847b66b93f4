//! Whole tables: processes that assign names and look them up concurrently.

use crate::check::{every_case, every_order};
use crate::fake_ip::{FakeId, SLOTS};
use crate::host::HostName;
use crate::name_table::entry::{Entry, Write};
use crate::name_table::index::Index;
use crate::name_table::layout::{self, NAMES, NAME_WORDS, WORD};
use crate::name_table::memory::{hash_of, Memory, Plan};
use crate::name_table::sys::Access;
use crate::name_table::{process, NameTable, SEED};
use crate::sync::fuse;
use loom::thread;
use std::sync::Arc;

const FIRST: u64 = (FakeId::COUNT + FakeId::RESERVED) as u64 + 7;

/// The number of preemptions in these models; without a bound they would take hours.
const BOUND: Option<usize> = Some(2);

pub fn check() {
    every_order("who finds a name in the index can read it", Some(3), || {
        let table = table(&["db"]);
        let writer = {
            let table = table.clone();
            thread::spawn(move || {
                assert_eq!(write(&table, FIRST, "db"), Write::Published);
                let id = FakeId::of_ticket(FIRST);
                Index::new(&table, layout::INDEX).insert(hash_of("db"), id, None);
            })
        };
        let reader = process(&table);
        for id in Index::new(&table, layout::INDEX).candidates(hash_of("db")) {
            assert_eq!(name_of(&reader, id).as_deref(), Some("db"));
        }
        writer.join().unwrap();
    });

    every_order("two processes assign one name", BOUND, || {
        let table = table(&["db"]);
        let processes = [process(&table), process(&table)].map(Arc::new);
        let threads = processes
            .clone()
            .map(|process| thread::spawn(move || assign(&process, "db")));
        let ids = threads.map(|thread| thread.join().unwrap());
        for process in &processes {
            for id in ids {
                assert_eq!(name_of(process, id).as_deref(), Some("db"));
            }
            assert!(ids.contains(&assign(process, "db")));
        }
        // A third one gets an address that stays valid.
        assert!(ids.contains(&assign(&self::process(&table), "db")));
    });

    every_order("two threads of one process assign one name", BOUND, || {
        let table = table(&["db"]);
        let process = Arc::new(process(&table));
        let threads = [(); 2].map(|()| {
            let process = process.clone();
            thread::spawn(move || assign(&process, "db"))
        });
        let ids = threads.map(|thread| thread.join().unwrap());
        for id in ids {
            assert_eq!(name_of(&process, id).as_deref(), Some("db"));
        }
        assert!(ids.contains(&assign(&process, "db")));
    });

    every_order("two processes assign two names", BOUND, || {
        let table = table(&["db", "cache"]);
        let processes = [process(&table), process(&table)];
        let mut names = ["db", "cache"].into_iter();
        let threads = processes.map(|process| {
            let name = names.next().unwrap();
            thread::spawn(move || (assign(&process, name), name))
        });
        let ids = threads.map(|thread| thread.join().unwrap());
        let third = process(&table);
        for (id, name) in ids {
            assert_eq!(name_of(&third, id).as_deref(), Some(name));
            assert_eq!(assign(&third, name), id);
        }
    });

    every_order("the ring comes round under a reader", BOUND, || {
        let table = table(&["db", "cache"]);
        let (old, new) = (process(&table), process(&table));
        let id = assign(&old, "db");
        table.words(layout::TICKET, 1, Access::Write).unwrap()[0].store(
            FIRST + u64::from(SLOTS),
            crate::sync::atomic::Ordering::Relaxed,
        );
        let writer = thread::spawn(move || assign(&new, "cache"));
        let next = FakeId::of_ticket(FIRST + u64::from(SLOTS));
        assert!(name_of(&old, id).is_none_or(|name| name == "db"));
        assert!(name_of(&old, next).is_none_or(|name| name == "cache"));
        assert_eq!(writer.join().unwrap(), next);
        assert_eq!(name_of(&old, id), None);
        assert_eq!(name_of(&old, next).as_deref(), Some("cache"));
    });

    every_order(
        "a counter that went back beside one who assigns",
        BOUND,
        || {
            let table = table(&["db", "cache"]);
            let (old, new) = (process(&table), process(&table));
            let id = assign(&old, "db");
            let writer = thread::spawn(move || assign(&new, "cache"));
            table.words(layout::TICKET, 1, Access::Write).unwrap()[0]
                .store(FIRST, crate::sync::atomic::Ordering::Relaxed);
            let other = writer.join().unwrap();
            assert_eq!(name_of(&old, id).as_deref(), Some("db"));
            assert_eq!(name_of(&old, other).as_deref(), Some("cache"));
        },
    );

    // Wherever it is killed: while it looks up the name, takes a ticket, writes, or updates the indexes.
    every_case(
        "a process that is killed at any access",
        0..90,
        Some(1),
        Arc::new(|accesses| {
            let table = table(&["db"]);
            let [victim, other] = [process(&table), process(&table)];
            let victim = thread::spawn(move || {
                let mut given = None;
                fuse::limit(accesses, || given = Some(assign(&victim, "db")));
                given
            });
            let id = assign(&other, "db");
            assert_eq!(name_of(&other, id).as_deref(), Some("db"));
            for id in victim.join().unwrap().into_iter().chain([id]) {
                assert_eq!(name_of(&other, id).as_deref(), Some("db"));
            }
            assert_eq!(assign(&other, "db"), id);
            for ticket in FIRST..FIRST + 4 {
                let found = name_of(&other, FakeId::of_ticket(ticket));
                assert!(found.is_none_or(|name| name == "db"));
            }
        }),
    );

    every_order("turns", None, || {
        let table = table(&[]);
        let processes = [process(&table), process(&table)];
        let threads = processes
            .map(|process| thread::spawn(move || [process.take_turns(1), process.take_turns(1)]));
        let mut turns = threads.map(|thread| thread.join().unwrap()).concat();
        turns.sort_unstable();
        assert_eq!(turns, [0, 1, 2, 3]);
    });
}

/// A table in which these names will be entered.
fn table(names: &[&'static str]) -> Memory {
    let rounds = [FIRST, FIRST + u64::from(SLOTS)];
    Memory::table(Plan {
        first_ticket: FIRST,
        tickets: rounds
            .into_iter()
            .flat_map(|first| first..first + 4)
            .collect(),
        names: names.to_vec(),
        ..Plan::default()
    })
}

fn assign(process: &NameTable, name: &str) -> FakeId {
    process
        .assign(&HostName::new(name.as_bytes()).unwrap())
        .unwrap()
}

fn name_of(process: &NameTable, id: FakeId) -> Option<String> {
    process.name_of(id).map(|name| name.as_str().to_owned())
}

fn write(table: &Memory, ticket: u64, name: &str) -> Write {
    let slot = FakeId::of_ticket(ticket).slot() as usize;
    let offset = NAMES + slot * NAME_WORDS * WORD;
    let words = table.words(offset, NAME_WORDS, Access::Write).unwrap();
    Entry::new(words)
        .unwrap()
        .write(SEED, ticket, name.as_bytes())
}
