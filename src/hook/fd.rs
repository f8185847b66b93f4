//! File descriptor life cycle: what the table of pending connects must know about. While no connect is pending, each
//! hook costs one atomic load (the dup family also checks whether the fd is a TCP socket).

use super::boundary::{result_of, Verdict};
use super::brief::BRIEF;
use super::given::UserPtr;
use super::orphan;
use crate::pending::PENDING;
use core::ffi::{c_int, c_uint, c_ulong};
use hooks::real;
use libc::Ioctl;
use tailchain_core::errno::Errno;
use tailchain_core::pending::Closing;
use tailchain_core::sys;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::brief::BRIEF;
    use crate::hook::fd;
    use crate::pending::PENDING;
    use core::ffi::{c_int, c_uint, c_ulong};
    use libc::Ioctl;

    hooks! {
        find current;

        /// close(2): a pending connect ends when its last fd is closed.
        ///
        /// Async-signal-safe: signals are blocked while the table is locked. After fork: as before. After vfork:
        /// libc's.
        fn close(fd: c_int) -> c_int
            = fd::close, fails -1, idle !PENDING.needs_hooks() && !BRIEF.is_unasked();

        /// dup(2): adds an fd to a pending connect.
        ///
        /// Async-signal-safe except on TCP sockets, whose fds are recorded (which allocates). After fork and vfork: as
        /// close.
        fn dup(fd: c_int) -> c_int
            = fd::dup, fails -1;

        /// dup2(2): closes `new`, and makes it a duplicate of `old`.
        ///
        /// Async-signal-safe, after fork and vfork: as dup.
        fn dup2(old: c_int, new: c_int) -> c_int
            = fd::dup2, fails -1;

        /// dup3(2): as dup2.
        ///
        /// Async-signal-safe, after fork and vfork: as dup.
        fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int
            = fd::dup3, fails -1;

        /// fcntl(2): F_DUPFD as dup; F_GETFL and F_SETFL of a connecting socket. It is variadic in C, but on the
        /// supported machines the one further argument is passed in a register like any other.
        ///
        /// Async-signal-safe, after fork and vfork: as close.
        fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int
            = fd::fcntl, fails -1, idle fd::is_idle_fcntl(command);

        /// ioctl(2): FIONBIO, FIOCLEX and FIONCLEX, as fcntl F_SETFL and F_SETFD.
        ///
        /// Async-signal-safe, after fork and vfork: as close.
        fn ioctl(fd: c_int, request: Ioctl, argument: c_ulong) -> c_int
            = fd::ioctl, fails -1, idle fd::is_idle_ioctl(request);

        /// close_range(2): as close, skipping the library's own fds.
        ///
        /// Async-signal-safe, after fork and vfork: as close.
        fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int
            = fd::close_range, fails -1, idle !PENDING.needs_hooks();

        /// glibc's alias of close(2).
        ///
        /// Async-signal-safe, after fork and vfork: as close.
        fn __close(fd: c_int) -> c_int
            = fd::close, fails -1, idle !PENDING.needs_hooks() && !BRIEF.is_unasked(),
            only target_env = "gnu";

        /// glibc's alias of dup2(2).
        ///
        /// Async-signal-safe, after fork and vfork: as dup2.
        fn __dup2(old: c_int, new: c_int) -> c_int
            = fd::dup2, fails -1,
            only target_env = "gnu";

        /// glibc's alias of fcntl(2).
        ///
        /// Async-signal-safe, after fork and vfork: as fcntl.
        fn __fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int
            = fd::fcntl, fails -1, idle fd::is_idle_fcntl(command),
            only target_env = "gnu";

        /// fcntl64, called by programs built with 64-bit file offsets: as fcntl.
        ///
        /// Async-signal-safe, after fork and vfork: as close.
        fn fcntl64(fd: c_int, command: c_int, argument: c_ulong) -> c_int
            = fd::fcntl, fails -1, idle fd::is_idle_fcntl(command),
            only target_env = "gnu";

        /// closefrom(3): as close_range.
        ///
        /// Async-signal-safe, after fork and vfork: as close.
        fn closefrom(first: c_int) -> ()
            = fd::closefrom, fails (), idle !PENDING.needs_hooks(),
            only target_env = "gnu";
    }
}

/// The body of the hook.
///
/// # Safety
/// As close(2).
pub unsafe fn close(fd: c_int) -> Verdict<c_int> {
    BRIEF.asked(fd);
    match PENDING.before_close(fd) {
        // EBADF, so that a daemon that closes all fds continues.
        Closing::Internal => Verdict::Fail(Errno::EBADF),
        Closing::LastOfPending => {
            // SAFETY: the program's own argument.
            let verdict = Verdict::of_call(unsafe { real::close(fd) });
            PENDING.release_closed();
            verdict
        }
        Closing::Other => Verdict::Real,
    }
}

/// The body of the hook.
///
/// # Safety
/// As dup(2).
pub unsafe fn dup(fd: c_int) -> Verdict<c_int> {
    // SAFETY: the program's own argument.
    duplicating(fd, || unsafe { real::dup(fd) })
}

/// The body of the hook.
///
/// # Safety
/// As dup2(2).
pub unsafe fn dup2(old: c_int, new: c_int) -> Verdict<c_int> {
    if old == new {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments.
    replacing_fd(old, new, 0, || unsafe { real::dup2(old, new) })
}

/// The body of the hook.
///
/// # Safety
/// As dup3(2).
pub unsafe fn dup3(old: c_int, new: c_int, flags: c_int) -> Verdict<c_int> {
    if old == new {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments.
    replacing_fd(old, new, flags, || unsafe { real::dup3(old, new, flags) })
}

/// Runs a call that closes `new`. If an argument is invalid, the kernel reports it and `new` stays open. An own fd of
/// the library cannot be replaced.
fn replacing_fd(
    old: c_int,
    new: c_int,
    flags: c_int,
    real: impl FnOnce() -> Option<c_int>,
) -> Verdict<c_int> {
    if !PENDING.needs_close_tracking()
        || flags & !libc::O_CLOEXEC != 0
        || sys::status_flags(old).is_err()
    {
        return duplicating(old, real);
    }
    // Above RLIMIT_NOFILE. An fd opened before the limit was lowered stays open, but the kernel refuses it as `new`.
    if new >= sys::nofile_limit() && !PENDING.is_internal(new) {
        return Verdict::Real;
    }
    PENDING
        .duplicate_onto(old, new, || result_of(real()))
        .into()
}

fn duplicating(old: c_int, real: impl FnOnce() -> Option<c_int>) -> Verdict<c_int> {
    PENDING.duplicate(old, || result_of(real())).into()
}

/// Whether fcntl can go straight to libc: nothing is pending, and the command creates no fd.
pub fn is_idle_fcntl(command: c_int) -> bool {
    !matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) && !PENDING.needs_hooks()
}

/// The body of the hooks fcntl and fcntl64. The third argument, an integer or a pointer, is passed on unchanged.
///
/// # Safety
/// As fcntl(2).
pub unsafe fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> Verdict<c_int> {
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => {
            // SAFETY: the program's own arguments.
            duplicating(fd, || unsafe { real::fcntl(fd, command, argument) })
        }
        libc::F_GETFL => match PENDING.lock_fd(fd) {
            Some(mut held) => {
                // SAFETY: the program's own arguments.
                let flags = Verdict::of_call(unsafe { real::fcntl(fd, command, argument) });
                match flags {
                    Verdict::Return(flags) if held.blocks(fd) == Some(true) => {
                        Verdict::Return(flags & !libc::O_NONBLOCK)
                    }
                    _ => flags,
                }
            }
            None => Verdict::Real,
        },
        libc::F_SETFL => changing_mode(fd, argument as c_int & libc::O_NONBLOCK == 0, || {
            // SAFETY: the program's own arguments, except that the placeholder stays non-blocking.
            unsafe { real::fcntl(fd, command, argument | libc::O_NONBLOCK as c_ulong) }
        }),
        // swap_fd copies the close-on-exec flag; the lock keeps it from changing meanwhile.
        libc::F_SETFD => match PENDING.lock_fd(fd) {
            // SAFETY: the program's own arguments.
            Some(_held) => Verdict::of_call(unsafe { real::fcntl(fd, command, argument) }),
            None => Verdict::Real,
        },
        _ => Verdict::Real,
    }
}

/// Makes a connecting socket blocking or non-blocking. `real` leaves its placeholder non-blocking: see
/// `FdLock::set_blocking`.
fn changing_mode(
    fd: c_int,
    blocking: bool,
    real: impl FnOnce() -> Option<c_int>,
) -> Verdict<c_int> {
    // An inherited connect may have ended; then the socket is put back first, and the call applies to it.
    orphan::settle(fd);
    let Some(mut held) = PENDING.lock_fd(fd) else {
        return Verdict::Real;
    };
    let verdict = Verdict::of_call(real());
    if let Verdict::Return(_) = verdict {
        held.set_blocking(fd, blocking);
    }
    verdict
}

/// Unsent bytes of a stream, linux/sockios.h. SIOCOUTQ is TIOCOUTQ.
const SIOCOUTQNSD: Ioctl = 0x894b;

/// Whether ioctl can go straight to libc.
pub fn is_idle_ioctl(request: Ioctl) -> bool {
    const OF_SOCKETS: [Ioctl; 5] = [
        libc::FIONBIO,
        libc::FIOCLEX,
        libc::FIONCLEX,
        libc::TIOCOUTQ,
        SIOCOUTQNSD,
    ];
    !OF_SOCKETS.contains(&request) || !PENDING.needs_hooks()
}

/// The body of the hook. FIONBIO is handled like F_SETFL of fcntl.
///
/// # Safety
/// As ioctl(2).
pub unsafe fn ioctl(fd: c_int, request: Ioctl, argument: c_ulong) -> Verdict<c_int> {
    match request {
        libc::FIONBIO if PENDING.count() > 0 => {
            // SAFETY: any bytes are an int.
            match unsafe { UserPtr::new(argument as *const c_int) }.read() {
                // FIONBIO has no other effect, and the placeholder is non-blocking already.
                Some(nonblocking) => changing_mode(fd, nonblocking == 0, || Some(0)),
                None => Verdict::Real,
            }
        }
        // The program has sent nothing yet; the bytes queued in the placeholder are the library's.
        libc::TIOCOUTQ | SIOCOUTQNSD if PENDING.lock_fd(fd).is_some() => {
            // The placeholder, a unix socket, supports TIOCOUTQ only.
            // SAFETY: the program's own arguments.
            let verdict = Verdict::of_call(unsafe { real::ioctl(fd, libc::TIOCOUTQ, argument) });
            if let Verdict::Return(0) = verdict {
                // SAFETY: the kernel has just written an int there.
                unsafe { (argument as *mut c_int).write_unaligned(0) };
            }
            verdict
        }
        // As F_SETFD of fcntl: locked, since swap_fd copies the flag.
        libc::FIOCLEX | libc::FIONCLEX => match PENDING.lock_fd(fd) {
            // SAFETY: the program's own arguments.
            Some(_held) => Verdict::of_call(unsafe { real::ioctl(fd, request, argument) }),
            None => Verdict::Real,
        },
        _ => Verdict::Real,
    }
}

/// The body of the hook.
///
/// # Safety
/// As close_range(2).
pub unsafe fn close_range(first: c_uint, last: c_uint, flags: c_int) -> Verdict<c_int> {
    if flags as c_uint & libc::CLOSE_RANGE_UNSHARE != 0 && PENDING.had_helper() {
        // CLOSE_RANGE_UNSHARE unshares the fd table, as unshare(2) does.
        return PENDING.without_helper(|| match closing_range(first, last, flags) {
            // SAFETY: the program's own arguments.
            Verdict::Real => Verdict::of_call(unsafe { real::close_range(first, last, flags) }),
            done => done,
        });
    }
    closing_range(first, last, flags)
}

fn closing_range(first: c_uint, last: c_uint, flags: c_int) -> Verdict<c_int> {
    // CLOSE_RANGE_CLOEXEC closes nothing, and the kernel rejects unknown flags.
    let closes = flags as c_uint & !libc::CLOSE_RANGE_UNSHARE == 0;
    if !PENDING.needs_close_tracking() || first > last || !closes {
        return Verdict::Real;
    }
    if !sys::has_close_range() {
        // The kernel lacks close_range(2); libc reports the error.
        return Verdict::Real;
    }
    let ends_pending = PENDING.closing_range(first, last);
    let verdict = close_except_own_fds(first, last, flags);
    if ends_pending {
        PENDING.release_closed();
    }
    verdict
}

fn close_except_own_fds(first: c_uint, last: c_uint, flags: c_int) -> Verdict<c_int> {
    let ours = PENDING.internal_between(first, last);
    // Close the gaps between the library's own fds.
    let mut from = first;
    for fd in ours {
        let fd = fd as c_uint;
        if fd > from {
            if let Err(errno) = sys::close_range(from, fd - 1, flags) {
                return Verdict::Fail(errno);
            }
        }
        from = fd.saturating_add(1);
    }
    if from <= last {
        if let Err(errno) = sys::close_range(from, last, flags) {
            return Verdict::Fail(errno);
        }
    }
    Verdict::Return(0)
}

/// The body of the hook: close_range without an upper bound and without a result.
///
/// # Safety
/// As closefrom(3).
#[cfg(target_env = "gnu")]
pub unsafe fn closefrom(first: c_int) -> Verdict<()> {
    let first = first.max(0);
    if PENDING.needs_close_tracking() && !sys::has_close_range() {
        close_each(first);
        return Verdict::Return(());
    }
    // SAFETY: passed on.
    match unsafe { close_range(first as c_uint, c_uint::MAX, 0) } {
        Verdict::Return(_) => Verdict::Return(()),
        _ => Verdict::Real,
    }
}

/// closefrom where the kernel or a sandbox lacks close_range(2): libc's fallback would close the library's own fds too.
#[cfg(target_env = "gnu")]
fn close_each(first: c_int) {
    let ends_pending = PENDING.closing_range(first as c_uint, c_uint::MAX);
    let ours = PENDING.internal_between(first as c_uint, c_uint::MAX);
    let all = sys::descriptors().unwrap_or_else(|_| (0..sys::nofile_limit()).collect());
    for fd in all {
        if fd >= first && ours.binary_search(&fd).is_err() {
            sys::close(fd);
        }
    }
    if ends_pending {
        PENDING.release_closed();
    }
}
