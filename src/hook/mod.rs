//! The hooks: every libc function that is interposed, by family.
//!
//! The table is [`table`]; a new hook is one entry there and a body in the file of its family. A body gets the
//! program's arguments and gives a [`boundary::Verdict`].

pub mod boundary;
pub mod table;

mod attempt;
mod connect;
mod datagram;
mod epoll;
mod fd;
pub mod legacy;
#[cfg(target_env = "gnu")]
pub mod lookup;
mod namespace;
pub mod peer;
mod resolve;
mod send;
mod signals;
pub mod sleep;
mod sockopt;
#[cfg(target_env = "gnu")]
mod symbols;
mod waited;
