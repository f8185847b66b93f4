//! The canary: a child that shows whether a SIGTERM was sent to us alone, or to other processes as well.
//!
//! Heroku signals every process of a dyno, systemd every one of a unit, a shell those of a job. The program that we
//! run has the signal then, and a second one tells some programs to hurry (Celery gives up its tasks). A signal does
//! not say who else got it; but a process beside ours that does nothing, and ends by it, does.

use super::process::Pid;
use std::io;

/// It ends when we do.
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
        // For who looks at the list of processes.
        libc::prctl(libc::PR_SET_NAME, c"sigterm-canary".as_ptr());
        // Somebody may wait for the end of what these lead to.
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        // We may have been started with SIGTERM ignored.
        libc::signal(libc::SIGTERM, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_SETMASK, &all_others, std::ptr::null_mut());
        // The parent may have ended before it was watched.
        while u32::try_from(libc::getppid()) == Ok(parent) {
            libc::pause();
        }
        libc::_exit(0)
    }
}
