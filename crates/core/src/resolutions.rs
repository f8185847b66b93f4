//! What tailscaled said of names, for as long as it may be kept. Of this process and the children that it forks.

#![forbid(unsafe_code)]

use crate::host::HostName;
use crate::local_api::Resolution;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

/// So many names are remembered; the oldest makes room.
const MOST: usize = 256;

/// The lock is never waited for: a signal handler, or a forked child, may find it held for ever, and then asks anew.
#[derive(Default)]
pub struct Resolutions(Mutex<VecDeque<Entry>>);

struct Entry {
    name: HostName,
    resolution: Resolution,
    /// As CLOCK_MONOTONIC.
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
        if entries.len() >= MOST {
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
    fn an_answer_is_known_until_its_end_and_the_newest_counts() {
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
    fn the_oldest_makes_room() {
        let known = Resolutions::default();
        for number in 0..=MOST {
            let name = host(&format!("db{number}"));
            known.keep(&name, &Resolution::NoSuchName, Duration::MAX);
        }
        assert_eq!(known.get(&host("db0"), Duration::ZERO), None);
        assert!(known.get(&host("db1"), Duration::ZERO).is_some());
    }

    #[test]
    fn a_lock_that_is_held_is_not_waited_for() {
        let known = Resolutions::default();
        known.keep(&host("db"), &Resolution::NoSuchName, Duration::MAX);
        let _held = known.0.lock().unwrap();
        assert_eq!(known.get(&host("db"), Duration::ZERO), None);
        known.keep(&host("db"), &Resolution::NoSuchName, Duration::MAX);
    }
}
