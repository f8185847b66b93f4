//! Socket options, getsockname(2) and shutdown(2) on a connecting socket apply to the socket, not to its placeholder;
//! SO_ERROR reports why a connect failed.

use super::asleep::ASLEEP;
use super::attempt;
use super::boundary::Verdict;
use super::brief::BRIEF;
use super::orphan::{self, socket_of};
use crate::pending::PENDING;
use core::ffi::{c_int, c_void};
use libc::{sockaddr, socklen_t};
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd};

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::brief::BRIEF;
    use crate::hook::sockopt;
    use crate::pending::PENDING;
    use core::ffi::{c_int, c_void};
    use libc::{sockaddr, socklen_t};

    hooks! {
        find current;

        /// getsockopt(2): SO_ERROR of a failed connect; options of a connecting socket.
        ///
        /// Async-signal-safe. After fork: a child gets the result of a connect that its parent began. After vfork:
        /// libc's.
        fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut socklen_t) -> c_int
            = sockopt::getsockopt, fails -1, idle !PENDING.needs_hooks() && !BRIEF.is_unasked();

        /// setsockopt(2): options of a connecting socket.
        ///
        /// Async-signal-safe. After fork: as before. After vfork: libc's.
        fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: socklen_t) -> c_int
            = sockopt::setsockopt, fails -1, idle !PENDING.needs_hooks();

        /// getsockname(2): of a connecting socket.
        ///
        /// Async-signal-safe. After fork: as before. After vfork: libc's.
        fn getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int
            = sockopt::getsockname, fails -1, idle !PENDING.needs_hooks();

        /// shutdown(2): aborts the dial of a connecting socket.
        ///
        /// Async-signal-safe except on a connecting socket that another thread connects. After fork and vfork: libc's.
        fn shutdown(fd: c_int, how: c_int) -> c_int
            = sockopt::shutdown, fails -1, idle sockopt::is_idle_shutdown();
    }
}

/// The body of the hook.
///
/// # Safety
/// As getsockopt(2).
pub unsafe fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> Verdict<c_int> {
    if level == libc::SOL_SOCKET && name == libc::SO_ERROR {
        BRIEF.asked(fd);
        return match pending_error(fd) {
            // SAFETY: the program's own arguments.
            Some(error) => unsafe { give_error(fd, error, value, length) },
            None => Verdict::Real,
        };
    }
    match socket_of(fd) {
        // SAFETY: the program's own arguments, except for the fd.
        Some(socket) => {
            // SAFETY: as above.
            let result = unsafe { sys::raw_get_option(socket.fd(), level, name, value, length) };
            if result.is_ok() && level == libc::IPPROTO_TCP && name == libc::TCP_INFO {
                // SAFETY: the kernel has just written *length bytes there.
                unsafe { show_connecting(value.cast(), *length) };
            }
            done(result)
        }
        None => Verdict::Real,
    }
}

/// Sets tcpi_state, the first byte, to connecting: the socket may be connected to a proxy, but the program's connection
/// is not established.
///
/// # Safety
/// `info` is writable for `length` bytes.
unsafe fn show_connecting(info: *mut u8, length: socklen_t) {
    if length > 0 {
        // SAFETY: the caller's contract.
        unsafe { info.write(sys::TCP_CONNECTING) };
    }
}

/// The value of SO_ERROR where the kernel does not know it: 0 while a connect is pending, the deferred error of a
/// failed one.
fn pending_error(fd: Fd) -> Option<c_int> {
    if PENDING.count() > 0 {
        orphan::settle(fd);
        match PENDING.is_redialled(fd) {
            Some(false) => return Some(0),
            // It was the parent's end that woke the program, not the connection.
            Some(true) => PENDING.wait_for(fd),
            None => {}
        }
    }
    PENDING.take_deferred_errno(fd).map(Errno::raw)
}

/// # Safety
/// As getsockopt(2).
unsafe fn give_error(
    fd: Fd,
    error: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> Verdict<c_int> {
    // The real call checks the pointers, and clears the kernel's error.
    // SAFETY: the program's own arguments.
    match unsafe { sys::raw_get_option(fd, libc::SOL_SOCKET, libc::SO_ERROR, value, length) } {
        Ok(()) => {
            // SAFETY: the kernel has just written *length bytes there.
            unsafe {
                let size = (*length as usize).min(size_of::<c_int>());
                core::ptr::copy_nonoverlapping((&raw const error).cast::<u8>(), value.cast(), size);
            }
            Verdict::Return(0)
        }
        Err(errno) => Verdict::Fail(errno),
    }
}

/// The body of the hook.
///
/// # Safety
/// As setsockopt(2).
pub unsafe fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> Verdict<c_int> {
    match socket_of(fd) {
        // SAFETY: the program's own arguments, except for the fd.
        Some(socket) => {
            // SAFETY: as above.
            done(unsafe { sys::raw_set_option(socket.fd(), level, name, value, length) })
        }
        None => Verdict::Real,
    }
}

/// The body of the hook.
///
/// # Safety
/// As getsockname(2).
pub unsafe fn getsockname(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> Verdict<c_int> {
    match socket_of(fd) {
        // SAFETY: the program's own arguments, except for the fd.
        Some(socket) => done(unsafe { sys::raw_local_address(socket.fd(), address, length) }),
        None => Verdict::Real,
    }
}

/// Whether shutdown can go straight to libc: nothing is pending, and no thread sleeps in a connect.
pub fn is_idle_shutdown() -> bool {
    !PENDING.needs_hooks() && !ASLEEP.any()
}

/// The body of the hook.
///
/// # Safety
/// As shutdown(2).
pub unsafe fn shutdown(fd: c_int, _how: c_int) -> Verdict<c_int> {
    attempt::detach(fd);
    if PENDING.abort(fd) {
        return Verdict::Return(0);
    }
    Verdict::Real
}

fn done(result: Result<(), Errno>) -> Verdict<c_int> {
    match result {
        Ok(()) => Verdict::Return(0),
        Err(errno) => Verdict::Fail(errno),
    }
}
