//! The hooks: every interposed libc function, by family.
//!
//! [`table`] joins the families. A new hook is an entry in `mod hooks` of its family's file, and a body below it that
//! takes the program's arguments and returns a [`boundary::Verdict`]. A new family is also listed here and in [`table`].
//! Two families have no `mod hooks`: `legacy` has its entries at the end of its file, [`lookup`] its own macro. The other
//! files without entries are parts that several bodies share.

pub mod boundary;
mod brief;
pub mod table;

mod asleep;
pub mod attempt;
mod connect;
mod datagram;
mod decide;
mod driver;
mod earlier;
mod epoll;
mod fd;
mod given;
#[cfg(target_env = "gnu")]
mod legacy;
mod link_map;
pub mod lookup;
mod namespace;
mod orphan;
mod owner;
pub mod peer;
mod recent_connects;
mod resolve;
mod send;
mod signals;
pub mod sleep;
mod sockopt;
mod symbols;
mod tunnel;
