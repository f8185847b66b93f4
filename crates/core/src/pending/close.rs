//! Operations of the program on the fd of a pending connect: close, dup, shutdown, and waiting for the end.

use super::inherited::Inherited;
use super::state::{FdLock, Pending};
use super::table::{Entry, ProgramFd};
use crate::errno::Errno;
use crate::sync::atomic::Ordering;
use crate::sys::{self, Fd};

/// What close(2) of an fd affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// One of the own fds: from the program's view it is not open.
    Internal,
    /// Perhaps the last fd of a pending connect: call [`Pending::release_closed`] after the close.
    LastOfPending,
    Other,
}

impl Pending {
    /// To be called before the program closes this fd.
    pub fn before_close(&'static self, fd: Fd) -> Closing {
        if self.needs_close_tracking() {
            if self.is_internal(fd) {
                return Closing::Internal;
            }
            if self.closing(fd) {
                return Closing::LastOfPending;
            }
        }
        self.closing_failed(fd);
        Closing::Other
    }

    /// dup(2) of `old`, carried out by `real`. The file under `old` is not swapped before the new fd is recorded.
    ///
    /// # Errors
    /// The errno of `real`.
    pub fn duplicate(
        &'static self,
        old: Fd,
        real: impl FnOnce() -> Result<Fd, Errno>,
    ) -> Result<Fd, Errno> {
        let held = self.lock_fd(old);
        let new = real()?;
        self.duplicated(held, old, new);
        Ok(new)
    }

    /// dup2(2) of `old` onto `new`, carried out by `real`, whose arguments were checked: `new` is closed.
    ///
    /// # Errors
    /// EBUSY: `new` is one of the own fds. Otherwise the errno of `real`.
    pub fn duplicate_onto(
        &'static self,
        old: Fd,
        new: Fd,
        real: impl FnOnce() -> Result<Fd, Errno>,
    ) -> Result<Fd, Errno> {
        if self.is_internal(new) {
            return Err(Errno::EBUSY);
        }
        let last = self.closing(new);
        let result = self.duplicate(old, real);
        if last {
            self.release_closed();
        }
        result
    }

    /// Forgets an fd that the program is about to close. This comes first, since another thread may get the fd as soon
    /// as it is closed. The helper notices when no fd refers to the placeholder any more, and aborts the dial. `true`:
    /// it may be the last fd, and [`Pending::release_closed`] must be called after the close.
    ///
    /// Nothing is allocated or freed here (except in a forked child): a signal handler that interrupted malloc(3) may
    /// call close(2).
    fn closing(&'static self, fd: Fd) -> bool {
        let mut last = false;
        if let Some(mut table) = self.open() {
            if let Some(entry) = table.entry_of(fd) {
                last = entry.closed(|closed| closed == fd);
            } else if !table.inherited.is_empty() {
                table.forget_inherited(|closed| closed == fd);
                self.recount(&table);
            }
        }
        // Wakes a thread that waits for this fd.
        self.settled.advance();
        last
    }

    /// As [`Pending::closing`], for all fds of a range.
    pub fn closing_range(&'static self, first: u32, last: u32) -> bool {
        let in_range = |fd: Fd| (first..=last).contains(&(fd as u32));
        let mut any = false;
        if let Some(mut table) = self.open() {
            for entry in table.entries.values_mut() {
                any |= entry.closed(in_range);
            }
            table.forget_inherited(in_range);
            self.recount(&table);
        }
        self.settled.advance();
        any
    }

    /// Forgets the deferred error of an fd that the program is about to close.
    fn closing_failed(&'static self, fd: Fd) {
        if self.has_deferred() && self.fds_of(fd).len() == 1 {
            let _ = self.take_deferred_errno(fd);
        }
    }

    /// To be called after the close if [`Pending::closing`] returned `true`. A socket without any fd of the program is
    /// shut now, as the kernel would: its port is freed, and its peer sees the end. The helper may be about to use its
    /// own fd of the socket, so that fd is replaced by a file on which all its calls fail, until the helper closes it.
    pub fn release_closed(&'static self) {
        let Some(table) = self.open() else {
            return;
        };
        let Some(wake) = table.helper else {
            return;
        };
        for entry in table.entries.values() {
            let is_closed = entry.caller.is_none() && entry.open_fds().next().is_none();
            if is_closed && entry.wake_end.peer_closed() {
                let _ = sys::replace(wake, entry.socket.fd(), true);
            }
        }
    }

    /// shutdown(2) on a connecting socket aborts the dial (the kernel leaves ECONNRESET). Returns whether there was
    /// one. The helper carries it out, since it may be using the socket at this moment.
    pub fn abort(&'static self, fd: Fd) -> bool {
        if self.abort_inherited(fd) {
            return true;
        }
        {
            let Some(mut table) = self.open() else {
                return false;
            };
            if !table.is_pending(fd) {
                return false;
            }
            let Some(&id) = table.fds.get(&fd) else {
                return false;
            };
            let entry = table.entries.get(&id);
            if !entry.is_some_and(Entry::abort_caller) {
                table.aborts.push(id);
                table.call_helper();
            } else if entry.is_some_and(Entry::is_driven_here) {
                return true;
            }
        }
        self.wait_for(fd);
        true
    }

    /// Sleeps until nothing is pending on `fd`.
    pub fn wait_for(&'static self, fd: Fd) {
        if self.is_forking() {
            return;
        }
        while self.poll_inherited(fd) == Inherited::Dialling {
            // A signal handler may have run: check again.
            let _ = sys::poll_one(fd, libc::POLLOUT, None);
        }
        loop {
            let seen = self.settled.now();
            let pending = self.open().is_some_and(|mut table| table.is_pending(fd));
            if !pending {
                return;
            }
            self.settled.wait(seen);
        }
    }

    /// Records that `new` was made a duplicate of `old`, while `old` was locked.
    fn duplicated(&'static self, held: Option<FdLock<'_>>, old: Fd, new: Fd) {
        let is_tcp = sys::is_tcp(new) == Ok(true);
        // Between vfork and exec the fds are not those of the table.
        if held.is_some() || (is_tcp && self.is_owner()) {
            self.dups.lock().extend([old, new]);
            self.any_dups.store(true, Ordering::Release);
        }
        let Some(FdLock(mut table)) = held else {
            return;
        };
        if let Some(entry) = table.entry_of(old) {
            entry.fds.push(ProgramFd::new(new));
            let id = entry.id;
            table.fds.insert(new, id);
        } else if let Some(inherited) = table.inherited_of(old) {
            inherited.fds.push(new);
        }
        self.recount(&table);
    }
}
