//! What the table and the helper need of `dial`.

pub mod driver;
#[path = "../../../crates/core/src/dial/error_socket.rs"]
pub mod error_socket;
pub mod replacement;
