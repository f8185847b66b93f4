//! Whether a SIGTERM that we got was sent to the watched child as well (to every process of a dyno, a unit or a job).

#![forbid(unsafe_code)]

use crate::sys::process::Pid;
use crate::sys::sigterm_canary;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// A sender that signals many processes does so one after the other.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct SigtermBroadcast {
    /// `None`: no canary runs, and a SIGTERM counts as sent to us alone.
    canary: Option<Pid>,
    /// When the canary was ended by a SIGTERM, if we got none yet.
    everybody: Option<Instant>,
    /// When a SIGTERM that we got is to be passed on, unless the canary ends before.
    due: Option<Instant>,
}

impl SigtermBroadcast {
    pub fn new() -> SigtermBroadcast {
        SigtermBroadcast {
            canary: sigterm_canary::start().ok(),
            ..SigtermBroadcast::default()
        }
    }

    /// We got a SIGTERM: whether to pass it on now. If not, [`SigtermBroadcast::is_due`] may say so later.
    pub fn note_sigterm(&mut self, now: Instant) -> bool {
        match self.everybody.take() {
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
        let sent_to_everybody = how.signal() == Some(libc::SIGTERM);
        if sent_to_everybody && self.due.take().is_none() {
            self.everybody = Some(now);
        }
    }

    /// When to ask [`SigtermBroadcast::is_due`].
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a SIGTERM is to be passed on now; once.
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
    fn one_that_was_sent_to_us_alone_is_passed_on_after_a_while_and_once() {
        let (mut broadcast, now) = with_canary();
        assert!(!broadcast.note_sigterm(now) && !broadcast.is_due(now + SHORT));
        assert!(broadcast.is_due(now + PATIENCE) && !broadcast.is_due(now + PATIENCE));
    }

    #[test]
    fn one_that_the_canary_got_too_is_not_passed_on_whoever_was_first() {
        let (mut broadcast, now) = with_canary();
        assert!(!broadcast.note_sigterm(now));
        broadcast.note_end(CANARY, ended_by(libc::SIGTERM), now + SHORT);
        assert!(!broadcast.is_due(now + PATIENCE));

        let (mut broadcast, now) = with_canary();
        broadcast.note_end(CANARY, ended_by(libc::SIGTERM), now);
        assert!(!broadcast.note_sigterm(now + SHORT) && !broadcast.is_due(now + 2 * PATIENCE));
    }

    #[test]
    fn a_second_one_and_one_without_a_canary_are_passed_on_at_once() {
        let (mut broadcast, now) = with_canary();
        assert!(!broadcast.note_sigterm(now) && broadcast.note_sigterm(now + SHORT));
        assert!(SigtermBroadcast::default().note_sigterm(now));
    }

    #[test]
    fn a_canary_that_ended_otherwise_or_long_ago_says_nothing() {
        for (signal, before) in [(libc::SIGKILL, SHORT), (libc::SIGTERM, 2 * PATIENCE)] {
            let (mut broadcast, now) = with_canary();
            broadcast.note_end(CANARY, ended_by(signal), now);
            assert!(broadcast.note_sigterm(now + before), "{signal}");
        }
    }

    #[test]
    fn the_end_of_another_process_says_nothing() {
        let (mut broadcast, now) = with_canary();
        broadcast.note_end(CANARY + 1, ended_by(libc::SIGTERM), now);
        assert!(!broadcast.note_sigterm(now) && broadcast.is_due(now + PATIENCE));
    }
}
