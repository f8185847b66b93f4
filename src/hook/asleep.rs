//! The blocking connects that threads are asleep in. What a signal handler of such a thread does may need its connect to
//! go on without it: to end it, to wait for it, or to have it once after a fork.
//!
//! Only the thread that entered a call looks at it, in its handlers, and nothing of ours is on its stack then but the
//! sleep: so there is nothing to wait for here.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use tailchain_core::sys;

/// Connects beyond that are not found by their handlers.
const SLOTS: usize = 64;

/// No thread.
const FREE: usize = 0;

struct Slot {
    thread: AtomicUsize,
    /// Null for a moment, when it is not there yet or no longer.
    call: AtomicPtr<c_void>,
}

pub struct Asleep {
    slots: [Slot; SLOTS],
    count: AtomicUsize,
}

pub static ASLEEP: Asleep = Asleep {
    slots: [const {
        Slot {
            thread: AtomicUsize::new(FREE),
            call: AtomicPtr::new(ptr::null_mut()),
        }
    }; SLOTS],
    count: AtomicUsize::new(0),
};

impl Asleep {
    /// Whether any thread is.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// The calling thread is about to sleep.
    pub fn enter(&self, call: *mut c_void) {
        let this = sys::this_thread();
        let claimed = |slot: &&Slot| {
            let claim =
                slot.thread
                    .compare_exchange(FREE, this, Ordering::Relaxed, Ordering::Relaxed);
            claim.is_ok()
        };
        if let Some(slot) = self.slots.iter().find(claimed) {
            slot.call.store(call, Ordering::Relaxed);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is awake, or will not come back.
    pub fn leave(&self, call: *mut c_void) {
        let its = |slot: &&Slot| slot.call.load(Ordering::Relaxed) == call;
        if let Some(slot) = self.of_this_thread().find(its) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            slot.free();
        }
    }

    /// What the calling thread sleeps in, below its signal handlers.
    pub fn calls_of_this_thread(&self) -> impl Iterator<Item = *mut c_void> + '_ {
        let calls = self
            .of_this_thread()
            .map(|slot| slot.call.load(Ordering::Relaxed));
        calls.filter(|call| !call.is_null())
    }

    /// In a forked child: the other threads are not there.
    pub fn forget_other_threads(&self) {
        let this = sys::this_thread();
        for slot in &self.slots {
            if ![FREE, this].contains(&slot.thread.load(Ordering::Relaxed)) {
                slot.free();
            }
        }
        let count = self.calls_of_this_thread().count();
        self.count.store(count, Ordering::Relaxed);
    }

    fn of_this_thread(&self) -> impl Iterator<Item = &Slot> + '_ {
        let this = sys::this_thread();
        let slots = self.slots.iter();
        slots.filter(move |slot| slot.thread.load(Ordering::Relaxed) == this)
    }
}

impl Slot {
    fn free(&self) {
        self.call.store(ptr::null_mut(), Ordering::Relaxed);
        self.thread.store(FREE, Ordering::Relaxed);
    }
}
