//! How the kernel would treat an interrupted call.

use core::mem::MaybeUninit;

/// Whether an interrupted call is restarted (SA_RESTART, signal(7)). A program cannot find out which handler ran, so
/// this looks at all installed handlers: the call fails with EINTR only when none of them has SA_RESTART.
pub fn restart() -> bool {
    let mut handlers = 0;
    let mut restarting = 0;
    for signal in 1..=libc::SIGRTMAX() {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: with a NULL new action sigaction(2) only queries; a zeroed sigaction is a valid buffer.
        let asked = unsafe { libc::sigaction(signal, core::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: zeroed, and possibly filled by the kernel.
        let action = unsafe { action.assume_init() };
        let handled = asked == 0
            && action.sa_sigaction != libc::SIG_DFL
            && action.sa_sigaction != libc::SIG_IGN;
        handlers += i32::from(handled);
        restarting += i32::from(handled && action.sa_flags & libc::SA_RESTART != 0);
    }
    handlers == 0 || restarting > 0
}
