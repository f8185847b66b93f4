//! A dial whose caller waits for it, from one sleep to the next. The caller sleeps, on its own stack: a sleeping thread
//! may never return (siglongjmp(3), pthread_cancel(3)).

use super::driver::{Driver, Progress};
use crate::errno::Errno;
use crate::sys::{self, Fd};
use libc::c_short;
use std::time::Duration;

/// What a blocking dial needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sleep; then call [`Blocking::on_ready`] or [`Blocking::time_over`].
    Sleep(Sleep),
    Finished(Result<(), Errno>),
    /// The program's own limit (SO_SNDTIMEO) has passed; the dial can be continued.
    LimitOver,
}

/// Until an event occurs, or a time of CLOCK_MONOTONIC is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// -1, which poll(2) ignores, for a plain sleep.
    pub fd: Fd,
    pub events: c_short,
    pub until: Duration,
}

/// The program's own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// Only read when a wait is long, so that fast replies save the call.
    Unknown,
    Until(Option<Duration>),
}

pub struct Blocking<'c> {
    pub driver: Driver<'c>,
    /// The program's socket.
    socket: Fd,
    began: Duration,
    limit: Limit,
}

impl<'c> Blocking<'c> {
    /// `driver` was made for `socket`.
    pub fn new(driver: Driver<'c>, socket: Fd, began: Duration) -> Blocking<'c> {
        Blocking {
            driver,
            socket,
            began,
            limit: Limit::Unknown,
        }
    }

    /// As [`Blocking::new`], for a socket with O_NONBLOCK, to which SO_SNDTIMEO does not apply.
    pub fn without_limit(driver: Driver<'c>, socket: Fd, began: Duration) -> Blocking<'c> {
        Blocking {
            limit: Limit::Until(None),
            ..Blocking::new(driver, socket, began)
        }
    }

    pub fn begin(&mut self) -> Step {
        let progress = self.driver.advance();
        self.step(progress)
    }

    /// An event occurred.
    pub fn on_ready(&mut self) -> Step {
        let progress = self.driver.on_ready();
        self.step(progress)
    }

    /// No event occurred until the time.
    pub fn time_over(&mut self) -> Step {
        let over = |until| sys::now() >= until;
        if matches!(self.limit, Limit::Until(Some(until)) if over(until)) {
            return Step::LimitOver;
        }
        let progress = self.driver.on_timeout();
        self.step(progress)
    }

    /// The sleep was interrupted: sleep again.
    pub fn again(&mut self) -> Step {
        let progress = self.driver.waiting();
        self.step(progress)
    }

    /// The dial cannot go on: fail with `errno`.
    pub fn abandon(&mut self, errno: Errno) -> Step {
        self.driver.abandon(errno);
        let progress = self.driver.advance();
        self.step(progress)
    }

    /// Whether the program set a limit of its own.
    pub fn is_limited(&mut self) -> bool {
        self.limit().is_some()
    }

    fn limit(&mut self) -> Option<Duration> {
        match self.limit {
            Limit::Until(limit) => limit,
            Limit::Unknown => {
                let own = sys::send_timeout(self.socket).unwrap_or(None);
                let until = own.map(|own| self.began + own);
                self.limit = Limit::Until(until);
                until
            }
        }
    }

    fn step(&mut self, progress: Progress) -> Step {
        let (fd, events, deadline) = match progress {
            Progress::Finished(result) => return Step::Finished(result),
            Progress::Wait {
                fd,
                events,
                deadline,
            } => (fd, events, deadline),
        };
        // A driver that pauses has missed the fast path.
        let limit = match self.driver.is_late() || events == 0 {
            true => self.limit(),
            false => None,
        };
        Step::Sleep(Sleep {
            fd: if events == 0 { -1 } else { fd },
            events,
            until: limit.map_or(deadline, |limit| limit.min(deadline)),
        })
    }
}
