//! Counters for the C API. Per process; a forked child starts with its parent's values.

use core::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug)]
pub enum Counter {
    /// Tunnels that were established.
    Proxied,
    /// Left to libc by a rule.
    Direct,
    /// Refused by a rule.
    Refused,
    /// Tunnels that failed.
    Failed,
}

/// One slot for each [`Counter`]. One that has no slot is not counted, and nothing reports it.
static COUNTERS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

pub fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get(counter as usize) {
        slot.fetch_add(1, Ordering::Relaxed);
    }
}

pub fn counted(counter: Counter) -> u64 {
    COUNTERS
        .get(counter as usize)
        .map_or(0, |slot| slot.load(Ordering::Relaxed))
}
