//! The state of all pending connects of a process: its locks and counters, and the hooks' queries.

use super::deferred_errors::{DeferredError, DeferredErrors};
use super::registrations::Registrations;
use super::table::PendingTable;
use crate::errno::Errno;
use crate::lock::{Generation, Guard, Lock};
use crate::own_fds::{OwnFds, RegisteredFd};
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use crate::sys::{self, Fd, WipedOnFork};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All pending connects of a process.
pub struct Pending {
    pub registrations: Registrations,
    pub(super) deferred: DeferredErrors,
    pub(super) own_fds: OwnFds,
    pub(super) table: Lock<PendingTable>,
    /// Advances whenever an entry ends.
    pub(super) settled: Generation,
    /// How many fds of the program are placeholders. At 0 no hook has anything to do here.
    pub(super) busy: AtomicUsize,
    /// The process whose fds the table describes.
    pub(super) owner: AtomicI32,
    /// Tells a child that it has a copy of this memory: see `ownership`.
    pub(super) birth: WipedOnFork,
    /// Whether the fork handlers are installed.
    pub(super) guarded: AtomicBool,
    /// TCP fds that were ever the source or the result of a dup: where to look for further fds of a socket.
    pub(super) dups: Lock<BTreeSet<Fd>>,
    pub(super) any_dups: AtomicBool,
    /// Whether this process has ever inherited a connect.
    pub(super) any_inherited: AtomicBool,
}

/// See [`Pending::lock_fd`].
pub struct FdLock<'a>(pub(super) Guard<'a, PendingTable>);

impl FdLock<'_> {
    /// As [`Pending::blocks`].
    pub fn blocks(&mut self, fd: Fd) -> Option<bool> {
        if let Some(inherited) = self.0.inherited_of(fd) {
            return Some(inherited.blocking);
        }
        Some(self.0.entry_of(fd)?.blocking)
    }

    /// Sets whether the socket is to block once it is connected. Until then its placeholder stays non-blocking: a
    /// thread that slept in a read on it would get the placeholder's end-of-file, not the connection's data.
    pub fn set_blocking(&mut self, fd: Fd, blocking: bool) {
        if let Some(inherited) = self.0.inherited_of(fd) {
            inherited.blocking = blocking;
            inherited.changed = true;
        } else if let Some(entry) = self.0.entry_of(fd) {
            entry.blocking = blocking;
        }
    }
}

impl Default for Pending {
    fn default() -> Pending {
        Pending::new()
    }
}

impl Pending {
    pub const fn new() -> Pending {
        Pending {
            registrations: Registrations::new(),
            deferred: DeferredErrors::new(),
            own_fds: OwnFds::new(),
            table: Lock::new(PendingTable::new()),
            settled: Generation::new(),
            busy: AtomicUsize::new(0),
            owner: AtomicI32::new(0),
            birth: WipedOnFork::new(),
            guarded: AtomicBool::new(false),
            dups: Lock::new(BTreeSet::new()),
            any_dups: AtomicBool::new(false),
            any_inherited: AtomicBool::new(false),
        }
    }

    /// How many connects are pending.
    pub fn count(&self) -> usize {
        self.busy.load(Ordering::Acquire)
    }

    /// Locks the table, if it has entries and belongs to this process: after vfork(2) it does not.
    pub(super) fn open(&'static self) -> Option<Guard<'static, PendingTable>> {
        let mine = self.count() > 0 && self.is_owner();
        mine.then(|| self.table.lock())
    }

    /// Locks a pending fd: until the lock is dropped, the file under it is not swapped. `None`: nothing is pending on
    /// it.
    pub fn lock_fd(&'static self, fd: Fd) -> Option<FdLock<'static>> {
        let mut table = self.open()?;
        let has = table.is_pending(fd) || table.inherited_of(fd).is_some();
        has.then_some(FdLock(table))
    }

    pub(super) fn recount(&self, table: &PendingTable) {
        let orphaned: usize = table
            .inherited
            .iter()
            .map(|inherited| inherited.fds.len())
            .sum();
        self.busy
            .store(table.fds.len() + orphaned, Ordering::Release);
    }

    pub(super) fn lock(&self) -> Guard<'_, PendingTable> {
        self.table.lock()
    }

    pub(super) fn raw_locks(&self) -> (&Lock<PendingTable>, &Lock<BTreeSet<Fd>>) {
        (&self.table, &self.dups)
    }

    /// Whether the calling thread runs between this library's fork handlers, in a handler of another library. It holds
    /// the lock, and must not wait for a thread that needs it.
    pub(super) fn is_forking(&self) -> bool {
        self.table.is_seized_here()
    }

    /// Whether close hooks have work: the library has own fds to protect, or state that depends on which fds are open.
    pub fn needs_close_tracking(&self) -> bool {
        self.count() > 0 || !self.own_fds.is_empty()
    }

    /// Whether hooks have work: a connect is pending, or a deferred error was not taken yet.
    pub fn needs_hooks(&self) -> bool {
        self.needs_close_tracking() || !self.deferred.is_empty()
    }

    /// Takes the deferred error of the socket `fd`. Cheap when there are no deferred errors.
    pub fn take_deferred_errno(&'static self, fd: Fd) -> Option<Errno> {
        self.deferred_error(fd).map(|error| error.errno)
    }

    /// As [`Pending::take_deferred_errno`], with the cause.
    pub fn deferred_error(&'static self, fd: Fd) -> Option<DeferredError> {
        match self.has_deferred() {
            true => self.deferred.take(sys::cookie(fd)?),
            false => None,
        }
    }

    /// Whether there are deferred errors of this process: after vfork(2) they belong to the parent.
    pub(super) fn has_deferred(&'static self) -> bool {
        !self.deferred.is_empty() && self.is_owner()
    }

    /// The program's socket, while a connect is pending on `fd`.
    pub fn socket_of(&'static self, fd: Fd) -> Option<Arc<RegisteredFd>> {
        let mut table = self.open()?;
        if let Some(inherited) = table.inherited_of(fd) {
            return Some(inherited.socket.clone());
        }
        Some(table.entry_of(fd)?.socket.clone())
    }

    /// The own fds, for code that creates some.
    pub fn own_fds(&'static self) -> &'static OwnFds {
        &self.own_fds
    }

    /// Whether `fd` is one of the own fds, which the program must not close.
    pub fn is_internal(&'static self, fd: Fd) -> bool {
        self.detect_fork();
        self.own_fds.has(fd) && self.is_owner()
    }

    /// The own fds in a range, in ascending order.
    pub fn internal_between(&'static self, first: u32, last: u32) -> Vec<Fd> {
        match self.is_owner() {
            true => self.own_fds.between(first, last),
            false => Vec::new(),
        }
    }

    /// Whether the caller is the process whose fds the table describes: after vfork(2) it is not.
    pub fn is_owner(&'static self) -> bool {
        self.detect_fork();
        self.owner.load(Ordering::Acquire) == sys::pid()
    }

    /// Whether the calling thread drives the connect on this fd itself, and so runs in a signal handler now.
    pub fn is_driven_here(&'static self, fd: Fd) -> bool {
        let mut table = self.open();
        let entry = table.as_mut().and_then(|table| table.entry_of(fd));
        entry.is_some_and(|entry| entry.is_driven_here())
    }

    /// Whether the socket that is pending on `fd` is blocking from the program's view. `None`: nothing is pending on
    /// it.
    pub fn blocks(&'static self, fd: Fd) -> Option<bool> {
        self.lock_fd(fd)?.blocks(fd)
    }

    /// Whether the connect that is pending on `fd` is one that this process dials again. `None`: nothing is pending on
    /// it.
    pub fn is_redialled(&'static self, fd: Fd) -> Option<bool> {
        let mut table = self.open()?;
        if table.inherited_of(fd).is_some() {
            return Some(false);
        }
        Some(table.entry_of(fd)?.redialled)
    }

    /// Whether this process has ever had a helper.
    pub fn had_helper(&self) -> bool {
        self.own_fds.ever_had_any()
    }

    /// All fds of the socket that `fd` refers to, as far as they were created through libc.
    pub(super) fn fds_of(&self, fd: Fd) -> Vec<Fd> {
        let mut fds = vec![fd];
        if self.any_dups.load(Ordering::Acquire) {
            if let Some(cookie) = sys::cookie(fd) {
                let mut dups = self.dups.lock();
                dups.retain(|&other| match sys::cookie(other) {
                    Some(theirs) => {
                        if theirs == cookie && other != fd {
                            fds.push(other);
                        }
                        true
                    }
                    None => false,
                });
            }
        }
        fds
    }
}
