//! The blocking connects that threads sleep in. A signal handler of such a thread may need access to the connect below
//! it: to abort it, to wait for it, or to keep only one copy of it after a fork.
//!
//! Only the thread that entered a call looks at it, from its signal handlers. Of this library only the sleep is on its
//! stack at that time, so no lock is needed.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use tailchain_core::sys;

/// Signal handlers do not find connects beyond this limit.
const SLOTS: usize = 64;

/// The slot belongs to no thread.
const FREE: usize = 0;

struct Slot {
    thread: AtomicUsize,
    /// Null for a moment while the slot is being claimed or freed.
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
    /// Whether any thread sleeps in a connect.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// To be called before the calling thread sleeps in `call`.
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

    /// To be called when the thread is awake, or will never return to `call`.
    pub fn leave(&self, call: *mut c_void) {
        let its = |slot: &&Slot| slot.call.load(Ordering::Relaxed) == call;
        if let Some(slot) = self.of_this_thread().find(its) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            slot.free();
        }
    }

    /// The connects that the calling thread sleeps in, below its signal handlers.
    pub fn calls_of_this_thread(&self) -> impl Iterator<Item = *mut c_void> + '_ {
        let calls = self
            .of_this_thread()
            .map(|slot| slot.call.load(Ordering::Relaxed));
        calls.filter(|call| !call.is_null())
    }

    /// In a forked child: the other threads do not exist there.
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
