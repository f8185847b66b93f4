//! What the kernel would do with an interrupted call.

use core::mem::MaybeUninit;

/// Whether a call that a signal handler interrupted goes on (SA_RESTART, signal(7)). Which handler ran cannot
/// be asked, so this looks at all that are installed: the call ends only when none of them asks for a restart.
pub fn restart() -> bool {
    let mut handlers = 0;
    let mut restarting = 0;
    for signal in 1..=libc::SIGRTMAX() {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a NULL new action only asks; a zeroed sigaction is valid for the answer.
        let asked = unsafe { libc::sigaction(signal, core::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: zeroed, then at most filled.
        let action = unsafe { action.assume_init() };
        let handled = asked == 0
            && action.sa_sigaction != libc::SIG_DFL
            && action.sa_sigaction != libc::SIG_IGN;
        handlers += i32::from(handled);
        restarting += i32::from(handled && action.sa_flags & libc::SA_RESTART != 0);
    }
    handlers == 0 || restarting > 0
}
