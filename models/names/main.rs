//! The table of names, in every order that its accesses allow, with the reorderings of a weakly ordered memory.
//!
//! The checked files are those that ship; below them, the mapping is the model's (`name_table::memory`) and the atomics
//! are loom's; threads stand for processes.

#![allow(dead_code)]
// A second instance of the entry, with a constant check word: `name_table::seqlock`.
#![allow(clippy::duplicate_mod)]

#[path = "../check.rs"]
mod check;
mod entries;
#[path = "../../crates/core/src/fake_ip.rs"]
mod fake_ip;
#[path = "../../crates/core/src/host.rs"]
mod host;
mod name_table;
mod peers;
mod sync;
mod tables;

fn main() {
    entries::check();
    peers::check();
    tables::check();
}
