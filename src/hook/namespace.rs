//! unshare(2) and setns(2): the kernel refuses some flags in a multithreaded process, so the helper is stopped first.
//! Both hooks are idle in a process that never had a helper.

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

        /// unshare(2): some flags need a single-threaded process, and a helper would not see the program's new fd
        /// table.
        ///
        /// Not async-signal-safe once the process has had a helper. After fork: as before. After vfork: libc's.
        fn unshare(flags: c_int) -> c_int
            = namespace::unshare, fails -1, idle !PENDING.had_helper();

        /// setns(2): as unshare.
        ///
        /// Async-signal-safe, after fork and vfork: as unshare.
        fn setns(fd: c_int, kinds: c_int) -> c_int
            = namespace::setns, fails -1, idle !PENDING.had_helper();
    }
}

/// Flags that need a single-threaded process, or would separate the helper's fd table from the program's.
const NEEDS_SINGLE_THREAD: c_int = libc::CLONE_NEWUSER
    | libc::CLONE_THREAD
    | libc::CLONE_SIGHAND
    | libc::CLONE_VM
    | libc::CLONE_FILES;

/// Namespaces that a multithreaded process can enter. (After entering a PID namespace no thread can be created.)
const ALLOWS_THREADS: c_int = libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP;

/// The body of the hook.
///
/// # Safety
/// As unshare(2).
pub unsafe fn unshare(flags: c_int) -> Verdict<c_int> {
    if flags & NEEDS_SINGLE_THREAD == 0 {
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
    if kinds != 0 && kinds & !ALLOWS_THREADS == 0 {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments.
    PENDING.without_helper(|| Verdict::of_call(unsafe { real::setns(fd, kinds) }))
}
