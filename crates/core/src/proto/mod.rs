//! What is said to proxies: a state machine that never touches a socket.
//!
//! | file | what |
//! |---|---|
//! | `tunnel` | the machine a driver turns: hop after hop until the target is reached |
//! | `talk` | what the machine asks of a protocol |
//! | `socks5`, `socks4`, `http` | one protocol each: what to send, where a reply ends, what it means |
//! | `failure` | why a tunnel failed: the words, the errno, who is to blame |
//!
//! To add a protocol: a file beside `socks4`, a row in `talk`, its refusals in `failure`.

#![forbid(unsafe_code)]

pub mod failure;

mod base64;
mod http;
mod socks4;
mod socks5;
mod talk;
mod tunnel;

#[cfg(test)]
mod tests;

pub use failure::{Failure, FailureKind};
pub use tunnel::{Step, Tunnel};
