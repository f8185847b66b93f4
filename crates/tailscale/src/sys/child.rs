//! Actions of a child between fork and exec.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts the child in a session of its own, so that the terminal sends it no signal.
pub fn detach(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

/// Sends `signal` to the child when this process ends for any reason (exactly: when the thread ends that starts it).
pub fn end_with_us(command: &mut Command, signal: libc::c_int) {
    let us = std::process::id();
    // SAFETY: prctl and getppid are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, signal) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have ended before the call.
            match u32::try_from(libc::getppid()) == Ok(us) {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            }
        });
    }
}
