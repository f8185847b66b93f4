//! The table of pending connects and their helper, in many interleavings of concurrent threads.
//!
//! `pending` and `lock.rs` are the shipped files. Below them is the model's kernel (`sys`), beside them a driver whose
//! tunnel takes a few steps (`dial`). The checker runs random orders from a fixed seed: those of a helper and three
//! threads are too many to try all.

// Parts of the shipped files that the models do not use.
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
