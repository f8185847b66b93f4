//! How the subcommands of `tailchain` talk to people, and whether a proxy answers.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod names;
pub mod probe;
pub mod report;
