//! Inherited connects: connects that were pending when the process was forked.
//!
//! The parent completes them; no helper runs in the child. The child's fds still refer to the placeholder, which
//! becomes writable when the parent is done and then carries the parent's status. A program that has waited for a
//! connect next asks for SO_ERROR, calls connect again, or makes the socket blocking. If the parent is done by then,
//! the child puts the socket back under its fds too. A child that makes none of these calls gets an error instead of a
//! hang: EPIPE on write, end-of-file on read.
//!
//! If the parent ended or executed another program before it was done, the connect is an orphan: the first child that
//! asks dials again, on the same socket, as for a connect of its own ([`Pending::begin`]). For the others the connect has
//! failed, and they get sockets of their own, since the first one's tunnel is being made on the socket they shared.

use super::deferred_errors::DeferredError;
use super::placeholder::{self, parent_status, ParentStatus};
use super::state::Pending;
use super::table::InheritedConnect;
use crate::dial::replacement;
use crate::errno::Errno;
use crate::sync::atomic::Ordering;
use crate::sys::{self, Fd, NofileGuard, SignalsBlocked};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long shutdown(2) in a child waits for the parent, which may be stopped.
const ABORTED_WITHIN: Duration = Duration::from_secs(1);

/// What an fd has of a connect that was pending when this process was forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherited {
    /// Nothing, or nothing any more: the socket is back under its fds, with a deferred error if the connect failed.
    Nothing,
    /// The parent is dialling.
    Dialling,
    /// The parent is gone, and this process is to dial this address again: [`Pending::begin`], or else
    /// [`Pending::end_orphan`].
    Orphan(SocketAddr),
}

impl Pending {
    /// What became of the inherited connect of `fd`. If it has ended, the socket is put back under its fds first.
    pub fn poll_inherited(&'static self, fd: Fd) -> Inherited {
        if !self.any_inherited.load(Ordering::Acquire) {
            return Inherited::Nothing;
        }
        let Some(mut table) = self.open() else {
            return Inherited::Nothing;
        };
        let Some(inherited) = table.inherited_of(fd) else {
            return Inherited::Nothing;
        };
        let status = parent_status(fd);
        if status == ParentStatus::Dialling {
            return Inherited::Dialling;
        }
        if status == ParentStatus::Gone {
            inherited.orphaned = inherited.orphaned || placeholder::claim(fd);
            if let (true, Some(dialled)) = (inherited.orphaned, inherited.dialled) {
                return Inherited::Orphan(dialled);
            }
        }
        if let Some(inherited) = table.take_inherited(fd) {
            self.recount(&table);
            match status {
                ParentStatus::Ended(Ok(())) => self.put_back_inherited(&inherited),
                ParentStatus::Ended(Err(errno)) if errno != Errno::ECONNABORTED => {
                    let by_program = inherited.aborted && errno == Errno::ECONNRESET;
                    self.defer(inherited.socket.fd(), DeferredError { errno, by_program });
                    self.put_back_inherited(&inherited);
                }
                ParentStatus::Gone if !inherited.orphaned => self.fail_with_new_socket(inherited),
                _ => self.fail_inherited(&inherited, Errno::ECONNABORTED.into()),
            }
        }
        Inherited::Nothing
    }

    /// Ends an orphan that this process does not dial again.
    pub fn end_orphan(&'static self, fd: Fd, error: DeferredError) {
        if let Some(mut table) = self.open() {
            if let Some(inherited) = table.take_inherited(fd) {
                self.recount(&table);
                self.fail_inherited(&inherited, error);
            }
        }
    }

    /// shutdown(2) in a child ends the parent's connect, since they share the socket. Returns whether there was one. The
    /// parent's helper carries it out; where the parent's thread drives the dial itself, nobody does.
    pub(super) fn abort_inherited(&'static self, fd: Fd) -> bool {
        let reset = DeferredError {
            errno: Errno::ECONNRESET,
            by_program: true,
        };
        match self.poll_inherited(fd) {
            Inherited::Nothing => return false,
            Inherited::Orphan(_) => {
                self.end_orphan(fd, reset);
                return true;
            }
            Inherited::Dialling => {}
        }
        let has_helper = {
            let mut table = self.open();
            let Some(inherited) = table.as_mut().and_then(|table| table.inherited_of(fd)) else {
                return false;
            };
            inherited.aborted = true;
            // Of the program, nobody who waits for the placeholder sees it: it is neither readable nor writable yet.
            let _ = sys::shutdown(fd, libc::SHUT_WR);
            inherited.has_helper
        };
        if has_helper {
            let _ = sys::poll_one(fd, libc::POLLOUT, Some(ABORTED_WITHIN));
            if self.poll_inherited(fd) == Inherited::Nothing {
                // The parent may have been faster, and the socket is connected.
                return sys::peer_address(fd).is_err();
            }
        }
        true
    }

    fn put_back_inherited(&self, inherited: &InheritedConnect) {
        if inherited.changed {
            let _ = sys::set_nonblocking(inherited.socket.fd(), !inherited.blocking);
        }
        self.install_inherited(inherited);
    }

    /// A half-established tunnel must not look like a connection.
    pub(super) fn fail_inherited(&self, inherited: &InheritedConnect, error: DeferredError) {
        let socket = inherited.socket.fd();
        self.leave_error(socket, error);
        let _ = sys::set_nonblocking(socket, !inherited.blocking);
        self.install_inherited(inherited);
    }

    fn install_inherited(&self, inherited: &InheritedConnect) {
        for fd in inherited.open_fds() {
            self.install_at(inherited.socket.fd(), fd);
        }
    }

    /// Another child dials again on the socket. If this one can have no other, the placeholder stays, which gives
    /// EPIPE.
    fn fail_with_new_socket(&'static self, mut inherited: InheritedConnect) {
        let shared = inherited.socket.fd();
        let limit = NofileGuard::new();
        let made = self.own_fds.unforked(|| {
            let family = sys::get_option(shared, libc::SOL_SOCKET, libc::SO_DOMAIN)?;
            replacement::new_like(shared, family)
        });
        if let Ok(socket) = made {
            limit.raise();
            inherited.socket = Arc::new(
                self.own_fds
                    .adopt(&SignalsBlocked::new(), limit.move_high(socket)),
            );
            limit.restore();
            self.fail_inherited(&inherited, Errno::ECONNABORTED.into());
        }
    }
}
