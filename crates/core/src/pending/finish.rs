//! The end of a pending connect: the socket is put back under the program's fds, with an error if it failed.

use super::deferred_errors::DeferredError;
use super::placeholder::WakeEnd;
use super::state::Pending;
use super::table::Entry;
use crate::dial::{error_socket, replacement};
use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sys::{self, Fd, SignalsBlocked};
use std::sync::Arc;

/// The library's own references to a socket at the end of its connect. They must be closed by then: while one is open,
/// the program's close(2) neither ends the connection nor frees the port.
pub(super) struct OwnRefs {
    socket: Arc<RegisteredFd>,
    /// The socket that the tunnel was established on instead of the program's.
    replacement: Option<RegisteredFd>,
}

impl OwnRefs {
    pub fn new(socket: Arc<RegisteredFd>, replacement: Option<RegisteredFd>) -> OwnRefs {
        OwnRefs {
            socket,
            replacement,
        }
    }

    /// The socket that the program gets.
    pub fn fd(&self) -> Fd {
        self.replacement.as_ref().unwrap_or(&self.socket).fd()
    }

    fn close(self, signals: &SignalsBlocked) {
        RegisteredFd::close_last(self.socket, signals);
        if let Some(replacement) = self.replacement {
            replacement.close(signals);
        }
    }
}

impl Pending {
    /// Puts the socket back under each fd that still refers to the placeholder. Returns the wake end to watch if a
    /// thread may still sleep on the placeholder for reading.
    ///
    /// `refs` is closed before any thread is woken and before the table is unlocked. A close(2) of the program waits
    /// for that lock, so it closes the last reference to the socket.
    pub(super) fn put_back(
        &self,
        signals: &SignalsBlocked,
        id: u64,
        refs: OwnRefs,
        result: Result<(), Errno>,
    ) -> Option<(Arc<WakeEnd>, Fd)> {
        let (wake_end, forked, back, status) = {
            let mut table = self.table.lock_within(signals);
            let entry = table.remove(id)?;
            let socket = refs.fd();
            let mut back = None;
            for fd in entry.open_fds() {
                if sys::file_id(fd) != Ok(entry.placeholder) {
                    // Closed without our hooks; another file may have the fd by now.
                    continue;
                }
                // During the dial it does not block.
                if back.is_none() && (entry.blocking || refs.replacement.is_some()) {
                    let _ = sys::set_nonblocking(socket, !entry.blocking);
                }
                self.install_at(socket, fd);
                back = Some(fd);
            }
            // A child has only the program's own socket; it cannot use a replacement.
            let status = match result {
                Ok(()) if refs.replacement.is_some() => libc::ECONNABORTED,
                _ => result.err().map_or(0, Errno::raw),
            };
            let Entry {
                wake_end,
                forked,
                socket,
                ..
            } = entry;
            RegisteredFd::close_last(socket, signals);
            refs.close(signals);
            self.recount(&table);
            (wake_end, forked, back, status)
        };
        self.settled.advance();
        // Published before the wake-up, since a woken child asks at once.
        if forked {
            wake_end.publish(status);
        }
        wake_end.wake_writers();
        if wake_end.peer_closed() {
            WakeEnd::close_last(wake_end, signals);
            return None;
        }
        if !forked {
            // The app end is still open: in a sleeping thread, or in a child of clone(2) without CLONE_VM.
            wake_end.publish(status);
        }
        back.map(|fd| (wake_end, fd))
    }

    /// Installs the socket under an fd of the program. If that fails, the placeholder stays there and must not pass for
    /// a connection.
    pub(super) fn install_at(&self, socket: Fd, fd: Fd) {
        if self.registrations.swap_fd(socket, fd).is_err() {
            self.defer(fd, Errno::ECONNABORTED.into());
        }
    }

    /// For a connect that its caller drove in place, in a single-threaded process: installs `replacement` under all fds
    /// of the socket.
    pub fn replace_socket(&self, fd: Fd, replacement: &RegisteredFd) {
        for fd in self.fds_of(fd) {
            self.install_at(replacement.fd(), fd);
        }
    }

    /// Leaves the error of a failed connect on the socket, where the program will ask for it.
    pub fn leave_error(&self, socket: Fd, error: DeferredError) {
        let refused = error_socket::make(socket);
        if !refused || error.errno != Errno::ECONNREFUSED {
            self.defer(socket, error);
        }
    }

    pub(super) fn defer(&self, socket: Fd, error: DeferredError) {
        if let Some(cookie) = sys::cookie(socket) {
            self.deferred.set(cookie, error);
        }
    }

    /// Copies the options that the program has set on its socket to the replacement.
    pub(super) fn copy_options(&self, from: Fd, to: Fd) {
        let _ = self
            .own_fds
            .unforked(|| replacement::copy_options(from, to));
    }

    /// The program has closed the last fd of this entry's placeholder.
    pub(super) fn abandoned(&self, signals: &SignalsBlocked, id: u64) {
        {
            let mut table = self.table.lock_within(signals);
            table.remove(id);
            self.recount(&table);
        }
        self.settled.advance();
    }
}
