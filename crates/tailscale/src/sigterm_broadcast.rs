//! Detects whether a SIGTERM was also sent to the watched child, as to every process of a dyno, a unit or a job.

#![forbid(unsafe_code)]

use crate::sys::process::Pid;
use crate::sys::sigterm_canary;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// The longest time between two signals of a broadcast, which are sent one after the other.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct SigtermBroadcast {
    /// `None`: no canary runs, so a SIGTERM counts as sent to this process alone.
    canary: Option<Pid>,
    /// When a SIGTERM killed the canary, if this process has not received one yet.
    canary_killed: Option<Instant>,
    /// When to forward a received SIGTERM, unless the canary ends before.
    due: Option<Instant>,
}

impl SigtermBroadcast {
    pub fn new() -> SigtermBroadcast {
        SigtermBroadcast {
            canary: sigterm_canary::start().ok(),
            ..SigtermBroadcast::default()
        }
    }

    /// Records that this process received a SIGTERM. Returns whether to forward it now; if not,
    /// [`SigtermBroadcast::is_due`] may return true later.
    pub fn note_sigterm(&mut self, now: Instant) -> bool {
        match self.canary_killed.take() {
            Some(at) if now.saturating_duration_since(at) < PATIENCE => false,
            _ if self.canary.is_some() && self.due.is_none() => {
                self.due = Some(now + PATIENCE);
                false
            }
            _ => true,
        }
    }

    pub fn note_end(&mut self, pid: Pid, how: ExitStatus, now: Instant) {
        if self.canary != Some(pid) {
            return;
        }
        self.canary = None;
        let is_broadcast = how.signal() == Some(libc::SIGTERM);
        if is_broadcast && self.due.take().is_none() {
            self.canary_killed = Some(now);
        }
    }

    /// When to call [`SigtermBroadcast::is_due`].
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether to forward a SIGTERM now; true once.
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: Pid = 7;
    const SHORT: Duration = Duration::from_millis(100);

    fn with_canary() -> (SigtermBroadcast, Instant) {
        let broadcast = SigtermBroadcast {
            canary: Some(CANARY),
            ..SigtermBroadcast::default()
        };
        (broadcast, Instant::now())
    }

    fn ended_by(signal: libc::c_int) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    #[test]
    fn a_sigterm_to_this_process_alone_is_forwarded_once_after_a_pause() {
        let (mut broadcast, now) = with_canary();
        assert!(!broadcast.note_sigterm(now) && !broadcast.is_due(now + SHORT));
        assert!(broadcast.is_due(now + PATIENCE) && !broadcast.is_due(now + PATIENCE));
    }

    #[test]
    fn a_broadcast_is_not_forwarded_in_either_order() {
        let (mut broadcast, now) = with_canary();
        assert!(!broadcast.note_sigterm(now));
        broadcast.note_end(CANARY, ended_by(libc::SIGTERM), now + SHORT);
        assert!(!broadcast.is_due(now + PATIENCE));

        let (mut broadcast, now) = with_canary();
        broadcast.note_end(CANARY, ended_by(libc::SIGTERM), now);
        assert!(!broadcast.note_sigterm(now + SHORT) && !broadcast.is_due(now + 2 * PATIENCE));
    }

    #[test]
    fn a_second_sigterm_and_one_without_a_canary_are_forwarded_at_once() {
        let (mut broadcast, now) = with_canary();
        assert!(!broadcast.note_sigterm(now) && broadcast.note_sigterm(now + SHORT));
        assert!(SigtermBroadcast::default().note_sigterm(now));
    }

    #[test]
    fn a_canary_that_ended_otherwise_or_long_ago_is_ignored() {
        for (signal, before) in [(libc::SIGKILL, SHORT), (libc::SIGTERM, 2 * PATIENCE)] {
            let (mut broadcast, now) = with_canary();
            broadcast.note_end(CANARY, ended_by(signal), now);
            assert!(broadcast.note_sigterm(now + before), "{signal}");
        }
    }

    #[test]
    fn the_end_of_another_process_is_ignored() {
        let (mut broadcast, now) = with_canary();
        broadcast.note_end(CANARY + 1, ended_by(libc::SIGTERM), now);
        assert!(!broadcast.note_sigterm(now) && broadcast.is_due(now + PATIENCE));
    }
}
