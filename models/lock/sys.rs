//! The system calls that the lock makes.

use crate::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};
use std::sync::Arc;

/// No signal is ever sent here.
pub struct SignalsBlocked;

impl SignalsBlocked {
    pub fn new() -> SignalsBlocked {
        SignalsBlocked
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {}
}

pub fn this_thread() -> usize {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    loom::thread::current().id().hash(&mut hasher);
    hasher.finish() as usize | 1
}

loom::lazy_static! {
    /// All waiters share one queue, and check whether the wake was for their word.
    static ref QUEUE: Queue = Queue::default();
}

#[derive(Default)]
struct Queue {
    sleepers: Mutex<Vec<Arc<Sleeper>>>,
}

struct Sleeper {
    word: usize,
    awake: Condvar,
}

pub fn futex_wait(word: &AtomicU32, value: u32) {
    let mut sleepers = QUEUE.sleepers.lock().unwrap();
    // Under the kernel's lock, so that no wake can happen in between.
    if word.load(Ordering::Relaxed) != value {
        return;
    }
    let sleeper = Arc::new(Sleeper {
        word: core::ptr::from_ref(word) as usize,
        awake: Condvar::new(),
    });
    sleepers.push(sleeper.clone());
    while sleepers.iter().any(|other| Arc::ptr_eq(other, &sleeper)) {
        sleepers = sleeper.awake.wait(sleepers).unwrap();
    }
}

pub fn futex_wake(word: &AtomicU32, how_many: i32) {
    let mut sleepers = QUEUE.sleepers.lock().unwrap();
    let word = core::ptr::from_ref(word) as usize;
    for _ in 0..how_many {
        let Some(place) = sleepers.iter().position(|sleeper| sleeper.word == word) else {
            break;
        };
        sleepers.remove(place).awake.notify_one();
    }
}
