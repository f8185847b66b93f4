//! Waiting: ppoll(2), epoll(7), eventfd(2).

use super::{errno, Fd, OwnFd};
use crate::errno::Errno;
use core::ffi::c_int;
use std::time::Duration;

/// ppoll(2). `None`: no timeout. Returns how many fds have events; 0 on timeout.
pub fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> Result<usize, Errno> {
    let time = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
    });
    let time = time.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let no_mask = core::ptr::null::<libc::sigset_t>();
    syscall!(
        SYS_ppoll,
        fds.as_mut_ptr(),
        fds.len(),
        time,
        no_mask,
        0usize
    )
    .map(|n| n as usize)
}

/// Wait for events of one fd; `false` on timeout.
pub fn poll_one(fd: Fd, events: libc::c_short, timeout: Option<Duration>) -> Result<bool, Errno> {
    let mut one = [libc::pollfd {
        fd,
        events,
        revents: 0,
    }];
    poll(&mut one, timeout).map(|ready| ready > 0)
}

/// Sleep for `time`, or until a signal.
pub fn pause(time: Duration) {
    let _ = poll(&mut [], Some(time));
}

/// eventfd(2), close-on-exec and non-blocking.
pub fn event_counter() -> Result<OwnFd, Errno> {
    let fd = syscall!(SYS_eventfd2, 0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)?;
    Ok(OwnFd::adopt(fd as Fd))
}

/// Make an eventfd readable.
pub fn signal_event(fd: Fd) {
    let one: u64 = 1;
    let _ = syscall!(SYS_write, fd, &raw const one, size_of::<u64>());
}

/// Reset an eventfd, so that it is not readable.
pub fn clear_event(fd: Fd) {
    let mut count: u64 = 0;
    let _ = syscall!(SYS_read, fd, &raw mut count, size_of::<u64>());
}

/// epoll_create1(2), close-on-exec.
pub fn epoll() -> Result<OwnFd, Errno> {
    let fd = syscall!(SYS_epoll_create1, libc::EPOLL_CLOEXEC)?;
    Ok(OwnFd::adopt(fd as Fd))
}

/// epoll_ctl(2) EPOLL_CTL_ADD or EPOLL_CTL_MOD.
pub fn epoll_set(epoll: Fd, operation: c_int, fd: Fd, events: u32, data: u64) -> Result<(), Errno> {
    let event = libc::epoll_event { events, u64: data };
    syscall!(SYS_epoll_ctl, epoll, operation, fd, &raw const event).map(drop)
}

/// epoll_ctl(2) EPOLL_CTL_DEL.
pub fn epoll_remove(epoll: Fd, fd: Fd) -> Result<(), Errno> {
    let none = core::ptr::null::<libc::epoll_event>();
    syscall!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_DEL, fd, none).map(drop)
}

/// epoll_wait(2), the timeout rounded up to a millisecond; `None`: no timeout.
pub fn epoll_wait(
    epoll: Fd,
    events: &mut [libc::epoll_event],
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let milliseconds = timeout.map_or(-1, |timeout| {
        c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
    });
    let no_mask = core::ptr::null::<libc::sigset_t>();
    syscall!(
        SYS_epoll_pwait,
        epoll,
        events.as_mut_ptr(),
        events.len() as c_int,
        milliseconds,
        no_mask,
        8usize
    )
    .map(|n| n as usize)
}
