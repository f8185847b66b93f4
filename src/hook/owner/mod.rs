//! The loaded object that an address belongs to, and whether that is libc.

#[cfg_attr(target_env = "gnu", path = "glibc.rs")]
#[cfg_attr(not(target_env = "gnu"), path = "musl.rs")]
mod loader;

pub use loader::{is_of_libc, of};
