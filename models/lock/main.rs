//! The lock, and the futex word that threads wait on: in every order, on a weakly ordered memory.
//!
//! `lock.rs` is the shipped file. The atomics are loom's, and the model's futex(2) is built of loom's primitives; it
//! orders memory more strongly than the kernel promises, but only for the threads that sleep.

#![allow(dead_code)]

#[path = "../check.rs"]
mod check;
#[path = "../../crates/core/src/lock.rs"]
mod lock;
mod sync;
mod sys;

use check::every_order;
use lock::{Generation, Lock};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

/// Data that the checker watches: an access that does not happen after the last one is reported.
struct Watched(UnsafeCell<u32>);

// SAFETY: the checker ends the run if two threads access it at once.
unsafe impl Sync for Watched {}

impl Watched {
    fn new() -> Watched {
        Watched(UnsafeCell::new(0))
    }

    fn count_up(&self) {
        // SAFETY: the checker verifies that no other thread accesses it now.
        self.0.with_mut(|number| unsafe { *number += 1 });
    }

    fn number(&self) -> u32 {
        // SAFETY: as above.
        self.0.with(|number| unsafe { *number })
    }
}

fn main() {
    every_order("two threads lock twice", Some(5), || {
        let lock = locked_once();
        let other = {
            let lock = lock.clone();
            thread::spawn(move || (0..2).for_each(|_| lock.lock().count_up()))
        };
        (0..2).for_each(|_| lock.lock().count_up());
        other.join().unwrap();
        assert_eq!(lock.lock().number(), 5);
    });

    every_order("three threads lock", Some(3), || {
        let lock = locked_once();
        let others = [(); 2].map(|()| {
            let lock = lock.clone();
            thread::spawn(move || lock.lock().count_up())
        });
        lock.lock().count_up();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(lock.lock().number(), 4);
    });

    every_order("a fork beside a thread that locks", None, || {
        let lock = locked_once();
        let other = {
            let lock = lock.clone();
            thread::spawn(move || lock.lock().count_up())
        };
        lock.seize();
        // SAFETY: locked above, and unlocked once.
        unsafe {
            lock.seized().count_up();
            lock.release();
        }
        other.join().unwrap();
        assert_eq!(lock.lock().number(), 3);
    });

    every_order(
        "who waits for a generation sees what came before it",
        None,
        || {
            let generation = Arc::new(Generation::new());
            generation.now();
            let number = Arc::new(Watched::new());
            let other = {
                let (generation, number) = (generation.clone(), number.clone());
                thread::spawn(move || {
                    number.count_up();
                    generation.advance();
                })
            };
            while generation.now() == 0 {
                generation.wait(0);
            }
            // Before the join, which would synchronize, too.
            assert_eq!(number.number(), 1);
            other.join().unwrap();
        },
    );

    every_order(
        "a generation advances twice beside two who wait",
        Some(2),
        || {
            let generation = Arc::new(Generation::new());
            generation.now();
            let waiters = [(); 2].map(|()| {
                let generation = generation.clone();
                thread::spawn(move || {
                    while generation.now() < 2 {
                        generation.wait(generation.now().min(1));
                    }
                })
            });
            generation.advance();
            generation.advance();
            waiters
                .into_iter()
                .for_each(|waiter| waiter.join().unwrap());
        },
    );
}

/// The checker registers an atomic at its first access, which must come before everything else.
fn locked_once() -> Arc<Lock<Watched>> {
    let lock = Arc::new(Lock::new(Watched::new()));
    lock.lock().count_up();
    lock
}
