//! The system calls that the I/O layer needs, as safe functions that return an [`Errno`].
//!
//! They go through syscall(2), not through the libc function of the same name: inside the preload library
//! `connect` *is* our hook. This also makes them no cancellation points (pthreads(7)), so no unwinding of a
//! cancelled thread starts below our frames, and async-signal-safe. They leave errno changed; the hook
//! boundary restores it.

use crate::errno::Errno;
use core::ffi::c_int;
use std::time::Duration;

/// The value of a system call, or errno as an error.
macro_rules! syscall {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        // SAFETY: every argument is a number, or a pointer to memory that the enclosing function holds for
        // as long as the call lasts; the kernel checks the rest.
        match unsafe { libc::syscall(libc::$number $(, $argument)*) } {
            -1 => Err(Errno::from_raw(errno())),
            value => Ok(value),
        }
    };
}

mod address;
mod cancel_cleanup;
mod fd;
mod file;
mod futex;
mod heap;
mod option;
mod readable;
mod reserve;
mod signals;
mod socket;
mod stderr;
mod thread;
mod wait;
mod wipe_on_fork;

pub use address::SockAddr;
pub use cancel_cleanup::CancelCleanup;
pub use fd::*;
pub use file::*;
pub use futex::*;
pub use option::*;
pub use readable::{is_readable, was_readable, was_writable};
pub use reserve::ReservingAllocator;
pub use signals::{uncancelled, SignalsBlocked};
pub use socket::*;
pub use stderr::{append_line, Stderr};
pub use thread::{
    at_fork, has_thread, measure_thread_stacks, start_thread, this_thread, thread_count, thread_id,
    TimerSlack,
};
pub use wait::*;
pub use wipe_on_fork::WipedOnFork;

/// A file descriptor that is not ours to close; ours are [`OwnFd`].
pub type Fd = c_int;

/// errno of this thread.
pub fn errno() -> c_int {
    // SAFETY: __errno_location returns a valid pointer to this thread's errno.
    unsafe { *libc::__errno_location() }
}

/// Write errno of this thread. Called at the hook boundary only (invariant 4).
pub fn set_errno(value: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value }
}

/// getpid(2), asked of the kernel each time: a cached one would be wrong after vfork.
pub fn pid() -> libc::pid_t {
    syscall!(SYS_getpid).unwrap_or(0) as libc::pid_t
}

/// Whether the program runs with more rights than its caller: set-user-ID, set-group-ID, file capabilities. Then nothing
/// that the caller controls may configure us: getauxval(3) AT_SECURE, ld.so(8) on secure execution.
pub fn is_set_user_id() -> bool {
    // SAFETY: getauxval looks into a vector that the kernel made.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// CLOCK_MONOTONIC, from the vDSO.
pub fn now() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid timespec to fill; clock_gettime is not one of our hooks.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
