//! The part of `dial` that the table and the helper use.

pub mod driver;
#[path = "../../../crates/core/src/dial/error_socket.rs"]
pub mod error_socket;
#[path = "../../../crates/core/src/dial/poller.rs"]
pub mod poller;
pub mod replacement;
