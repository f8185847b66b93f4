//! Cleanup for a thread that leaves a frame without returning to it: cancellation, pthread_exit(3), longjmp(3).

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;

/// `struct _pthread_cleanup_buffer` of pthread.h: an entry of the thread's list of what to call when it is cancelled,
/// when it ends by pthread_exit(3), or when longjmp(3) leaves the frame that holds it.
///
/// This is the old form of pthread_cleanup_push(3), which libc keeps for compatibility. The new form costs a setjmp, and
/// longjmp(3) does not run it.
#[repr(C)]
pub struct CancelCleanup {
    routine: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
    cancel_type: c_int,
    previous: *mut CancelCleanup,
}

extern "C" {
    fn _pthread_cleanup_push(
        buffer: *mut CancelCleanup,
        routine: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    );
    fn _pthread_cleanup_pop(buffer: *mut CancelCleanup, execute: c_int);
}

impl CancelCleanup {
    pub const fn place() -> MaybeUninit<CancelCleanup> {
        MaybeUninit::zeroed()
    }

    /// From now on, `routine` is called with `argument` when the calling frame is left.
    ///
    /// # Safety
    /// `place` is a variable of that frame, which does not return, unwind or move it before [`CancelCleanup::pop`]. `routine`
    /// may be called with `argument` at any time until then.
    pub unsafe fn push(
        place: &mut MaybeUninit<CancelCleanup>,
        routine: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    ) {
        // SAFETY: the caller's contract; libc fills the buffer.
        unsafe { _pthread_cleanup_push(place.as_mut_ptr(), routine, argument) };
    }

    /// Remove the routine.
    ///
    /// # Safety
    /// This frame pushed it, and everything pushed later has been popped.
    pub unsafe fn pop(place: &mut MaybeUninit<CancelCleanup>) {
        // SAFETY: the caller's contract.
        unsafe { _pthread_cleanup_pop(place.as_mut_ptr(), 0) };
    }
}
