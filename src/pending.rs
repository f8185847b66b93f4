//! The pending connects of this process.

use crate::counters::{count, Counter};
use crate::hook::peer;
use crate::state::state;
use std::net::SocketAddr;
use tailchain_core::errno::Errno;
use tailchain_core::pending::{Ends, Pending};
use tailchain_core::sys::Fd;

pub static PENDING: Pending = Pending::new();

/// Keeps the accounts of how pending connects ended.
pub struct Accounts;

impl Ends for Accounts {
    fn ended(&self, socket: Fd, dialled: SocketAddr, result: Result<(), Errno>) {
        match result {
            Ok(()) => {
                count(Counter::Proxied);
                peer::remember(state(), socket, dialled);
            }
            Err(_) => count(Counter::Failed),
        }
    }
}
