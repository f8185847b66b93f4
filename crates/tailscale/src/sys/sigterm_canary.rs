//! The canary: a child that shows whether a SIGTERM was sent to this process alone or to others as well.
//!
//! Heroku signals every process of a dyno, systemd every one of a unit, a shell those of a job. Then the program has already
//! received the signal, and for some programs a second one means to hurry (Celery gives up its tasks). A signal does not say
//! which other processes have received it, but the end of an otherwise idle child does.

use super::process::Pid;
use std::io;

/// Starts the canary, which ends when this process does.
///
/// # Errors
///
/// As fork(2).
pub fn start() -> io::Result<Pid> {
    let us = std::process::id();
    // SAFETY: the child calls nothing that is not async-signal-safe.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => run(us),
        pid => Ok(pid),
    }
}

fn run(parent: u32) -> ! {
    // SAFETY: these take numbers, or a set that is initialized by the first of them; all are async-signal-safe.
    unsafe {
        let mut all_others = std::mem::zeroed();
        libc::sigfillset(&mut all_others);
        libc::sigdelset(&mut all_others, libc::SIGTERM);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // The name in the list of processes.
        libc::prctl(libc::PR_SET_NAME, c"sigterm-canary".as_ptr());
        // A reader of a pipe may wait until all copies of these fds are closed.
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        // SIGTERM may be ignored since the start of this process.
        libc::signal(libc::SIGTERM, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_SETMASK, &all_others, std::ptr::null_mut());
        // The parent may have ended before PR_SET_PDEATHSIG was set.
        while u32::try_from(libc::getppid()) == Ok(parent) {
            libc::pause();
        }
        libc::_exit(0)
    }
}
