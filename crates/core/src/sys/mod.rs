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
mod fd;
mod file;
mod futex;
mod option;
mod reserve;
mod signals;
mod socket;
mod thread;
mod wait;

pub use address::SockAddr;
pub use fd::*;
pub use file::*;
pub use futex::*;
pub use option::*;
pub use reserve::ReservingAllocator;
pub use signals::{CancellationOff, SignalsBlocked};
pub use socket::*;
pub use thread::{at_fork, start_thread};
pub use wait::*;

/// A file descriptor number that somebody else owns. Ours are [`OwnFd`].
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

/// Whether `length` bytes (1 to a page) at `address` can be read: the kernel tries, so that a bad pointer of
/// the program becomes its EFAULT and not our crash. rt_sigprocmask(2) copies 8 bytes before it finds that
/// the request is none. (It takes NULL for no set at all, and does not look.)
pub fn is_readable(address: *const u8, length: usize) -> bool {
    const NO_REQUEST: c_int = -1;
    let readable = |address: *const u8| {
        let none = core::ptr::null_mut::<u8>();
        !address.is_null()
            && syscall!(SYS_rt_sigprocmask, NO_REQUEST, address, none, 8usize) != Err(Errno::EFAULT)
    };
    let last = address.wrapping_add(length.saturating_sub(1));
    let same_page = (address as usize) >> 12 == (last as usize) >> 12;
    // What is shorter than 8 bytes may be the last of its page: 8 from a multiple of 8 never go beyond.
    let word = |byte: *const u8| byte.wrapping_sub(byte as usize % 8);
    readable(word(address)) && (same_page || readable(word(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_readable_up_to_the_last_byte_of_the_last_page() {
        const PAGE: usize = 4096;
        // SAFETY: a new mapping of two pages, of which the second is then taken away.
        let pages = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let pages = libc::mmap(
                core::ptr::null_mut(),
                2 * PAGE,
                libc::PROT_READ,
                flags,
                -1,
                0,
            );
            assert_ne!(pages, libc::MAP_FAILED);
            libc::mprotect(pages.wrapping_byte_add(PAGE), PAGE, libc::PROT_NONE);
            pages.cast::<u8>()
        };
        for length in 1..=128 {
            assert!(is_readable(pages, length));
            assert!(is_readable(pages.wrapping_add(PAGE - length), length));
            assert!(!is_readable(pages.wrapping_add(PAGE - length + 1), length));
            assert!(!is_readable(pages.wrapping_add(PAGE), length));
        }
        // SAFETY: the mapping of this test.
        unsafe { libc::munmap(pages.cast(), 2 * PAGE) };
    }

    #[test]
    fn null_and_what_is_near_it_are_not_readable() {
        for (address, length) in [(0, 2), (0, 4), (0, 16), (1, 4), (4, 4), (4, 16)] {
            assert!(!is_readable(core::ptr::without_provenance(address), length));
        }
    }
}
