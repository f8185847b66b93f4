//! How the subcommands of `tailchain` talk to people, and whether a proxy answers.

pub mod names;
pub mod probe;
pub mod report;
