//! Other processes: their end, and signals to them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
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

/// From now on no other process of this user can read our memory or our environment, where the secrets are; root can
/// (PR_SET_DUMPABLE, prctl(2)). A child that calls exec is as any other.
pub fn hide_memory() {
    // SAFETY: takes two numbers. It cannot fail.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
}

/// Who called listen(2) on the other side of a connection (SO_PEERCRED, unix(7)).
///
/// # Errors
///
/// As getsockopt(2).
pub fn peer(stream: &UnixStream) -> io::Result<Pid> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: peer and size outlive the call, and size is that of peer.
    let done = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &mut size,
        )
    };
    match done {
        0 => Ok(peer.pid),
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
