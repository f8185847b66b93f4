//! Dialling: from a target to a socket with an established tunnel.
//!
//! [`Dial`] is one connection as a state machine without I/O: which proxies to use, what to send and read, when to wait,
//! retry or give up. A [`driver`] carries out its [`Action`]s on a socket. [`blocking`] waits for one driver on the
//! caller's thread; a [`poller`] waits for many, on the helper thread of `pending`. None of them knows of hooks or globals,
//! so the supervisor uses them on sockets that it borrows.

mod machine;

pub mod blocking;
pub mod driver;
pub mod endpoint;
pub mod error_socket;
pub mod poller;
pub mod replacement;

pub use machine::{Action, Attempt, AttemptEnd, Dial, Report};
