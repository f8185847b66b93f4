//! unshare(2) and setns(2): the kernel refuses some of what they do to a process of more than one thread, and so they
//! are made without our helper. Not one of the two does anything in a process that never had it.

use super::boundary::Verdict;
use super::table::real;
use crate::pending::PENDING;
use core::ffi::c_int;
use tailchain_core::errno::Errno;
use tailchain_core::sys;

/// What needs a process of one thread, and what such a thread would be parted from the program by.
const UNSHARED_ALONE: c_int = libc::CLONE_NEWUSER
    | libc::CLONE_THREAD
    | libc::CLONE_SIGHAND
    | libc::CLONE_VM
    | libc::CLONE_FILES;

/// What can be entered beside other threads. After entering a PID namespace no thread can be made.
const ENTERED_TOGETHER: c_int = libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP;

/// The body of the hook.
///
/// # Safety
/// As unshare(2).
pub unsafe fn unshare(flags: c_int) -> Verdict<c_int> {
    if flags & UNSHARED_ALONE == 0 {
        return Verdict::Real;
    }
    // SAFETY: the program's own argument.
    PENDING.without_helper(|| returned(unsafe { real::unshare(flags) }))
}

/// The body of the hook.
///
/// # Safety
/// As setns(2).
pub unsafe fn setns(fd: c_int, kinds: c_int) -> Verdict<c_int> {
    if kinds != 0 && kinds & !ENTERED_TOGETHER == 0 {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments.
    PENDING.without_helper(|| returned(unsafe { real::setns(fd, kinds) }))
}

fn returned(value: Option<c_int>) -> Verdict<c_int> {
    match value {
        None => Verdict::Fail(Errno::ENOSYS),
        Some(value) if value < 0 => Verdict::Fail(Errno::from_raw(sys::errno())),
        Some(value) => Verdict::Return(value),
    }
}
