//! A dial whose caller waits for it, from one sleep to the next. Who sleeps, and on which stack, is the caller's: a
//! thread that is asleep may never come back (siglongjmp(3), pthread_cancel(3)).

use super::driver::{Driver, Progress};
use crate::errno::Errno;
use crate::sys::{self, Fd};
use libc::c_short;
use std::time::Duration;

/// What a blocking dial wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To be told by [`Blocking::ready`], or [`Blocking::time_over`].
    Sleep(Sleep),
    Finished(Result<(), Errno>),
    /// The program's own limit (SO_SNDTIMEO) is over; the dial stands where it stands.
    LimitOver,
}

/// Until there is an event, or a time of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// -1, which poll(2) passes over: a plain sleep.
    pub fd: Fd,
    pub events: c_short,
    pub until: Duration,
}

/// The program's own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// It is asked for when a wait is a long one, which costs those that are answered at once nothing.
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

    pub fn begin(&mut self) -> Step {
        let progress = self.driver.advance();
        self.step(progress)
    }

    /// There is an event.
    pub fn on_ready(&mut self) -> Step {
        let progress = self.driver.on_ready();
        self.step(progress)
    }

    /// There was none until it was time.
    pub fn time_over(&mut self) -> Step {
        let over = |until| sys::now() >= until;
        if matches!(self.limit, Limit::Until(Some(until)) if over(until)) {
            return Step::LimitOver;
        }
        let progress = self.driver.on_timeout();
        self.step(progress)
    }

    /// The sleep came to nothing: sleep again.
    pub fn again(&mut self) -> Step {
        let progress = self.driver.waiting();
        self.step(progress)
    }

    /// It can go on no more.
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
        // A driver that only pauses is no longer quick.
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
