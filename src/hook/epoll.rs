//! epoll_ctl(2) and epoll_create(2): they record what is registered, since swap_fd must register it again.

use super::boundary::Verdict;
use crate::pending::PENDING;
use core::ffi::c_int;
use hooks::real;
use libc::epoll_event;
use tailchain_core::errno::Errno;
use tailchain_core::pending::registrations::Registration;
use tailchain_core::sys;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::epoll;
    use core::ffi::c_int;
    use libc::epoll_event;

    hooks! {
        find current;

        /// epoll_ctl(2): records the registration.
        ///
        /// Async-signal-safe except for an fd that is in two instances (which allocates). After fork: as before. After
        /// vfork: as before, and harmless.
        fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int
            = epoll::epoll_ctl, fails -1, quick epoll::quick_epoll_ctl;

        /// epoll_create1(2): creates an instance whose registrations may not pass through libc.
        ///
        /// Not async-signal-safe (it allocates). After fork: as before. After vfork: as before, and harmless.
        fn epoll_create1(flags: c_int) -> c_int
            = epoll::epoll_create1, fails -1;

        /// epoll_create(2): as epoll_create1.
        ///
        /// Not async-signal-safe. After fork: as before. After vfork: as before, and harmless.
        fn epoll_create(size: c_int) -> c_int
            = epoll::epoll_create, fails -1;
    }
}

/// The usual call: no connect is pending, and the fd is in no other instance. `None`: not such a call.
///
/// # Safety
/// As epoll_ctl(2).
pub unsafe fn quick_epoll_ctl(
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> Option<c_int> {
    if PENDING.count() > 0 {
        return None;
    }
    let place = PENDING.registrations.place(epoll, operation, fd)?;
    // SAFETY: the program's own arguments.
    let result = unsafe { real::epoll_ctl(epoll, operation, fd, event) }?;
    if result == 0 {
        match operation {
            libc::EPOLL_CTL_DEL => place.remove(),
            _ => {
                // SAFETY: the kernel has just read it.
                let event = unsafe { event.read_unaligned() };
                place.set(event.events, event.u64);
            }
        }
    }
    Some(result)
}

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
    // Locked, so that no swap_fd runs between the system call and the record of it.
    let _held = PENDING.lock_fd(fd);
    // SAFETY: the program's own arguments.
    match unsafe { real::epoll_ctl(epoll, operation, fd, event) } {
        Some(0) => {}
        Some(_) => return Verdict::Fail(Errno::from_raw(sys::errno())),
        None => return Verdict::Fail(Errno::ENOSYS),
    }
    PENDING.detect_fork();
    if operation == libc::EPOLL_CTL_DEL {
        PENDING.registrations.remove(epoll, fd);
    } else {
        // SAFETY: the kernel has just read it.
        let event = unsafe { event.read_unaligned() };
        let new = Registration {
            epoll,
            fd,
            events: event.events,
            data: event.u64,
        };
        match operation {
            libc::EPOLL_CTL_MOD => PENDING.registrations.change(new),
            _ => PENDING.registrations.set(new),
        }
    }
    Verdict::Return(0)
}

/// The body of the hook.
///
/// # Safety
/// As epoll_create1(2).
pub unsafe fn epoll_create1(flags: c_int) -> Verdict<c_int> {
    // SAFETY: the program's own argument.
    made(unsafe { real::epoll_create1(flags) })
}

/// The body of the hook.
///
/// # Safety
/// As epoll_create(2).
pub unsafe fn epoll_create(size: c_int) -> Verdict<c_int> {
    // SAFETY: the program's own argument.
    made(unsafe { real::epoll_create(size) })
}

fn made(result: Option<c_int>) -> Verdict<c_int> {
    Verdict::of_call(result).and_then(|epoll| {
        PENDING.detect_fork();
        PENDING.registrations.rings.epoll_made(epoll);
        Verdict::Return(epoll)
    })
}
