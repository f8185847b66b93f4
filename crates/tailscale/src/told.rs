//! Whether the watched child has got a SIGTERM of its own, when we got one.

#![forbid(unsafe_code)]

use crate::sys::process::Pid;
use crate::sys::witness;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Who signals many processes does it one after the other.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Told {
    /// `None`: there is none, and a SIGTERM counts as sent to us alone.
    witness: Option<Pid>,
    /// When the witness was ended by a SIGTERM, if we got none yet.
    everybody: Option<Instant>,
    /// When a SIGTERM that we got is to be passed on, unless the witness ends before.
    due: Option<Instant>,
}

impl Told {
    pub fn new() -> Told {
        Told {
            witness: witness::start().ok(),
            ..Told::default()
        }
    }

    /// We got a SIGTERM: whether to pass it on now. If not, [`Told::is_due`] may say so later.
    pub fn note_sigterm(&mut self, now: Instant) -> bool {
        match self.everybody.take() {
            Some(at) if now.saturating_duration_since(at) < PATIENCE => false,
            _ if self.witness.is_some() && self.due.is_none() => {
                self.due = Some(now + PATIENCE);
                false
            }
            _ => true,
        }
    }

    pub fn note_end(&mut self, pid: Pid, how: ExitStatus, now: Instant) {
        if self.witness != Some(pid) {
            return;
        }
        self.witness = None;
        let sent_to_everybody = how.signal() == Some(libc::SIGTERM);
        if sent_to_everybody && self.due.take().is_none() {
            self.everybody = Some(now);
        }
    }

    /// When to ask [`Told::is_due`].
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

    const WITNESS: Pid = 7;
    const SHORT: Duration = Duration::from_millis(100);

    fn told() -> (Told, Instant) {
        let told = Told {
            witness: Some(WITNESS),
            ..Told::default()
        };
        (told, Instant::now())
    }

    fn ended_by(signal: libc::c_int) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    #[test]
    fn one_that_was_sent_to_us_alone_is_passed_on_after_a_while_and_once() {
        let (mut told, now) = told();
        assert!(!told.note_sigterm(now) && !told.is_due(now + SHORT));
        assert!(told.is_due(now + PATIENCE) && !told.is_due(now + PATIENCE));
    }

    #[test]
    fn one_that_the_witness_got_too_is_not_passed_on_whoever_was_first() {
        let (mut told, now) = self::told();
        assert!(!told.note_sigterm(now));
        told.note_end(WITNESS, ended_by(libc::SIGTERM), now + SHORT);
        assert!(!told.is_due(now + PATIENCE));

        let (mut told, now) = self::told();
        told.note_end(WITNESS, ended_by(libc::SIGTERM), now);
        assert!(!told.note_sigterm(now + SHORT) && !told.is_due(now + 2 * PATIENCE));
    }

    #[test]
    fn a_second_one_and_one_without_a_witness_are_passed_on_at_once() {
        let (mut told, now) = self::told();
        assert!(!told.note_sigterm(now) && told.note_sigterm(now + SHORT));
        assert!(Told::default().note_sigterm(now));
    }

    #[test]
    fn a_witness_that_ended_otherwise_or_long_ago_says_nothing() {
        for (signal, before) in [(libc::SIGKILL, SHORT), (libc::SIGTERM, 2 * PATIENCE)] {
            let (mut told, now) = self::told();
            told.note_end(WITNESS, ended_by(signal), now);
            assert!(told.note_sigterm(now + before), "{signal}");
        }
    }

    #[test]
    fn the_end_of_another_process_says_nothing() {
        let (mut told, now) = self::told();
        told.note_end(WITNESS + 1, ended_by(libc::SIGTERM), now);
        assert!(!told.note_sigterm(now) && told.is_due(now + PATIENCE));
    }
}
