//! A cache of tailscaled's answers, for this process and its forked children.

#![forbid(unsafe_code)]

use crate::host::HostName;
use crate::local_api::Resolution;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

/// Capacity in names; the oldest entry is evicted.
const CAPACITY: usize = 256;

/// The lock is only tried, because in a signal handler or a forked child its holder may never release it. A locked cache
/// counts as a miss.
#[derive(Default)]
pub struct Resolutions(Mutex<VecDeque<Entry>>);

struct Entry {
    name: HostName,
    resolution: Resolution,
    /// Expiry time (CLOCK_MONOTONIC).
    until: Duration,
}

impl Resolutions {
    pub fn get(&self, name: &HostName, now: Duration) -> Option<Resolution> {
        let entries = self.0.try_lock().ok()?;
        let known = entries.iter().find(|entry| entry.name == *name)?;
        (now < known.until).then(|| known.resolution.clone())
    }

    pub fn keep(&self, name: &HostName, resolution: &Resolution, until: Duration) {
        let Ok(mut entries) = self.0.try_lock() else {
            return;
        };
        entries.retain(|entry| entry.name != *name);
        if entries.len() >= CAPACITY {
            entries.pop_front();
        }
        entries.push_back(Entry {
            name: name.clone(),
            resolution: resolution.clone(),
            until,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostName {
        HostName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_answer_is_cached_until_it_expires_or_is_replaced() {
        let known = Resolutions::default();
        let second = Duration::from_secs(1);
        let address = |last| Resolution::Addresses(vec![[10, 0, 0, last].into()]);
        known.keep(&host("db"), &address(1), second * 2);
        assert_eq!(known.get(&host("db"), second), Some(address(1)));
        assert_eq!(known.get(&host("db"), second * 2), None);
        assert_eq!(known.get(&host("other"), second), None);
        known.keep(&host("db"), &address(2), second * 9);
        assert_eq!(known.get(&host("db"), second * 2), Some(address(2)));
    }

    #[test]
    fn the_oldest_entry_is_evicted() {
        let known = Resolutions::default();
        for number in 0..=CAPACITY {
            let name = host(&format!("db{number}"));
            known.keep(&name, &Resolution::NoSuchName, Duration::MAX);
        }
        assert_eq!(known.get(&host("db0"), Duration::ZERO), None);
        assert!(known.get(&host("db1"), Duration::ZERO).is_some());
    }

    #[test]
    fn a_locked_cache_is_a_miss() {
        let known = Resolutions::default();
        known.keep(&host("db"), &Resolution::NoSuchName, Duration::MAX);
        let _held = known.0.lock().unwrap();
        assert_eq!(known.get(&host("db"), Duration::ZERO), None);
        known.keep(&host("db"), &Resolution::NoSuchName, Duration::MAX);
    }
}
