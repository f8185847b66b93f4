//! A dial whose caller waits for it, from one sleep to the next. The caller sleeps, on its own stack: a sleeping thread
//! may never return (siglongjmp(3), pthread_cancel(3)).

use super::driver::{Driver, Outcome, Progress, Wait};
use crate::errno::Errno;
use crate::sys::{self, Fd};
use libc::c_short;
use std::time::Duration;

/// What has happened, or what a blocking dial needs next.
pub enum Step {
    /// [`Progress::Opened`]; call [`Blocking::advance`].
    Opened(Fd),
    /// Sleep; then call [`Blocking::on_ready`] or [`Blocking::time_over`].
    Sleep(Sleep),
    Finished(Outcome),
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

    /// Begin, or continue after anything but a sleep.
    pub fn advance(&mut self) -> Step {
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
        let wait = self.driver.waiting();
        self.sleep(wait)
    }

    /// The dial cannot go on: fail with `errno`.
    pub fn abandon(&mut self, errno: Errno) -> Step {
        self.driver.abandon(errno);
        self.advance()
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
        match progress {
            Progress::Opened(socket) => Step::Opened(socket),
            Progress::Wait(wait) => self.sleep(wait),
            Progress::Finished(outcome) => Step::Finished(outcome),
        }
    }

    fn sleep(&mut self, wait: Wait) -> Step {
        let limit = match wait.is_long {
            true => self.limit(),
            false => None,
        };
        Step::Sleep(Sleep {
            fd: if wait.events == 0 { -1 } else { wait.fd },
            events: wait.events,
            until: limit.map_or(wait.deadline, |limit| limit.min(wait.deadline)),
        })
    }
}
