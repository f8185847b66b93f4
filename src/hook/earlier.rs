//! An earlier connect of the same socket, which is still pending, or has ended without the program asking how.

use super::boundary::Verdict;
use super::orphan;
use super::signals;
use super::sleep::{SleepRequest, Slept};
use crate::pending::PENDING;
use core::ffi::c_void;
use core::ptr;
use std::time::Duration;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::{forget_association, unconnectable_address};
use tailchain_core::sys::{self, Fd};

/// The result of the earlier connect, if there is one. The kernel reports it to the next connect(2), too; on a blocking socket, whose first connect was interrupted, that waits
/// for the end.
pub fn result(fd: Fd) -> Option<Verdict<()>> {
    if PENDING.count() > 0 {
        orphan::settle(fd);
        match PENDING.blocks(fd) {
            Some(false) => return Some(Verdict::Fail(Errno::EALREADY)),
            Some(true) => return Some(wait(fd)),
            None => {}
        }
    }
    let deferred = PENDING.deferred_error(fd)?;
    forget_association(fd, deferred.errno);
    (!deferred.by_program).then_some(Verdict::Fail(deferred.errno))
}

/// Waits for the pending connect of a blocking socket, as the kernel does in a second connect(2).
pub fn wait(fd: Fd) -> Verdict<()> {
    if PENDING.is_driven_here(fd) {
        // In a signal handler of the thread that makes the tunnel, when its attempt could not be detached.
        return Verdict::Fail(Errno::EALREADY);
    }
    let limit = limit_of(fd);
    Verdict::Sleep(SleepRequest {
        fd,
        events: libc::POLLOUT,
        until: limit.map(|limit| sys::now() + limit),
        mask: None,
        state: ptr::null_mut(),
        left: nothing_to_free,
    })
}

/// SO_SNDTIMEO of a socket that is connecting.
fn limit_of(fd: Fd) -> Option<Duration> {
    let socket = PENDING.socket_of(fd)?;
    sys::send_timeout(socket.fd()).ok().flatten()
}

unsafe extern "C" fn nothing_to_free(_: *mut c_void) {}

/// The thread that waited for it woke up.
pub fn resume(slept: Result<Slept, Errno>, fd: Fd) -> Verdict<()> {
    match slept {
        Err(Errno::EINTR) if limit_of(fd).is_some() || !signals::restart() => {
            Verdict::Fail(Errno::EINTR)
        }
        Ok(Slept::TimedOut) => Verdict::Fail(Errno::EALREADY),
        _ => result(fd).unwrap_or_else(|| end(fd).into()),
    }
}

/// How it ended.
fn end(fd: Fd) -> Result<(), Errno> {
    if sys::peer_address(fd).is_ok() {
        // Let the kernel count this call as the one that saw the end: the next one gives EISCONN.
        let _ = sys::connect(fd, &unconnectable_address());
        return Ok(());
    }
    let owed = PENDING.take_deferred_errno(fd);
    let errno = owed.or(sys::pending_error(fd)?);
    // Another waiting thread has consumed the error: the kernel reports it once.
    let errno = errno.unwrap_or(Errno::EPIPE);
    forget_association(fd, errno);
    Err(errno)
}
