//! The registry of our own long-lived fds in the program's fd table.
//!
//! The program must not close an fd that it did not open, and a forked child must not keep ours, so every fd of ours that
//! outlives a call is registered for as long as it is open.

use crate::errno::Errno;
use crate::lock::Lock;
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use crate::sys::{self, Fd, OwnFd, SignalsBlocked};
use core::mem::ManuallyDrop;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The set of registered fds.
pub struct OwnFds {
    /// The last lock in the lock order: a [`RegisteredFd`] may be dropped while ever_registered other is held.
    fds: Lock<BTreeSet<Fd>>,
    /// The size of `fds`, readable without the lock.
    count: AtomicUsize,
    /// No lower fd is registered. The program's own fds mostly are lower, which spares them the lock.
    lowest: AtomicI32,
    /// Whether an fd was ever registered.
    ever_registered: AtomicBool,
}

/// A registered fd; closed and unregistered on drop.
pub struct RegisteredFd {
    fd: Fd,
    registry: &'static OwnFds,
}

impl Default for OwnFds {
    fn default() -> OwnFds {
        OwnFds::new()
    }
}

impl OwnFds {
    pub const fn new() -> OwnFds {
        OwnFds {
            fds: Lock::new(BTreeSet::new()),
            count: AtomicUsize::new(0),
            lowest: AtomicI32::new(Fd::MAX),
            ever_registered: AtomicBool::new(false),
        }
    }

    /// Registers an open fd.
    pub fn adopt(&'static self, signals: &SignalsBlocked, own: OwnFd) -> RegisteredFd {
        let mut fds = self.fds.lock_within(signals);
        self.insert(&mut fds, own.release())
    }

    /// Opens an fd with `make` and registers it, without a fork in between: the child would keep the fd. `make` must not
    /// take any of our locks.
    pub fn make(
        &'static self,
        make: impl FnOnce() -> Result<OwnFd, Errno>,
    ) -> Result<RegisteredFd, Errno> {
        let mut fds = self.fds.lock();
        let fd = make()?.release();
        Ok(self.insert(&mut fds, fd))
    }

    /// Runs `body`, which opens and closes an fd, without a fork in between. `body` must not take any of our locks.
    pub fn unforked<T>(&self, body: impl FnOnce() -> T) -> T {
        let _guard = self.fds.lock();
        body()
    }

    fn insert(&'static self, fds: &mut BTreeSet<Fd>, fd: Fd) -> RegisteredFd {
        fds.insert(fd);
        self.lowest
            .store(fds.first().copied().unwrap_or(fd), Ordering::Release);
        self.count.store(fds.len(), Ordering::Release);
        self.ever_registered.store(true, Ordering::Release);
        RegisteredFd { fd, registry: self }
    }

    fn close(&self, fds: &mut BTreeSet<Fd>, fd: Fd) {
        // After `keep_only` in a forked child the fd is closed, and may have been reused.
        if fds.remove(&fd) {
            sys::close(fd);
        }
        self.count.store(fds.len(), Ordering::Release);
    }

    /// In a forked child: takes ownership of an fd that the parent registered.
    pub fn take_over(&'static self, fd: Fd) -> RegisteredFd {
        RegisteredFd { fd, registry: self }
    }

    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether an fd was ever registered.
    pub fn ever_had_any(&self) -> bool {
        self.ever_registered.load(Ordering::Acquire)
    }

    pub fn has(&self, fd: Fd) -> bool {
        !self.is_empty()
            && fd >= self.lowest.load(Ordering::Acquire)
            && self.fds.lock().contains(&fd)
    }

    /// The registered fds from `first` to `last`, in order.
    pub fn between(&self, first: u32, last: u32) -> Vec<Fd> {
        if self.is_empty() {
            return Vec::new();
        }
        let fds = self.fds.lock();
        let in_range = |fd: &Fd| u32::try_from(*fd).is_ok_and(|fd| (first..=last).contains(&fd));
        fds.iter().copied().filter(in_range).collect()
    }

    /// In a forked child: closes and unregisters all fds except `kept`. Dropping their [`RegisteredFd`] later has no
    /// effect.
    pub fn keep_only(&self, kept: &BTreeSet<Fd>) {
        let mut fds = self.fds.lock();
        fds.retain(|fd| {
            let keep = kept.contains(fd);
            if !keep {
                sys::close(*fd);
            }
            keep
        });
        self.count.store(fds.len(), Ordering::Release);
    }

    /// The lock, for the fork handlers.
    pub fn lock(&self) -> &Lock<BTreeSet<Fd>> {
        &self.fds
    }
}

impl RegisteredFd {
    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// As a drop, for a caller that has blocked the signals already.
    pub fn close(self, signals: &SignalsBlocked) {
        let this = ManuallyDrop::new(self);
        this.registry
            .close(&mut this.registry.fds.lock_within(signals), this.fd);
    }

    /// As a drop of a reference to it, for a caller that has blocked the signals already.
    pub fn close_last(shared: Arc<RegisteredFd>, signals: &SignalsBlocked) {
        if let Some(last) = Arc::into_inner(shared) {
            last.close(signals);
        }
    }
}

impl Drop for RegisteredFd {
    fn drop(&mut self) {
        self.registry.close(&mut self.registry.fds.lock(), self.fd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register_event_counter(list: &'static OwnFds) -> RegisteredFd {
        list.adopt(&SignalsBlocked::new(), sys::event_counter().unwrap())
    }

    #[test]
    fn an_fd_is_registered_while_it_is_open() {
        static LIST: OwnFds = OwnFds::new();
        let (kept, dropped) = (register_event_counter(&LIST), register_event_counter(&LIST));
        let fd = dropped.fd();
        assert!(LIST.has(fd) && LIST.between(0, u32::MAX).contains(&kept.fd()));
        assert_eq!(
            LIST.between(kept.fd() as u32, kept.fd() as u32),
            [kept.fd()]
        );
        drop(dropped);
        assert!(!LIST.has(fd) && !LIST.is_empty());
        drop(kept);
        assert!(LIST.is_empty());
    }

    #[test]
    fn an_fd_that_a_child_closed_is_not_closed_again() {
        static LIST: OwnFds = OwnFds::new();
        // Above the fds of tests that run in parallel, since this fd is free for a moment.
        const HIGH: Fd = 900;
        let counter = sys::event_counter().unwrap();
        // SAFETY: a new fd, adopted at once.
        let high = unsafe { libc::fcntl(counter.fd(), libc::F_DUPFD_CLOEXEC, HIGH) };
        let (kept, lost) = (
            register_event_counter(&LIST),
            LIST.adopt(&SignalsBlocked::new(), OwnFd::adopt(high)),
        );
        let fd = lost.fd();
        LIST.keep_only(&[kept.fd()].into());
        // Another file now has the fd.
        let other = sys::NofileGuard::as_it_is().duplicate(kept.fd()).unwrap();
        sys::replace(other.fd(), fd, true).unwrap();
        drop(lost);
        assert!(sys::file_id(fd).is_ok());
        sys::close(fd);
        assert!(LIST.has(kept.fd()));
    }
}
