//! The hooks: every libc function that is interposed, by family.
//!
//! [`table`] joins the families. A new hook is an entry in `mod hooks` of its family's file, and a body below it, which
//! gets the program's arguments and gives a [`boundary::Verdict`].

pub mod boundary;
pub mod table;

mod asleep;
pub mod attempt;
mod connect;
mod datagram;
mod epoll;
mod fd;
mod given;
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
