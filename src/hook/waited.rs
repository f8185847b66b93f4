//! Which sockets were connected by a caller that waited, while the kernel believes that nobody did: it tells 0 to the
//! next connect(2) on them, and EISCONN from then on. After a blocking connect it is EISCONN at once.
//!
//! Asking the kernel again after each connect would cost a system call; this is a note of the last ones.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const KEPT: usize = 128;

/// SO_COOKIEs.
pub struct Waited {
    cookies: [AtomicU64; KEPT],
    next: AtomicUsize,
}

pub static WAITED: Waited = Waited {
    cookies: [const { AtomicU64::new(0) }; KEPT],
    next: AtomicUsize::new(0),
};

impl Waited {
    pub fn note(&self, cookie: u64) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % KEPT;
        if let Some(place) = self.cookies.get(index) {
            place.store(cookie, Ordering::Relaxed);
        }
    }

    /// Whether it was noted, once.
    pub fn take(&self, cookie: u64) -> bool {
        let forgotten = |place: &AtomicU64| {
            place.compare_exchange(cookie, 0, Ordering::Relaxed, Ordering::Relaxed)
        };
        self.cookies.iter().any(|place| forgotten(place).is_ok())
    }
}
