//! The code that the preload library, the supervisor and the commands share. Nothing here defines a libc symbol.
//!
//! Dependencies run one way. The pure core (`config`, `route`, `chain`, `proto`, `dns`, `local_api`, `fake_ip`, `host`,
//! `errno`) does no I/O. The I/O layer (all other modules) uses the core and libc; ARCHITECTURE.md shows its order. The
//! hooks, in the root package, use both.

pub mod announcement;
pub mod chain;
pub mod config;
pub mod dial;
pub mod dns;
pub mod errno;
pub mod fake_ip;
pub mod host;
pub mod hosts;
pub mod load;
pub mod local_addresses;
pub mod local_api;
pub mod lock;
pub mod log;
pub mod name_table;
pub mod own_fds;
pub mod pending;
mod private_group;
pub mod proto;
pub mod resolutions;
pub mod route;
pub mod router;
pub mod supervised;
mod sync;
pub mod sys;
pub mod trust;
