//! unshare(2) and setns(2): the kernel refuses some of what they do to a process of more than one thread, and so they
//! are made without our helper. Not one of the two does anything in a process that never had it.

use super::boundary::Verdict;
use crate::pending::PENDING;
use core::ffi::c_int;
use hooks::real;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::namespace;
    use crate::pending::PENDING;
    use core::ffi::c_int;

    hooks! {
        find current;

        /// unshare(2): a process of two threads cannot have all that one of one thread can, and an fd table of its own would
        /// be without our helper.
        ///
        /// Not async-signal-safe where a non-blocking connect was ever proxied. After fork: as before. After vfork: libc's.
        fn unshare(flags: c_int) -> c_int
            = namespace::unshare, fails -1, idle !PENDING.had_helper();

        /// setns(2): as unshare.
        ///
        /// Async-signal-safe, after fork and vfork: as unshare.
        fn setns(fd: c_int, kinds: c_int) -> c_int
            = namespace::setns, fails -1, idle !PENDING.had_helper();
    }
}

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
    PENDING.without_helper(|| Verdict::of_call(unsafe { real::unshare(flags) }))
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
    PENDING.without_helper(|| Verdict::of_call(unsafe { real::setns(fd, kinds) }))
}
