//! What a child does between fork and exec.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// In a session of its own: no terminal that closes, and no key on it, sends it a signal.
pub fn detach(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

/// The child gets `signal` when we end, however we end. (When the thread ends that starts it, to be exact.)
pub fn end_with_us(command: &mut Command, signal: libc::c_int) {
    let us = std::process::id();
    // SAFETY: prctl and getppid are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, signal) != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have ended before the call.
            match u32::try_from(libc::getppid()) == Ok(us) {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            }
        });
    }
}
