//! Descriptors of ours that outlive a call. The program must not close what it did not open, and a forked child has no
//! use for them: so each of them is listed for as long as it is open, whoever has it and whether a connect is pending
//! or not.

use crate::errno::Errno;
use crate::lock::Lock;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::{self, Fd, OwnFd};
use std::collections::BTreeSet;

/// The list of them.
pub struct OwnFds {
    /// Taken last of all locks: a descriptor may be dropped under any of them.
    fds: Lock<BTreeSet<Fd>>,
    /// How many they are, to be seen without the lock.
    count: AtomicUsize,
    any: AtomicBool,
}

/// One of them; closed when it is dropped.
pub struct RegisteredFd {
    fd: Fd,
    listed_in: &'static OwnFds,
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
            any: AtomicBool::new(false),
        }
    }

    /// Put one on the list.
    pub fn adopt(&'static self, own: OwnFd) -> RegisteredFd {
        let mut fds = self.fds.lock();
        self.insert(&mut fds, own.release())
    }

    /// Make one and put it on the list, with no fork in between, whose child would keep it. `make` may take no lock of ours.
    pub fn make(
        &'static self,
        make: impl FnOnce() -> Result<OwnFd, Errno>,
    ) -> Result<RegisteredFd, Errno> {
        let mut fds = self.fds.lock();
        let fd = make()?.release();
        Ok(self.insert(&mut fds, fd))
    }

    /// What opens and closes one of ours on the way, with no fork in between. It may take no lock of ours.
    pub fn unforked<T>(&self, body: impl FnOnce() -> T) -> T {
        let _numbers = self.fds.lock();
        body()
    }

    fn insert(&'static self, fds: &mut BTreeSet<Fd>, fd: Fd) -> RegisteredFd {
        fds.insert(fd);
        self.count.store(fds.len(), Ordering::Release);
        self.any.store(true, Ordering::Release);
        RegisteredFd {
            fd,
            listed_in: self,
        }
    }

    /// In a forked child: one that is on the list, in the place of the parent's, whose owner is not there.
    pub fn take_over(&'static self, fd: Fd) -> RegisteredFd {
        RegisteredFd {
            fd,
            listed_in: self,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether there ever was one.
    pub fn ever_had_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub fn has(&self, fd: Fd) -> bool {
        !self.is_empty() && self.fds.lock().contains(&fd)
    }

    /// Those between two fds, in order.
    pub fn between(&self, first: u32, last: u32) -> Vec<Fd> {
        if self.is_empty() {
            return Vec::new();
        }
        let fds = self.fds.lock();
        let in_range = |fd: &Fd| u32::try_from(*fd).is_ok_and(|fd| (first..=last).contains(&fd));
        fds.iter().copied().filter(in_range).collect()
    }

    /// In a forked child: close all of them but `kept`. Whoever had one there is gone, or will find it closed.
    pub fn keep_only(&self, kept: &BTreeSet<Fd>) {
        let mut fds = self.fds.lock();
        fds.retain(|fd| {
            let stays = kept.contains(fd);
            if !stays {
                sys::close(*fd);
            }
            stays
        });
        self.count.store(fds.len(), Ordering::Release);
    }

    /// The lock, for the handlers around fork.
    pub fn lock(&self) -> &Lock<BTreeSet<Fd>> {
        &self.fds
    }
}

impl RegisteredFd {
    pub fn fd(&self) -> Fd {
        self.fd
    }
}

impl Drop for RegisteredFd {
    fn drop(&mut self) {
        let mut fds = self.listed_in.fds.lock();
        // In a forked child it may be closed already, and the fd another's.
        if fds.remove(&self.fd) {
            sys::close(self.fd);
        }
        self.listed_in.count.store(fds.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(list: &'static OwnFds) -> RegisteredFd {
        list.adopt(sys::event_counter().unwrap())
    }

    #[test]
    fn a_descriptor_is_listed_while_it_is_open() {
        static LIST: OwnFds = OwnFds::new();
        let (kept, dropped) = (one(&LIST), one(&LIST));
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
    fn what_a_child_closed_is_not_closed_again() {
        static LIST: OwnFds = OwnFds::new();
        // Where no test that runs beside this one opens anything: the fd is free for a moment.
        const HIGH: Fd = 900;
        let counter = sys::event_counter().unwrap();
        // SAFETY: a new fd, adopted at once.
        let high = unsafe { libc::fcntl(counter.fd(), libc::F_DUPFD_CLOEXEC, HIGH) };
        let (kept, lost) = (one(&LIST), LIST.adopt(OwnFd::adopt(high)));
        let fd = lost.fd();
        LIST.keep_only(&[kept.fd()].into());
        // The fd is another's by now.
        let other = sys::NofileGuard::as_it_is().duplicate(kept.fd()).unwrap();
        sys::replace(other.fd(), fd, true).unwrap();
        drop(lost);
        assert!(sys::file_id(fd).is_ok());
        sys::close(fd);
        assert!(LIST.has(kept.fd()));
    }
}
