//! The checker's atomics, with a const `new`, as the shipped ones have.

pub mod atomic {
    /// For the id of the thread that is forking: in every order, a thread finds its own id only if it has stored it.
    pub use core::sync::atomic::AtomicUsize;
    pub use loom::sync::atomic::Ordering;
    use std::sync::OnceLock;

    #[derive(Default)]
    pub struct AtomicU32 {
        first: u32,
        real: OnceLock<(
            loom::sync::atomic::AtomicU32,
            loom::sync::atomic::AtomicBool,
        )>,
    }

    impl AtomicU32 {
        pub const fn new(first: u32) -> AtomicU32 {
            AtomicU32 {
                first,
                real: OnceLock::new(),
            }
        }

        /// `names/sync.rs` explains why there is a twin.
        #[track_caller]
        fn touch(&self) -> &loom::sync::atomic::AtomicU32 {
            let (real, twin) = self.real.get_or_init(|| {
                let real = loom::sync::atomic::AtomicU32::new(self.first);
                (real, loom::sync::atomic::AtomicBool::new(false))
            });
            twin.store(false, Ordering::Relaxed);
            real
        }

        #[track_caller]
        pub fn load(&self, order: Ordering) -> u32 {
            self.touch().load(order)
        }

        #[track_caller]
        pub fn swap(&self, value: u32, order: Ordering) -> u32 {
            self.touch().swap(value, order)
        }

        #[track_caller]
        pub fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
            self.touch().fetch_add(value, order)
        }

        #[track_caller]
        pub fn compare_exchange(
            &self,
            old: u32,
            new: u32,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u32, u32> {
            self.touch().compare_exchange(old, new, success, failure)
        }
    }
}
