//! Blocking signals and disabling thread cancellation for a while.

use super::errno;
#[cfg(target_env = "gnu")]
use super::CancelCleanup;
use crate::errno::Errno;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;

/// Blocks all signals of this thread until dropped: pthread_sigmask(3).
pub struct SignalsBlocked {
    /// `None`: they stay blocked.
    before: Option<libc::sigset_t>,
}

impl SignalsBlocked {
    pub fn new() -> SignalsBlocked {
        SignalsBlocked::all_but(None)
    }

    /// For a thread of the library, which was started with all signals blocked and never unblocks them.
    pub const fn for_good() -> SignalsBlocked {
        SignalsBlocked { before: None }
    }

    /// As [`SignalsBlocked::new`], around fork(2): SIGCHLD is not blocked where it has no handler. A child may end before
    /// the parent unblocks its signals. The kernel queues a blocked signal even if it is ignored, and then interrupts another
    /// thread with it, whose epoll_wait(2) fails with EINTR (signal(7)); without the library it would not.
    pub fn around_fork() -> SignalsBlocked {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: room for the action; nothing is changed.
        let has_handler = unsafe {
            libc::sigaction(libc::SIGCHLD, core::ptr::null(), action.as_mut_ptr());
            !matches!(
                action.assume_init().sa_sigaction,
                libc::SIG_DFL | libc::SIG_IGN
            )
        };
        SignalsBlocked::all_but((!has_handler).then_some(libc::SIGCHLD))
    }

    fn all_but(one: Option<c_int>) -> SignalsBlocked {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // sigfillset(3) leaves out the signals that libc reserves for itself.
        // SAFETY: as said.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            if let Some(signal) = one {
                libc::sigdelset(set.as_mut_ptr(), signal);
            }
        }
        let how = match one {
            None => libc::SIG_SETMASK,
            // The program may have blocked SIGCHLD itself.
            Some(_) => libc::SIG_BLOCK,
        };
        change_mask(how, set.as_ptr(), before.as_mut_ptr());
        // SAFETY: zeroed, and any bits make a set.
        let before = unsafe { before.assume_init() };
        SignalsBlocked {
            before: Some(before),
        }
    }

    /// The mask before.
    pub fn before(&self) -> Option<libc::sigset_t> {
        self.before
    }

    /// Do not restore the mask: the thread has left the frames that needed it.
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

impl Default for SignalsBlocked {
    fn default() -> SignalsBlocked {
        SignalsBlocked::new()
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            change_mask(libc::SIG_SETMASK, before, core::ptr::null_mut());
        }
    }
}

/// As pthread_sigmask(3), which is in a library of its own before glibc 2.32. The kernel's sets are smaller than libc's.
fn change_mask(how: c_int, set: *const libc::sigset_t, before: *mut libc::sigset_t) {
    let size = size_of::<u64>();
    let _ = syscall!(SYS_rt_sigprocmask, how, set, before, size);
}

extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// PTHREAD_CANCEL_DISABLE of pthread.h.
const DISABLE: c_int = 1;

/// Run `body` with cancellation of this thread disabled: pthread_setcancelstate(3). The state is restored afterwards, also
/// when a signal handler jumps out of `body`. (Not with musl, whose longjmp(3) runs no cleanup: there cancellation stays
/// disabled.)
///
/// `body` must not unwind.
pub fn uncancelled<T>(body: impl FnOnce() -> T) -> T {
    let mut before: c_int = 0;
    // SAFETY: a valid int to fill.
    unsafe { pthread_setcancelstate(DISABLE, &mut before) };
    let state = core::ptr::without_provenance_mut(before as usize);
    #[cfg(target_env = "gnu")]
    let mut place = CancelCleanup::place();
    // SAFETY: `place` is popped in this frame, which nothing leaves but a jump.
    #[cfg(target_env = "gnu")]
    unsafe {
        CancelCleanup::push(&mut place, restore, state)
    };
    let result = body();
    // SAFETY: pushed above.
    #[cfg(target_env = "gnu")]
    unsafe {
        CancelCleanup::pop(&mut place)
    };
    // SAFETY: `restore` takes the state before.
    unsafe { restore(state) };
    result
}

unsafe extern "C" fn restore(before: *mut c_void) {
    // SAFETY: NULL is allowed for the state before.
    unsafe { pthread_setcancelstate(before.addr() as c_int, core::ptr::null_mut()) };
}
