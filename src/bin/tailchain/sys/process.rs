//! Other processes: their end, and signals to them.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

pub type Pid = libc::pid_t;

/// A descriptor that can be read once the process has ended (pidfd_open(2)). Unlike its number it never means
/// another process.
///
/// # Errors
///
/// There is no such process, or the kernel is older than Linux 5.3.
pub fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match libc::c_int::try_from(fd) {
        // SAFETY: the descriptor is new and nobody else's.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A child that has ended and was not waited for yet: ours, or as process 1 of a container anybody's orphan.
pub fn reap() -> Option<(Pid, ExitStatus)> {
    let mut status = 0;
    // SAFETY: status outlives the call.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then(|| (pid, ExitStatus::from_raw(status)))
}

/// Send a signal to a child that was not waited for yet: its number is still its own. One that has ended
/// already needs none.
pub fn signal(pid: Pid, number: libc::c_int) {
    // SAFETY: takes two numbers.
    unsafe { libc::kill(pid, number) };
}
