//! Other processes: waiting for them and signalling them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

pub type Pid = libc::pid_t;

/// An fd that becomes readable when the process ends (pidfd_open(2)). Unlike a pid it never refers to another process.
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

/// Keeps other processes of this user, but not root, from reading the memory and the environment of this one, which hold the
/// secrets (PR_SET_DUMPABLE, prctl(2)). Children that call exec do not inherit this.
pub fn hide_memory() {
    // SAFETY: takes two numbers. It cannot fail.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
}

/// The process that called listen(2) at the other end of a connection (SO_PEERCRED, unix(7)).
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

/// Reaps a child that has ended: ours or, if this is process 1 of a container, any orphan.
pub fn reap() -> Option<(Pid, ExitStatus)> {
    let mut status = 0;
    // SAFETY: status outlives the call.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then(|| (pid, ExitStatus::from_raw(status)))
}

/// Sends a signal to a child that has not been reaped, so that its pid cannot have been reused. If it has ended, the signal
/// has no effect.
pub fn signal(pid: Pid, number: libc::c_int) {
    // SAFETY: takes two numbers.
    unsafe { libc::kill(pid, number) };
}
