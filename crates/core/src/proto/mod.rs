//! The proxy protocols: a state machine that never touches a socket.
//!
//! | file | what |
//! |---|---|
//! | `tunnel` | the state machine that a driver advances: hop after hop until the target is reached |
//! | `handshake` | the handshake with one hop: dispatches to its protocol |
//! | `socks5`, `socks4`, `http` | one protocol each: what to send, where a reply ends, what it means |
//! | `request` | what a protocol gets, and what it returns |
//! | `failure` | why a tunnel failed: text, errno, the proxy at fault |
//!
//! To add a protocol: a file beside `socks4`, a variant in `handshake`, its failures in `failure`; its keyword
//! is in `config::proxy_parts`, its kind in `config::proxy`.

#![forbid(unsafe_code)]

pub mod failure;

pub(crate) mod base64;
mod handshake;
mod http;
mod request;
mod socks4;
mod socks5;
mod tunnel;

#[cfg(test)]
mod tests;

pub use failure::{Failure, FailureKind};
pub use tunnel::{Step, Tunnel};
