//! What the subcommands of `tailchain` share: output for users, and probes of a proxy and of tailscaled's resolver.

pub mod names;
pub mod probe;
pub mod report;
