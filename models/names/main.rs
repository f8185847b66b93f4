//! The table of names, in every order that its accesses allow, with the reorderings that a weak memory permits.
//!
//! The files under check are those that ship; beneath them the mapping is the model's (`name_table::memory`), and
//! the atomics are loom's, of threads that stand for processes.

#![allow(dead_code)]
// The entry is here once more, made blind: `name_table::seqlock`.
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
