//! What the library and the commands of tailchain have in common, and all that needs no exported symbol.
//!
//! Arrows run one way: the pure core (`config`, `route`, `chain`, `proto`, `dns`, `local_api`, `fake`, `host`,
//! `errno`) knows nothing of the operating system; the I/O layer (`load`, `trust`, `sys`, `log`, `lock`, `hosts`, `local_addresses`, `router`, `dial`,
//! `pending`, `name_table`) uses the core and libc; the hooks, in the root package, use both. Nothing here defines a
//! libc symbol.

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
