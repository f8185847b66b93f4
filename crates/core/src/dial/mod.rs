//! Dialling: from a target to a socket on which the tunnel stands.
//!
//! [`Dial`] is the whole way of one connection as a state machine without I/O: which proxies, what to send,
//! what to read, when to wait, when to try again, when to give up. A driver carries out its [`Action`]s on
//! a socket: [`blocking`] on the caller's thread, `pending` for many at once on the helper thread. Neither
//! knows of hooks or globals, so a supervisor can use them on a socket that it borrowed.

mod machine;

pub mod blocking;
pub mod driver;
pub mod endpoint;
pub mod error_socket;
pub mod replacement;

pub use machine::{Action, Attempt, AttemptEnd, Dial, Outcome, Report};
