//! Where a hook sleeps: in the library's outermost frame, where there is nothing to drop. A sleeping thread may never
//! return: it may be cancelled (pthread_cancel(3)), or its signal handler may call siglongjmp(3).

use core::ffi::{c_int, c_short, c_void};
#[cfg(not(target_env = "gnu"))]
use core::mem;
use core::ptr;
use std::time::Duration;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, CancelCleanup, Fd};

/// A sleep until an event on an fd or a deadline.
#[derive(Clone, Copy)]
pub struct SleepRequest {
    pub fd: Fd,
    pub events: c_short,
    /// CLOCK_MONOTONIC; `None`: no deadline.
    pub until: Option<Duration>,
    /// The signal mask during the sleep; `None`: unchanged.
    pub mask: Option<libc::sigset_t>,
    /// The body's state for its next call, or null.
    pub state: *mut c_void,
    /// Frees `state` if the body is never called again.
    pub left: unsafe extern "C" fn(*mut c_void),
}

/// What a body gets when it is called again.
#[derive(Clone, Copy, Debug)]
pub struct Resumed {
    pub state: *mut c_void,
    pub slept: Result<Slept, Errno>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slept {
    Ready,
    TimedOut,
}

extern "C-unwind" {
    /// A cancellation point: cancellation unwinds the thread from here. (`libc` declares ppoll as a function that never
    /// unwinds.)
    fn ppoll(
        fds: *mut libc::pollfd,
        count: libc::nfds_t,
        time: *const libc::timespec,
        mask: *const libc::sigset_t,
    ) -> c_int;
}

/// Sleeps. errno keeps its value.
///
/// # Safety
/// `rest.left` may be called with `rest.state`, and nothing else uses `rest.state` meanwhile.
#[inline(never)]
pub unsafe fn sleep(rest: &SleepRequest) -> Resumed {
    let before = sys::errno();
    let mut pollfd = libc::pollfd {
        fd: rest.fd,
        events: rest.events,
        revents: 0,
    };
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut time_pointer = ptr::null();
    if let Some(until) = rest.until {
        let left = until.saturating_sub(sys::now());
        time.tv_sec = left.as_secs().min(i32::MAX as u64) as _;
        time.tv_nsec = libc::c_long::from(left.subsec_nanos() as i32);
        time_pointer = &raw const time;
    }
    let mask = rest.mask.as_ref().map_or(ptr::null(), ptr::from_ref);
    #[cfg(target_env = "gnu")]
    let mut place = CancelCleanup::place();
    // musl's longjmp(3) leaves the entry in the cleanup list, which runs when the thread exits. On the heap it is still
    // valid then.
    #[cfg(not(target_env = "gnu"))]
    let mut place = mem::ManuallyDrop::new(Box::new(CancelCleanup::place()));
    let has_state = !rest.state.is_null();
    if has_state {
        // SAFETY: popped below, or by libc when the frame is left; the rest is the caller's contract.
        unsafe { CancelCleanup::push(&mut place, rest.left, rest.state) };
    }
    // SAFETY: a pollfd and a timespec of this frame. If the thread is unwound, the only frames of the library are those
    // of the hook, and they have nothing to drop.
    let ready = unsafe { ppoll(&mut pollfd, 1, time_pointer, mask) };
    let error = sys::errno();
    if has_state {
        // SAFETY: pushed above.
        unsafe { CancelCleanup::pop(&mut place) };
    }
    #[cfg(not(target_env = "gnu"))]
    drop(mem::ManuallyDrop::into_inner(place));
    sys::set_errno(before);
    Resumed {
        state: rest.state,
        slept: match ready {
            0 => Ok(Slept::TimedOut),
            1.. => Ok(Slept::Ready),
            _ => Err(Errno::from_raw(error)),
        },
    }
}
