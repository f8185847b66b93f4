//! Many names, many threads, many processes, some of them killed: an address leads to its name or to none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod names_support;

use names_support::{name, Child, Random, Runtime};
use std::collections::HashSet;
use tailchain_core::fake_ip::{FakeId, SLOTS};
use tailchain_core::name_table::NameTable;

/// Enters random names of `count` and checks every address at once: it leads to its name, or, if `unknown_allowed`, to
/// none.
fn hammer(names: &NameTable, seed: u64, count: u64, unknown_allowed: bool) {
    let mut random = Random(seed);
    for _ in 0..1000 {
        let name = name(&format!("host-{}.tail1234.ts.net", random.below(count)));
        let id = names.assign(&name).expect("the table takes a name");
        match names.name_of(id) {
            Some(found) => assert_eq!(found, name),
            None => assert!(unknown_allowed, "{name} was forgotten"),
        }
    }
}

/// Enters names from 64 threads in each of 8 processes: half of the threads 50 hot names, half `count` names.
fn hammer_from_everywhere(count: u64, unknown_allowed: bool) {
    let runtime = Runtime::new();
    let work = |process: u64| {
        let names = runtime.open();
        std::thread::scope(|scope| {
            for thread in 1..=64 {
                let names = &names;
                let count = if thread % 2 == 0 { 50 } else { count };
                scope.spawn(move || hammer(names, process * 100 + thread, count, unknown_allowed));
            }
        });
    };
    let children: Vec<_> = (0..8).map(|process| Child::run(|| work(process))).collect();
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn a_hundred_thousand_names_all_keep_their_addresses() {
    let runtime = Runtime::new();
    let names = runtime.open();
    let all: Vec<_> = (0..100_000).map(|n| name(&format!("host-{n}"))).collect();
    let ids: Vec<_> = all.iter().map(|name| names.assign(name).unwrap()).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), all.len());
    let other_process = runtime.open();
    for (name, &id) in all.iter().zip(&ids) {
        assert_eq!(other_process.name_of(id).as_ref(), Some(name));
        assert_eq!(names.name_of(id).as_ref(), Some(name));
    }
    for (name, &id) in all.iter().zip(&ids) {
        assert_eq!(other_process.assign(name), Some(id), "{name}");
    }
}

#[test]
fn a_name_in_use_outlives_the_ring_and_one_out_of_use_becomes_unknown() {
    let runtime = Runtime::new();
    let names = runtime.open();
    let (used, unused) = (name("used"), name("unused"));
    let first = names.assign(&used).unwrap();
    let forgotten = names.assign(&unused).unwrap();
    for n in 0..SLOTS + 1000 {
        names.assign(&name(&format!("host-{n}"))).unwrap();
        if n % 1000 == 0 {
            let id = names.assign(&used).unwrap();
            assert_eq!(names.name_of(id).as_ref(), Some(&used));
        }
    }
    assert_eq!(names.name_of(first), None);
    assert_eq!(names.name_of(forgotten), None);
    assert_ne!(names.assign(&unused), Some(forgotten));
}

#[test]
fn names_that_fit_are_known_to_all_threads_of_all_processes() {
    hammer_from_everywhere(20_000, false);
}

#[test]
fn names_that_overrun_the_ring_are_forgotten_but_never_taken_for_others() {
    // A thread may be suspended between its two calls for so long that the ring wraps around: then the name is unknown.
    hammer_from_everywhere(1_000_000, true);
}

#[test]
fn processes_killed_while_they_insert_leave_only_whole_names() {
    let runtime = Runtime::new();
    let names = runtime.open();
    for round in 0..40 {
        // The ring of peers shows its progress: a cookie for each name of each round.
        let cookie = |n: u64| 1 + round * 65_536 + n;
        let any = "10.0.0.1:1".parse().unwrap();
        let child = Child::run(|| {
            // Fewer than the ring holds, so that the parent cannot miss the one that it waits for.
            for n in 0..60_000 {
                names.assign(&name(&format!("host-{round}-{n}.tail1234.ts.net")));
                names.remember_peer(cookie(n), any);
            }
            loop {
                std::thread::park();
            }
        });
        // Let it insert some, then kill it wherever it is.
        while names.peer_of(cookie(200 + round * 7)).is_none() {
            std::thread::yield_now();
        }
        child.kill();
    }
    // One ring of addresses, backwards from the newest.
    let newest = names.assign(&name("the-newest")).unwrap();
    let (mut whole, count) = (0, u64::from(FakeId::COUNT));
    for back in 1..u64::from(SLOTS) {
        let id = FakeId::of_ticket(u64::from(newest.value()) + count - back);
        let mut buffer = [0; 255];
        if let Some(found) = names.read_name(id, &mut buffer) {
            assert!(found.starts_with("host-") && found.ends_with(".tail1234.ts.net"));
            whole += 1;
        }
    }
    assert!(whole >= 40 * 200, "{whole}");
    hammer(&names, 7, 1000, false);
}
