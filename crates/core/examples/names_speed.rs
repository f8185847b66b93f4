//! How long the first and a repeated lookup of a name take, with 1, 1,000 and 100,000 names in the table.
//! `cargo run --release --example names_speed [DIRECTORY]`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;
use tailchain_core::host::HostName;
use tailchain_core::name_table::NameTable;

fn main() {
    let directory = std::env::args_os().nth(1);
    let start = Instant::now();
    let names = NameTable::open(&|_| directory.clone());
    println!("open: {:?}, in {}", start.elapsed(), names.place());
    for count in [1, 1_000, 100_000] {
        let all: Vec<_> = (0..count)
            .map(|n| {
                HostName::new(format!("host-{n}.of-{count}.tail1234.ts.net").as_bytes()).unwrap()
            })
            .collect();
        let mut ids = Vec::new();
        each(count, 1, "first assign", || {
            ids = all.iter().map(|n| names.assign(n).unwrap()).collect()
        });
        let rounds = 300_000 / count;
        each(count, rounds, "assign again", || {
            all.iter().for_each(|n| {
                let _ = names.assign(n);
            })
        });
        let mut buffer = [0; 255];
        each(count, rounds, "read_name", || {
            for &id in &ids {
                names.read_name(id, &mut buffer).expect("known");
            }
        });
    }
}

fn each(count: usize, rounds: usize, what: &str, mut work: impl FnMut()) {
    let start = Instant::now();
    (0..rounds).for_each(|_| work());
    let each = start.elapsed().as_nanos() / (count * rounds) as u128;
    println!("{count:>7} names: {what}: {each} ns");
}
