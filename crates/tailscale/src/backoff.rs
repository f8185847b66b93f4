//! The pause before tailscaled is restarted.

#![forbid(unsafe_code)]

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// A tailscaled that was up this long has ended for another reason than the one before; the pause starts anew.
const STEADY: Duration = Duration::from_secs(60);

/// The pause doubles each time, also when tailscaled came up and ended soon: each start is a login, a load for the control
/// server.
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    pub fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// The pause after a tailscaled that was up for `up`, which is zero when it did not come up.
    pub fn pause(&mut self, up: Duration) -> Duration {
        if up >= STEADY {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(times_up: &[u64]) -> Vec<u64> {
        let mut backoff = Backoff::new();
        let up = times_up.iter().copied().map(Duration::from_secs);
        up.map(|up| backoff.pause(up).as_secs()).collect()
    }

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_stays_there() {
        assert_eq!(pauses(&[0; 8]), [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_short_run_does_not_reset_the_pause() {
        assert_eq!(pauses(&[3600, 0, 1, 59]), [1, 2, 4, 8]);
    }

    #[test]
    fn a_long_run_resets_the_pause() {
        assert_eq!(pauses(&[0, 0, 60, 0]), [1, 2, 1, 2]);
    }
}
