//! The end of a pending connect: its socket goes back under the program's fds, with an error if there is one.

use super::deferred_errors::DeferredError;
use super::placeholder::WakeEnd;
use super::state::Pending;
use super::table::Entry;
use crate::dial::{error_socket, replacement};
use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sys::{self, Fd};
use std::sync::Arc;

/// What we have of a socket at the end of its connect. To be given up by then: with a duplicate of ours open, the
/// program's close(2) would neither end the connection nor free the port.
pub(super) struct Ours {
    socket: Arc<RegisteredFd>,
    /// The socket that the tunnel was made on instead.
    replacement: Option<RegisteredFd>,
}

impl Ours {
    pub fn new(socket: Arc<RegisteredFd>, replacement: Option<RegisteredFd>) -> Ours {
        Ours {
            socket,
            replacement,
        }
    }

    /// The one that the program gets.
    pub fn fd(&self) -> Fd {
        self.replacement.as_ref().unwrap_or(&self.socket).fd()
    }
}

impl Pending {
    /// The socket goes back under its fds, wherever the program still has the placeholder. What is left to
    /// watch afterwards, if any: somebody who sleeps on the placeholder for reading.
    ///
    /// `ours` is closed before anybody is woken, and before the table is free: a close(2) of the program waits for
    /// them, and so is the last one of the socket.
    pub(super) fn put_back(
        &self,
        id: u64,
        ours: Ours,
        result: Result<(), Errno>,
    ) -> Option<(Arc<WakeEnd>, Fd)> {
        let (wake_end, forked, back, word) = {
            let mut table = self.table.lock();
            let entry = table.remove(id)?;
            let socket = ours.fd();
            let mut back = None;
            for fd in entry.open_fds() {
                if sys::file_id(fd) != Ok(entry.placeholder) {
                    // Closed behind our back, and perhaps somebody else's by now.
                    continue;
                }
                if back.is_none() {
                    let _ = sys::set_nonblocking(socket, !entry.blocking);
                }
                self.install_at(socket, fd);
                back = Some(fd);
            }
            // A child has the program's socket alone: a fresh one in its place is not for the child.
            let word = match result {
                Ok(()) if ours.replacement.is_some() => libc::ECONNABORTED,
                _ => result.err().map_or(0, Errno::raw),
            };
            let Entry {
                wake_end,
                forked,
                socket,
                ..
            } = entry;
            drop((ours, socket));
            self.recount(&table);
            (wake_end, forked, back, word)
        };
        self.settled.advance();
        // In this order: a child that is woken asks at once.
        if forked {
            wake_end.publish(word);
        }
        wake_end.wake_writers();
        if wake_end.peer_closed() {
            return None;
        }
        if !forked {
            // One that was made by clone(2) without CLONE_VM, if it is not somebody who sleeps here.
            wake_end.publish(word);
        }
        back.map(|fd| (wake_end, fd))
    }

    /// The socket under an fd of the program. Where that fails the placeholder stays there, and must not pass for a
    /// connection.
    pub(super) fn install_at(&self, socket: Fd, fd: Fd) {
        if self.registrations.exchange(socket, fd).is_err() {
            if let Some(cookie) = sys::cookie(fd) {
                self.deferred.set(cookie, Errno::ECONNABORTED.into());
            }
        }
    }

    /// A connect whose caller made the tunnel on its socket in place, in a process of one thread: `replacement`
    /// takes the place of the socket under all its fds.
    pub fn replace_socket(&self, fd: Fd, replacement: &RegisteredFd) {
        for fd in self.fds_of(fd) {
            self.install_at(replacement.fd(), fd);
        }
    }

    /// A connect ended in an error that its program has yet to learn: put the error on the socket.
    pub fn leave_error(&self, socket: Fd, error: DeferredError) {
        let refused = error_socket::make(socket);
        if !refused || error.errno != Errno::ECONNREFUSED {
            if let Some(cookie) = sys::cookie(socket) {
                self.deferred.set(cookie, error);
            }
        }
    }

    /// What the program has set on its socket, for the one that takes its place.
    pub(super) fn copy_options(&self, from: Fd, to: Fd) {
        let _ = self
            .own_fds
            .unforked(|| replacement::copy_options(from, to));
    }

    /// Nobody has the placeholder of this entry any more.
    pub(super) fn abandoned(&self, id: u64) {
        {
            let mut table = self.table.lock();
            table.remove(id);
            self.recount(&table);
        }
        self.settled.advance();
    }
}
