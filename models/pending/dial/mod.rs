//! The part of `dial` that the table and the helper use.

pub mod driver;
#[path = "../../../crates/core/src/dial/error_socket.rs"]
pub mod error_socket;
pub mod replacement;
