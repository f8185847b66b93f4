//! getpeername(2): returns the address that the program dialled.
//!
//! The table is keyed by SO_COOKIE, which is unique among the sockets of a boot. An entry can be evicted but never be
//! wrong, so no hook on close is needed, and entries survive dup, fork, exec and passing an fd to another process.

use super::boundary::Verdict;
use super::given::UserPtr;
use super::orphan;
use crate::state::state;
use core::ffi::c_int;
use hooks::real;
use libc::{sockaddr, socklen_t};
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, SockAddr};

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::peer;
    use core::ffi::c_int;
    use libc::{sockaddr, socklen_t};

    hooks! {
        find current;

        /// getpeername(2): the address that the program dialled, not the proxy's.
        ///
        /// Async-signal-safe. After fork and vfork: as before.
        fn getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int
            = peer::getpeername, fails -1;
    }
}

/// The body of the hook.
///
/// # Safety
/// As getpeername(2).
pub unsafe fn getpeername(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> Verdict<c_int> {
    if orphan::socket_of(fd).is_some() {
        return Verdict::Fail(Errno::ENOTCONN);
    }
    // SAFETY: any bytes are a socklen_t.
    let Some(capacity) = (unsafe { UserPtr::new(length) }).read() else {
        return Verdict::Real;
    };
    // The real call fills both buffers and validates the pointers.
    // SAFETY: the program's own arguments.
    match unsafe { real::getpeername(fd, address, length) } {
        Some(0) => {}
        Some(_) => return Verdict::Fail(Errno::from_raw(sys::errno())),
        None => return Verdict::Fail(Errno::ENOSYS),
    }
    if let Some(dialled) = state().dialled_on(fd) {
        // SAFETY: the kernel wrote to both just now, at most `capacity` bytes.
        unsafe {
            length.write_unaligned(capacity);
            SockAddr::from(dialled).copy_to(address, length);
        }
    }
    Verdict::Return(0)
}
