//! A mutex for code that runs inside somebody else's process.
//!
//! Unlike `std::sync::Mutex` it blocks all signals while it is held, since a signal handler on the same thread may call
//! a hook that takes the lock. It can also be held across fork(2) by pthread_atfork(3) handlers. Between those handlers
//! the program's own may run on the forking thread and call hooks, so for that thread the lock is reentrant meanwhile.

use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sys::{futex_wait, futex_wake, this_thread, SignalsBlocked};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and a thread sleeps until it is released.
const CONTENDED: u32 = 2;

/// No thread: see [`this_thread`].
const NOBODY: usize = 0;

pub struct Lock<T> {
    state: AtomicU32,
    /// The thread that holds it across a fork ([`Lock::seize`]), or [`NOBODY`].
    forking: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time accesses the value, and T may be sent to any thread.
unsafe impl<T: Send> Sync for Lock<T> {}

pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// The calling thread is forking and holds the lock already.
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

    /// As [`Lock::lock`], for a caller that has blocked the signals already.
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

    /// Locks without a guard: for the pthread_atfork(3) handler that runs before fork.
    pub fn seize(&self) {
        acquire(&self.state);
        self.forking.store(this_thread(), Ordering::Relaxed);
    }

    /// Whether the calling thread is between its fork handlers, in the parent or in the child.
    pub fn is_seized_here(&self) -> bool {
        // No other thread stores this one's address.
        self.forking.load(Ordering::Relaxed) == this_thread()
    }

    /// The guarded value, between [`Lock::seize`] and [`Lock::release`].
    ///
    /// # Safety
    /// The calling thread has seized the lock and holds no other reference to the value.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn seized(&self) -> &mut T {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.value.get() }
    }

    /// Frees the lock in a child that was created without the fork handlers, e.g. by clone(2). If a thread of the parent
    /// held it, the value may be inconsistent: it is leaked and replaced by `anew()`.
    ///
    /// # Safety
    /// No other thread of this process uses the lock, and the calling thread holds no guard of it.
    pub unsafe fn renew(&self, anew: impl FnOnce() -> T) {
        if self.state.load(Ordering::Acquire) != FREE {
            // SAFETY: no other thread uses it. `write` does not drop the old value, which may be inconsistent.
            unsafe { self.value.get().write(anew()) };
            self.forking.store(NOBODY, Ordering::Relaxed);
            release(&self.state);
        }
    }

    /// Unlocks: for the handlers that run after fork, in the parent and in the child.
    ///
    /// # Safety
    /// The calling thread has taken the lock with [`Lock::seize`], in this process or before the fork.
    pub unsafe fn release(&self) {
        self.forking.store(NOBODY, Ordering::Relaxed);
        release(&self.state);
    }
}

// Separate functions with C's calling convention, so that tests/probes/helgrind_lock.c can wrap them: a data-race
// detector has no other way to know this lock.

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
        // Signals are unblocked afterwards, when the field is dropped.
        if !self.nested {
            release(&self.lock.state);
        }
    }
}

/// A counter whose change threads can wait for. It advances without a system call while no thread waits.
#[derive(Default)]
pub struct Generation(AtomicU32);

/// The lowest bit of a [`Generation`]: a thread may wait for its change. The count is in the others.
const AWAITED: u32 = 1;

impl Generation {
    pub const fn new() -> Generation {
        Generation(AtomicU32::new(0))
    }

    pub fn now(&self) -> u32 {
        self.0.load(Ordering::Acquire) >> 1
    }

    pub fn advance(&self) {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let next = (word & !AWAITED).wrapping_add(2);
            match self
                .0
                .compare_exchange(word, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(other) => word = other,
            }
        }
        if word & AWAITED != 0 {
            futex_wake(&self.0, i32::MAX);
        }
    }

    /// Sleeps while the counter is `seen`; may wake spuriously.
    pub fn wait(&self, seen: u32) {
        let (word, awaited) = (seen << 1, seen << 1 | AWAITED);
        match self
            .0
            .compare_exchange(word, awaited, Ordering::Relaxed, Ordering::Relaxed)
        {
            Err(other) if other != awaited => {}
            _ => futex_wait(&self.0, awaited),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forking_thread_may_lock_what_it_seized() {
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
    fn the_lock_is_mutually_exclusive() {
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
