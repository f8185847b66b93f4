//! The checker's atomics, and a thread that dies at any access.

pub mod atomic {
    use super::fuse;
    pub use loom::sync::atomic::{fence, Ordering};

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            pub struct $name {
                real: loom::sync::atomic::$name,
                /// Stored to before each access. loom explores another order if an access depends on the *last* one to
                /// the same atomic, and treats two loads as independent: after one thread's load, the load that begins
                /// another's compare-and-swap would hide the first from the swap, and orders would be missed. With
                /// this, all accesses to one atomic depend on each other.
                twin: loom::sync::atomic::AtomicBool,
            }

            impl $name {
                pub fn new(value: $value) -> $name {
                    $name {
                        real: loom::sync::atomic::$name::new(value),
                        twin: loom::sync::atomic::AtomicBool::new(false),
                    }
                }

                fn touch(&self) {
                    fuse::burn();
                    self.twin.store(false, Ordering::Relaxed);
                }

                #[track_caller]
                pub fn load(&self, order: Ordering) -> $value {
                    self.touch();
                    self.real.load(order)
                }

                #[track_caller]
                pub fn store(&self, value: $value, order: Ordering) {
                    self.touch();
                    self.real.store(value, order)
                }

                #[track_caller]
                pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.touch();
                    self.real.fetch_add(value, order)
                }

                #[track_caller]
                pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    self.touch();
                    self.real.fetch_max(value, order)
                }

                #[track_caller]
                pub fn compare_exchange(
                    &self,
                    old: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.touch();
                    self.real.compare_exchange(old, new, success, failure)
                }
            }
        };
    }

    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);
    atomic!(AtomicUsize, usize);
}

/// kill(2) with SIGKILL at any moment: the thread ends before its n-th access to an atomic.
pub mod fuse {
    use loom::thread::{current, ThreadId};
    use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
    use std::sync::Mutex;

    struct Killed;

    /// Which thread is killed, and after how many accesses. The threads of a model take turns on one real thread.
    static VICTIM: Mutex<Option<(ThreadId, usize)>> = Mutex::new(None);

    /// Runs `body` for at most this many accesses; returns whether it completed.
    pub fn limit(accesses: usize, body: impl FnOnce()) -> bool {
        *VICTIM.lock().unwrap() = Some((current().id(), accesses));
        let ended = catch_unwind(AssertUnwindSafe(body));
        *VICTIM.lock().unwrap() = None;
        match ended {
            Err(panic) if !panic.is::<Killed>() => resume_unwind(panic),
            ended => ended.is_ok(),
        }
    }

    pub(super) fn burn() {
        let mut victim = VICTIM.lock().unwrap();
        match victim.as_mut() {
            Some((thread, 0)) if *thread == current().id() => {
                *victim = None;
                drop(victim);
                resume_unwind(Box::new(Killed));
            }
            Some((thread, left)) if *thread == current().id() => *left -= 1,
            _ => {}
        }
    }
}
