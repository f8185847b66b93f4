//! epoll_create(2), epoll_ctl(2): only to remember what is registered, for the exchange of the file under a number.

use super::boundary::Verdict;
use super::table::real;
use crate::pending::PENDING;
use core::ffi::c_int;
use libc::epoll_event;
use tailchain_core::errno::Errno;
use tailchain_core::pending::registrations::Registration;
use tailchain_core::sys;

/// The body of the hook.
///
/// # Safety
/// As epoll_ctl(2).
pub unsafe fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments.
    match unsafe { real::epoll_ctl(epoll, operation, fd, event) } {
        Some(0) => {}
        Some(_) => return Verdict::Fail(Errno::from_raw(sys::errno())),
        None => return Verdict::Fail(Errno::ENOSYS),
    }
    if operation == libc::EPOLL_CTL_DEL {
        PENDING.registrations.remove(epoll, fd);
    } else {
        // SAFETY: the kernel has just read it.
        let event = unsafe { event.read_unaligned() };
        PENDING.registrations.set(Registration {
            epoll,
            fd,
            events: event.events,
            data: event.u64,
        });
    }
    Verdict::Return(0)
}

/// The body of the hook.
///
/// # Safety
/// As epoll_create(2).
pub unsafe fn epoll_create(size: c_int) -> Verdict<c_int> {
    // SAFETY: the program's own argument.
    created(unsafe { real::epoll_create(size) })
}

/// The body of the hook.
///
/// # Safety
/// As epoll_create1(2).
pub unsafe fn epoll_create1(flags: c_int) -> Verdict<c_int> {
    // SAFETY: the program's own argument.
    created(unsafe { real::epoll_create1(flags) })
}

fn created(epoll: Option<c_int>) -> Verdict<c_int> {
    match epoll {
        Some(epoll) if epoll >= 0 => {
            PENDING.registrations.created(epoll);
            Verdict::Return(epoll)
        }
        Some(_) => Verdict::Fail(Errno::from_raw(sys::errno())),
        None => Verdict::Fail(Errno::ENOSYS),
    }
}
