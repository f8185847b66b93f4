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

struct Counters {
    proxied: AtomicU64,
    direct: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

static COUNTERS: Counters = Counters {
    proxied: AtomicU64::new(0),
    direct: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    failed: AtomicU64::new(0),
};

pub fn count(counter: Counter) {
    value(counter).fetch_add(1, Ordering::Relaxed);
}

pub fn counted(counter: Counter) -> u64 {
    value(counter).load(Ordering::Relaxed)
}

fn value(counter: Counter) -> &'static AtomicU64 {
    match counter {
        Counter::Proxied => &COUNTERS.proxied,
        Counter::Direct => &COUNTERS.direct,
        Counter::Refused => &COUNTERS.refused,
        Counter::Failed => &COUNTERS.failed,
    }
}
