//! Signals and thread cancellation, kept away for a while.

use super::errno;
use crate::errno::Errno;
use core::ffi::c_int;
use core::mem::MaybeUninit;

/// All signals of this thread blocked, for as long as it lives: pthread_sigmask(3).
pub struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    pub fn new() -> SignalsBlocked {
        let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // A valid set to fill. Those that libc keeps for itself stay out of it.
        // SAFETY: as said.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        set_mask(all.as_ptr(), before.as_mut_ptr());
        // SAFETY: zeroed, and any bits make a set.
        SignalsBlocked(unsafe { before.assume_init() })
    }
}

impl Default for SignalsBlocked {
    fn default() -> SignalsBlocked {
        SignalsBlocked::new()
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        set_mask(&self.0, core::ptr::null_mut());
    }
}

/// As pthread_sigmask(3), which is in a library of its own before glibc 2.32. The kernel's sets are smaller than libc's.
fn set_mask(set: *const libc::sigset_t, before: *mut libc::sigset_t) {
    let size = size_of::<u64>();
    let _ = syscall!(SYS_rt_sigprocmask, libc::SIG_SETMASK, set, before, size);
}

/// Cancellation of this thread disabled, for as long as it lives: pthread_setcancelstate(3).
pub struct CancellationOff(c_int);

extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// PTHREAD_CANCEL_DISABLE of pthread.h.
const DISABLE: c_int = 1;

impl CancellationOff {
    pub fn new() -> CancellationOff {
        let mut before = 0;
        // SAFETY: a valid int to fill.
        unsafe { pthread_setcancelstate(DISABLE, &mut before) };
        CancellationOff(before)
    }
}

impl Default for CancellationOff {
    fn default() -> CancellationOff {
        CancellationOff::new()
    }
}

impl Drop for CancellationOff {
    fn drop(&mut self) {
        // SAFETY: NULL is allowed for the state before.
        unsafe { pthread_setcancelstate(self.0, core::ptr::null_mut()) };
    }
}
