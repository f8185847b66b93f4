//! The pending connects of this process.

use crate::counters::{count, Counter};
use crate::state::state;
use std::net::SocketAddr;
use tailchain_core::errno::Errno;
use tailchain_core::pending::{ConnectObserver, Pending};
use tailchain_core::sys::Fd;

pub static PENDING: Pending = Pending::new();

/// Counts the tunnels, and records what the program dialled on each socket.
pub struct ConnectStats;

impl ConnectObserver for ConnectStats {
    fn opened(&self, socket: Fd, dialled: SocketAddr) {
        let _ = state().remember_peer(socket, dialled);
    }

    fn ended(&self, _: Fd, _: SocketAddr, result: Result<(), Errno>) {
        count(match result {
            Ok(()) => Counter::Proxied,
            Err(_) => Counter::Failed,
        });
    }
}
