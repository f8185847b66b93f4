//! Sockets whose connect the hook waited for while the kernel's connect was non-blocking. The kernel's state still
//! returns 0 to the next connect(2) and EISCONN only after that; after a blocking connect it must be EISCONN at once.
//!
//! Asking the kernel after each connect would cost a system call. So the most recent such sockets are recorded.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const KEPT: usize = 128;

/// A ring of SO_COOKIEs.
pub struct RecentConnects {
    cookies: [AtomicU64; KEPT],
    next: AtomicUsize,
}

pub static RECENT_CONNECTS: RecentConnects = RecentConnects {
    cookies: [const { AtomicU64::new(0) }; KEPT],
    next: AtomicUsize::new(0),
};

impl RecentConnects {
    pub fn record(&self, cookie: u64) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % KEPT;
        if let Some(slot) = self.cookies.get(index) {
            slot.store(cookie, Ordering::Relaxed);
        }
    }

    /// Whether the socket was recorded. Removes the record.
    pub fn take(&self, cookie: u64) -> bool {
        let removed = |slot: &AtomicU64| {
            slot.compare_exchange(cookie, 0, Ordering::Relaxed, Ordering::Relaxed)
        };
        self.cookies.iter().any(|slot| removed(slot).is_ok())
    }
}
