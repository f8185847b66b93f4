//! File descriptors: owning, duplicating and replacing them, and their flags.

use super::{errno, Fd};
use crate::errno::Errno;
use core::cell::Cell;
use core::ffi::c_int;
use core::mem::{self, MaybeUninit};
use libc::c_long;

/// A file descriptor of ours: close-on-exec, and closed when dropped.
#[derive(Debug)]
pub struct OwnFd(Fd);

impl OwnFd {
    /// Take over an fd that nothing else will close.
    pub fn adopt(fd: Fd) -> OwnFd {
        OwnFd(fd)
    }

    pub fn fd(&self) -> Fd {
        self.0
    }

    /// Give up ownership without closing the fd.
    pub fn release(self) -> Fd {
        let fd = self.0;
        mem::forget(self);
        fd
    }
}

impl Drop for OwnFd {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// close(2). Its error is ignored: on Linux the fd is free afterwards in any case.
pub fn close(fd: Fd) {
    let _ = syscall!(SYS_close, fd);
}

/// Gives our files fds above the program's soft limit of open files.
///
/// RLIMIT_NOFILE (getrlimit(2)) bounds the fds that are allocated, not those that are open. So the soft limit is raised
/// for an instant, as far as the hard limit allows, and our fds are allocated above it. There they do not count against
/// the program's limit, and a daemon that closes every fd up to its limit does not close them. Only one thread may do this
/// at a time: the caller holds a lock.
///
/// The instant must be short: a child that another thread spawns meanwhile inherits the raised limit.
pub struct NofileGuard {
    /// The raised limit; `None` where it cannot be raised.
    raised: Option<libc::rlimit>,
    /// The program's limit, while it is raised.
    before: Cell<Option<libc::rlimit>>,
    /// Where our fds begin.
    base: libc::rlim_t,
}

/// How far above the limit. The kernel's fd table costs a bit and two words for each fd, allocated on use.
const HEADROOM: libc::rlim_t = 1 << 16;
/// The first of our fds where the limit cannot be raised: programs that expect the lowest free fd do not notice ours.
const HIGH: libc::rlim_t = 512;

impl NofileGuard {
    pub fn new() -> NofileGuard {
        let Ok(now) = limit_open_files(None) else {
            return NofileGuard::as_it_is();
        };
        let raised = libc::rlimit {
            rlim_cur: now.rlim_max.min(now.rlim_cur.saturating_add(HEADROOM)),
            rlim_max: now.rlim_max,
        };
        let can_be_raised = raised.rlim_cur > now.rlim_cur;
        NofileGuard {
            raised: can_be_raised.then_some(raised),
            before: Cell::new(None),
            base: if can_be_raised {
                now.rlim_cur
            } else {
                HIGH.min(now.rlim_cur / 2)
            },
        }
    }

    /// Never raises the limit: for callers that hold no lock.
    pub fn as_it_is() -> NofileGuard {
        NofileGuard {
            raised: None,
            before: Cell::new(None),
            base: HIGH,
        }
    }

    /// Raise the limit until [`NofileGuard::restore`], or until this is dropped: for several fds at once.
    pub fn raise(&self) {
        if let (Some(raised), None) = (&self.raised, self.before.get()) {
            self.before.set(limit_open_files(Some(raised)).ok());
        }
    }

    /// Restore the program's limit, unless the program has set another one meanwhile.
    pub fn restore(&self) {
        let (Some(raised), Some(before)) = (&self.raised, self.before.take()) else {
            return;
        };
        let Ok(found) = limit_open_files(Some(&before)) else {
            return;
        };
        if (found.rlim_cur, found.rlim_max) != (raised.rlim_cur, raised.rlim_max) {
            let _ = limit_open_files(Some(&found));
        }
    }

    /// A close-on-exec duplicate with a high fd, fcntl(2) F_DUPFD_CLOEXEC. The limit is raised for just this,
    /// unless it is already.
    pub fn duplicate(&self, fd: Fd) -> Result<OwnFd, Errno> {
        let at_or_above = |base: libc::rlim_t| {
            syscall!(SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, base as c_long).map(|fd| OwnFd(fd as Fd))
        };
        let was_raised = self.before.get().is_some();
        self.raise();
        let mut made = at_or_above(self.base);
        if !was_raised {
            self.restore();
        }
        // No fd is free up there, or the limit could not be raised.
        for base in [HIGH.min(self.base / 2), 0] {
            if let Err(Errno::EINVAL | Errno::EMFILE) = made {
                made = at_or_above(base);
            }
        }
        made
    }

    /// Move the open file to a high fd.
    pub fn move_high(&self, fd: OwnFd) -> OwnFd {
        self.duplicate(fd.0).unwrap_or(fd)
    }
}

impl Default for NofileGuard {
    fn default() -> NofileGuard {
        NofileGuard::new()
    }
}

impl Drop for NofileGuard {
    fn drop(&mut self) {
        self.restore();
    }
}

/// prlimit(2) of this process; returns the previous limit.
fn limit_open_files(new: Option<&libc::rlimit>) -> Result<libc::rlimit, Errno> {
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, new, &raw mut before)?;
    Ok(before)
}

/// The soft limit of open files (RLIMIT_NOFILE): dup2(2) refuses this fd and higher ones.
pub fn nofile_limit() -> Fd {
    limit_open_files(None).map_or(Fd::MAX, |limit| {
        Fd::try_from(limit.rlim_cur).unwrap_or(Fd::MAX)
    })
}

/// Make `to` refer to the open file of `from`, dup3(2), atomically.
pub fn replace(from: Fd, to: Fd, close_on_exec: bool) -> Result<(), Errno> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    syscall!(SYS_dup3, from, to, flags).map(drop)
}

/// fcntl(2) F_GETFL.
pub fn status_flags(fd: Fd) -> Result<c_int, Errno> {
    syscall!(SYS_fcntl, fd, libc::F_GETFL).map(|flags| flags as c_int)
}

/// fcntl(2) F_SETFL.
pub fn set_status_flags(fd: Fd, flags: c_int) -> Result<(), Errno> {
    syscall!(SYS_fcntl, fd, libc::F_SETFL, flags).map(drop)
}

/// fcntl(2) F_SETFL with O_NONBLOCK set or cleared and every other flag kept.
pub fn set_nonblocking(fd: Fd, on: bool) -> Result<(), Errno> {
    let flags = status_flags(fd)?;
    let wanted = if on {
        flags | libc::O_NONBLOCK
    } else {
        flags & !libc::O_NONBLOCK
    };
    if wanted != flags {
        set_status_flags(fd, wanted)?;
    }
    Ok(())
}

/// fcntl(2) F_GETFD: whether FD_CLOEXEC is set.
pub fn closes_on_exec(fd: Fd) -> Result<bool, Errno> {
    syscall!(SYS_fcntl, fd, libc::F_GETFD).map(|flags| flags as c_int & libc::FD_CLOEXEC != 0)
}

/// Device and inode of an open file: its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(stat: &libc::stat) -> FileId {
        FileId {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }

    pub fn inode(self) -> u64 {
        self.inode
    }
}

/// See [`FileId`].
pub fn file_id(fd: Fd) -> Result<FileId, Errno> {
    stat(fd).map(|stat| FileId::of(&stat))
}

pub(super) fn is_socket(fd: Fd) -> Result<bool, Errno> {
    stat(fd).map(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFSOCK)
}

/// fstat(2).
pub(super) fn stat(fd: Fd) -> Result<libc::stat, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    syscall!(SYS_fstat, fd, stat.as_mut_ptr())?;
    // SAFETY: the kernel filled it, and all zeroes is a valid stat too.
    Ok(unsafe { stat.assume_init() })
}

/// Whether two fds refer to one open file, by kcmp(2). False where the call is not permitted.
pub fn is_same_file(one: Fd, other: Fd) -> bool {
    /// KCMP_FILE of linux/kcmp.h.
    const FILE: c_int = 0;
    let pid = super::pid();
    syscall!(SYS_kcmp, pid, pid, FILE, one, other) == Ok(0)
}

/// close_range(2).
pub fn close_range(first: u32, last: u32, flags: c_int) -> Result<(), Errno> {
    syscall!(SYS_close_range, first, last, flags).map(drop)
}

/// Whether this kernel has close_range(2) and permits it: probed with a range in which no fd can be open.
pub fn has_close_range() -> bool {
    close_range(u32::MAX, u32::MAX, 0).is_ok()
}
