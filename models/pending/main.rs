//! The table of pending connects and their helper, in many orders of what threads do at once.
//!
//! `pending` and `lock.rs` are the shipped files. Below them is a kernel of the model's (`sys`), beside them a driver
//! whose tunnel takes a few steps (`dial`). The checker runs random orders of the same seed each time: those of a
//! helper and three threads are too many for all.

// Of the shipped files, what the models do not use.
#![allow(dead_code, unused_imports)]

mod dial;
#[path = "../../crates/core/src/errno.rs"]
mod errno;
#[path = "../../crates/core/src/lock.rs"]
mod lock;
#[path = "../../crates/core/src/own_fds.rs"]
mod own_fds;
#[path = "../../crates/core/src/pending/mod.rs"]
mod pending;
mod program;
mod scenarios;
mod sync;
mod sys;

fn main() {
    scenarios::check();
}
