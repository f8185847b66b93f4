//! A lock for code that lives in somebody else's process.
//!
//! Unlike std's it blocks all signals while it is held, since a handler may call one of our hooks on the very
//! thread that holds it; and it can be held over fork(2) by a pair of pthread_atfork(3) handlers. Between those two other
//! handlers may run on the forking thread and call our hooks, so to that thread it is open all the while.

use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sys::{futex_wait, futex_wake, this_thread, SignalsBlocked};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody sleeps for it.
const CONTENDED: u32 = 2;

/// No thread: see [`this_thread`].
const NOBODY: usize = 0;

pub struct Lock<T> {
    state: AtomicU32,
    /// The thread that seized it for a fork.
    forking: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one thread at a time, which may be any that T can be sent to.
unsafe impl<T: Send> Sync for Lock<T> {}

pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// Within a fork of this thread, which holds it anyway.
    nested: bool,
    _signals: Option<SignalsBlocked>,
}

impl<T> Lock<T> {
    pub const fn new(value: T) -> Lock<T> {
        Lock {
            state: AtomicU32::new(FREE),
            forking: AtomicUsize::new(NOBODY),
            value: UnsafeCell::new(value),
        }
    }

    pub fn lock(&self) -> Guard<'_, T> {
        self.acquire(Some(SignalsBlocked::new()))
    }

    /// As [`Lock::lock`], where signals are blocked for longer than it is held.
    pub fn lock_within<'a>(&'a self, _blocked: &'a SignalsBlocked) -> Guard<'a, T> {
        self.acquire(None)
    }

    fn acquire(&self, signals: Option<SignalsBlocked>) -> Guard<'_, T> {
        let nested = self.is_seized_here();
        if !nested {
            acquire(&self.state);
        }
        Guard {
            lock: self,
            nested,
            _signals: signals,
        }
    }

    /// Take it without a guard: in the handler that runs before fork.
    pub fn seize(&self) {
        acquire(&self.state);
        self.forking.store(this_thread(), Ordering::Relaxed);
    }

    /// Whether the calling thread seized it: it is between the handlers around a fork, in the parent or in the child.
    pub fn is_seized_here(&self) -> bool {
        // No other thread stores this one's address.
        self.forking.load(Ordering::Relaxed) == this_thread()
    }

    /// What it guards, between [`Lock::seize`] and [`Lock::release`].
    ///
    /// # Safety
    /// The calling thread seized it, and holds no other reference to the value.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn seized(&self) -> &mut T {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.value.get() }
    }

    /// In a child that got a copy of this memory without the handlers around fork: make it free again. What it guards is
    /// half changed where a thread held it that is not there; then it is left behind, as it is, and made anew.
    ///
    /// # Safety
    /// No other thread of this process uses the lock, and the calling one holds no guard of it.
    pub unsafe fn renew(&self, anew: impl FnOnce() -> T) {
        if self.state.load(Ordering::Acquire) != FREE {
            // SAFETY: nobody else uses it; the old value is not dropped, for it may be in any state.
            unsafe { self.value.get().write(anew()) };
            self.forking.store(NOBODY, Ordering::Relaxed);
            release(&self.state);
        }
    }

    /// Give it back: in the handlers that run after fork, in the parent and in the child.
    ///
    /// # Safety
    /// The caller, or the thread that forked it, took it with [`Lock::seize`].
    pub unsafe fn release(&self) {
        self.forking.store(NOBODY, Ordering::Relaxed);
        release(&self.state);
    }
}

// These two are functions of their own, with C's calling convention, so that a tool which looks for data races can
// be told what they do: it has no other way to know this lock (tests/probes/helgrind_lock.c).

#[inline(never)]
extern "C" fn acquire(state: &AtomicU32) {
    let taken = state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
    if taken.is_err() {
        while state.swap(CONTENDED, Ordering::Acquire) != FREE {
            futex_wait(state, CONTENDED);
        }
    }
}

#[inline(never)]
extern "C" fn release(state: &AtomicU32) {
    if state.swap(FREE, Ordering::Release) == CONTENDED {
        futex_wake(state, 1);
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and this guard is borrowed for as long as the reference lives.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // The signals are let in again afterwards, when the field is dropped.
        if !self.nested {
            release(&self.lock.state);
        }
    }
}

/// A number that threads can wait on to change.
#[derive(Default)]
pub struct Generation(AtomicU32);

impl Generation {
    pub const fn new() -> Generation {
        Generation(AtomicU32::new(0))
    }

    pub fn now(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
        futex_wake(&self.0, i32::MAX);
    }

    /// Sleep until it is no longer `seen`, or for no reason.
    pub fn wait(&self, seen: u32) {
        futex_wait(&self.0, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_forks_may_lock_what_it_seized() {
        let lock = Lock::new(0);
        lock.seize();
        assert!(lock.is_seized_here());
        *lock.lock() += 1;
        *lock.lock() += 1;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| !lock.is_seized_here() && *lock.lock() == 2);
            // SAFETY: seized above.
            unsafe { lock.release() };
            assert!(other.join().unwrap());
        });
        assert!(!lock.is_seized_here());
        assert_eq!(*lock.lock(), 2);
    }

    #[test]
    fn one_thread_at_a_time() {
        static COUNT: Lock<u64> = Lock::new(0);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..10_000 {
                        *COUNT.lock() += 1;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*COUNT.lock(), 80_000);
    }
}
