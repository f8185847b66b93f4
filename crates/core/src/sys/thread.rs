//! Threads: pthread_create(3), pthread_atfork(3).

use super::errno;
use crate::errno::Errno;
use crate::sync::atomic::{AtomicUsize, Ordering};
use core::ffi::{c_int, c_void, CStr};
use core::mem::MaybeUninit;
use core::ptr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

/// How many threads this process has now: proc(5) has a directory for each thread in /proc/self/task, whose link count tells
/// how many there are.
pub fn thread_count() -> Option<usize> {
    /// `.` and the entry in the directory above; each thread's `..` is one more.
    const LINKS: usize = 2;
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let asked = syscall!(
        SYS_newfstatat,
        libc::AT_FDCWD,
        c"/proc/self/task".as_ptr(),
        stat.as_mut_ptr(),
        0
    );
    // SAFETY: all zeroes is a valid stat, and the kernel fills it.
    let links = unsafe { stat.assume_init() }.st_nlink;
    asked.ok()?;
    usize::try_from(links).ok()?.checked_sub(LINKS)
}

struct Start {
    name: &'static CStr,
    body: Box<dyn FnOnce() + Send>,
}

/// How much of a thread's stack libc uses for itself; 0 until measured.
static RESERVED: AtomicUsize = AtomicUsize::new(0);

/// Measure how much of a thread's stack libc uses for itself: glibc puts the program's thread-local variables there,
/// megabytes in some programs, and `__pthread_get_minstack` returns the sum. Call this when the library is loaded: dlsym(3)
/// takes the loader's lock, and a thread that holds it later may wait for a lock of ours.
pub fn measure_thread_stacks() {
    type MinimumStack = unsafe extern "C" fn(*const libc::pthread_attr_t) -> usize;
    // SAFETY: the name ends with a NUL.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__pthread_get_minstack".as_ptr()) };
    if found.is_null() {
        // A libc that does not keep them there, or a glibc before 2.15.
        return;
    }
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the symbol has had this type since glibc 2.15; the attributes are made before they are used and destroyed
    // after.
    let reserved = unsafe {
        let minimum_stack = core::mem::transmute::<*mut c_void, MinimumStack>(found);
        libc::pthread_attr_init(attributes.as_mut_ptr());
        let reserved = minimum_stack(attributes.as_ptr());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        reserved
    };
    RESERVED.store(reserved, Ordering::Relaxed);
}

/// Start a detached thread with `stack` bytes of stack for `body`; untouched pages cost nothing. Not with std::thread, which
/// registers a destructor in each new thread: glibc aborts the process if there is no memory for that.
pub fn start_thread(
    name: &'static CStr,
    stack: usize,
    body: Box<dyn FnOnce() + Send>,
) -> Result<(), Errno> {
    let stack = stack.saturating_add(RESERVED.load(Ordering::Relaxed));
    let start = Box::into_raw(Box::new(Start { name, body }));
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are made before they are used and destroyed after; `start` is for the new thread alone.
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
        let error =
            libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, start.cast());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    };
    if error == 0 {
        return Ok(());
    }
    // SAFETY: there is no thread that could have it.
    drop(unsafe { Box::from_raw(start) });
    Err(Errno::from_raw(error))
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `start_thread` gave it away to this thread.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    // The name is only informative.
    let _ = syscall!(SYS_prctl, libc::PR_SET_NAME, start.name.as_ptr());
    let _ = catch_unwind(AssertUnwindSafe(start.body));
    ptr::null_mut()
}

/// An identifier of this thread, without a system call: the address of its errno, unique among the threads of a process and
/// unchanged in a forked child.
pub fn this_thread() -> usize {
    // SAFETY: it has no precondition.
    unsafe { libc::__errno_location() }.addr()
}

/// How much later than asked the kernel may end a timeout of this thread (prctl(2)); restored on drop.
pub struct TimerSlack {
    before: Duration,
    current: Duration,
}

impl TimerSlack {
    /// That of this thread.
    pub fn new() -> TimerSlack {
        let slack = syscall!(SYS_prctl, libc::PR_GET_TIMERSLACK, 0, 0, 0, 0);
        let before = slack.map_or(Duration::MAX, |slack| Duration::from_nanos(slack as u64));
        TimerSlack {
            before,
            current: before,
        }
    }

    pub fn current(&self) -> Duration {
        self.current
    }

    /// Makes timeouts as exact as they can be, if it is permitted.
    pub fn shorten(&mut self) {
        const LEAST: Duration = Duration::from_nanos(1);
        let is_known = self.before != Duration::MAX;
        if is_known && self.current > LEAST && set_timer_slack(LEAST) {
            self.current = LEAST;
        }
    }
}

impl Default for TimerSlack {
    fn default() -> TimerSlack {
        TimerSlack::new()
    }
}

impl Drop for TimerSlack {
    fn drop(&mut self) {
        if self.current != self.before {
            set_timer_slack(self.before);
        }
    }
}

fn set_timer_slack(slack: Duration) -> bool {
    let nanoseconds = slack.as_nanos() as libc::c_ulong;
    syscall!(SYS_prctl, libc::PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0).is_ok()
}

/// gettid(2).
pub fn thread_id() -> libc::pid_t {
    syscall!(SYS_gettid).unwrap_or(0) as libc::pid_t
}

/// Whether this process has a thread with this id, even an exiting one: tgkill(2) with signal 0.
pub fn has_thread(thread: libc::pid_t) -> bool {
    const NO_SIGNAL: c_int = 0;
    syscall!(SYS_tgkill, super::pid(), thread, NO_SIGNAL) != Err(Errno::ESRCH)
}

/// Run these around every fork(2) from now on: pthread_atfork(3). They must live as long as the process does; the
/// library is never unloaded.
pub fn at_fork(before: extern "C" fn(), in_parent: extern "C" fn(), in_child: extern "C" fn()) {
    // SAFETY: plain functions. It fails only without memory, and then forks go unguarded.
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
}
