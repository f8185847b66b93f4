//! Inherited connects: connects that were pending when the process was forked.
//!
//! The parent completes them; no helper runs in the child. The child's fds still refer to the placeholder, which
//! becomes writable when the parent is done and then carries the parent's status. A program that has waited for a
//! connect next asks for SO_ERROR, calls connect again, or makes the socket blocking. If the parent is done by then,
//! the child puts the socket back under its fds too. A child that makes none of these calls gets an error instead of a
//! hang: EPIPE on write, end-of-file on read.

use super::placeholder::{parent_status, ParentStatus};
use super::state::Pending;
use crate::dial::error_socket;
use crate::errno::Errno;
use crate::sys::{self, Fd};

impl Pending {
    /// The parent's result of an inherited connect. If it has ended, the socket is put back under its fds first.
    /// `None`: the fd has no inherited connect. `Some(None)`: still pending.
    pub fn poll_inherited(&'static self, fd: Fd) -> Option<Option<Result<(), Errno>>> {
        let mut table = self.open()?;
        let index = table.inherited_index(fd)?;
        let result = match parent_status(fd) {
            ParentStatus::Dialling => return Some(None),
            ParentStatus::Ended(result) => result,
            ParentStatus::Gone => Err(Errno::ECONNABORTED),
        };
        let inherited = table.inherited.swap_remove(index);
        self.recount(&table);
        let unfinished = result == Err(Errno::ECONNABORTED);
        if unfinished {
            // The parent died first. A half-established tunnel must not look like a connection.
            error_socket::make(inherited.socket.fd());
        }
        if inherited.changed || unfinished {
            let _ = sys::set_nonblocking(inherited.socket.fd(), !inherited.blocking);
        }
        for &fd in &inherited.fds {
            self.install_at(inherited.socket.fd(), fd);
        }
        Some(Some(result))
    }
}
