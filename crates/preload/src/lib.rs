//! What the commands know about preloading: where the library is, which file a command line will run, and
//! whether that program can take a preloaded library at all.
//!
//! The launcher and `tailchain doctor` share it. The preload library itself uses none of it.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod elf;
pub mod environment;
pub mod image;
pub mod library;
pub mod obstacle;
pub mod program;
