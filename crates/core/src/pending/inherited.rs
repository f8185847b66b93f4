//! Pending connects in a child that was forked meanwhile.
//!
//! The parent goes on and finishes them; no thread of ours runs in the child. The child's fds still refer to the
//! placeholder, which wakes when the parent is done and then holds the parent's status. A program that waited for a
//! connect asks for SO_ERROR next, calls connect again, or makes the socket blocking: if the parent is done by then, the
//! child puts the socket back under its fds, too. A child that asks nothing gets an error: EPIPE when it writes, and an
//! end of file when it reads; nothing hangs.

use super::placeholder::{parent_status, ParentStatus};
use super::state::Pending;
use crate::dial::error_socket;
use crate::errno::Errno;
use crate::sys::{self, Fd};

impl Pending {
    /// What the parent has published of an inherited connect; once it ended, its socket is back at its fds.
    /// `None`: not inherited. `Some(None)`: still pending.
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
            // Nobody finished it: what is half made must not look like a connection.
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
