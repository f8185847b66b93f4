//! The hooks: every libc function that is interposed, by family.
//!
//! The table is [`table`]; a new hook is one entry there and a body in the file of its family. A body gets the
//! program's arguments and gives a [`boundary::Verdict`].

pub mod boundary;
mod table;

mod asleep;
pub mod attempt;
mod connect;
mod datagram;
mod epoll;
mod fd;
mod given;
#[cfg(target_env = "gnu")]
mod glibc;
#[cfg(target_env = "gnu")]
mod legacy;
mod link_map;
pub mod lookup;
mod namespace;
pub mod peer;
mod resolve;
mod send;
mod signals;
pub mod sleep;
mod sockopt;
mod symbols;
mod waited;

/// The names of everything that is interposed, by table.
pub const NAMES: &[&[&str]] = &[
    table::NAMES,
    lookup::NAMES,
    #[cfg(target_env = "gnu")]
    glibc::NAMES,
    #[cfg(target_env = "gnu")]
    legacy::NAMES,
];

/// Find all real functions that a new program may call.
pub fn bind_all() {
    table::bind_all();
    #[cfg(target_env = "gnu")]
    glibc::bind_all();
}
