//! A non-blocking connect that is carried on for a moment before it returns. A proxy on this machine has often made the
//! tunnel by then, and a placeholder and a helper thread cost more than the moment. The program is told EINPROGRESS in any
//! case, as the kernel tells it of the loopback, too.
//!
//! In a process of one thread the tunnel is made on the program's socket where it is: its signals are blocked, and so
//! nothing of it can look at the socket meanwhile. Nor is a registration with epoll(7) lost. (A child that has the socket
//! sees the same as with a placeholder, which is put under the fds of this process alone.) With other threads a
//! placeholder is under the fd, as with every connect that a thread waits for.
//!
//! The moment is bounded, and an event loop that begins many connects does not add moments up: there is none while
//! another connect is pending, or is over and its program has not asked how. After one that was in vain more and more
//! connects do without.

use super::attempt::{self, Place};
use super::boundary::Verdict;
use crate::pending::{ConnectStats, PENDING};
use crate::state::{Libc, State};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use libc::c_int;
use std::net::SocketAddr;
use std::time::Duration;
use tailchain_core::config::{Config, Endpoint, Proxy};
use tailchain_core::dial::driver::{Driver, Mode, Progress};
use tailchain_core::dial::Dial;
use tailchain_core::errno::Errno;
use tailchain_core::host::Host;
use tailchain_core::pending::{ConnectObserver, FirstStep, Start, Waited};
use tailchain_core::sys::{self, Fd, SignalsBlocked};

/// How long the caller is kept waiting, all waits of a connect together.
const MOMENT: Duration = Duration::from_micros(100);

/// The kernel wakes who waits for a time so much later (PR_SET_TIMERSLACK(2const)), unless that was changed.
const TIMER_SLACK: Duration = Duration::from_micros(50);

/// At least one connect in so many is tried.
const MOST_SKIPPED: u32 = 255;

/// A program that has not asked for so long how a connect ended may never do. To an event loop that begins many connects,
/// moments are a hundredth of its time, then.
const UNASKED: Duration = Duration::from_millis(10);

/// No fd.
const NONE: Fd = -1;

pub struct Brief {
    skipped_after_next: AtomicU32,
    to_skip: AtomicU32,
    /// The fd of the last connect that was over in its moment, until the program asks how it ended.
    unasked: AtomicI32,
    /// When that was, in nanoseconds of CLOCK_MONOTONIC.
    over: AtomicU64,
}

pub static BRIEF: Brief = Brief {
    skipped_after_next: AtomicU32::new(0),
    to_skip: AtomicU32::new(0),
    unasked: AtomicI32::new(NONE),
    over: AtomicU64::new(0),
};

// Where two threads are at it at once, one of them may not be counted: that does no harm.
impl Brief {
    /// Whether the next connect is to be carried on for a moment.
    pub fn is_worth_trying(&self, config: &Config) -> bool {
        let is_here = config.proxies.first().is_some_and(is_here);
        if !is_here || PENDING.count() > 0 || (self.is_unasked() && !self.is_long_over()) {
            return false;
        }
        let to_skip = self.to_skip.load(Ordering::Relaxed);
        if to_skip > 0 {
            self.to_skip.store(to_skip - 1, Ordering::Relaxed);
            return false;
        }
        PENDING.guard_forks();
        // Between vfork and exec none of this is the caller's.
        PENDING.is_owner()
    }

    /// Whether the program has yet to ask how a connect ended that was over in its moment.
    pub fn is_unasked(&self) -> bool {
        self.unasked.load(Ordering::Relaxed) != NONE
    }

    /// The program asks, or does not want to know.
    pub fn asked(&self, fd: Fd) {
        if self.unasked.load(Ordering::Relaxed) == fd {
            self.unasked.store(NONE, Ordering::Relaxed);
        }
    }

    fn is_long_over(&self) -> bool {
        let over = Duration::from_nanos(self.over.load(Ordering::Relaxed));
        sys::now() >= over + UNASKED
    }

    fn was_enough(&self, fd: Fd) {
        let skipped = self.skipped_after_next.load(Ordering::Relaxed);
        self.skipped_after_next
            .store(skipped / 2, Ordering::Relaxed);
        let now = sys::now().as_nanos() as u64;
        self.over.store(now, Ordering::Relaxed);
        self.unasked.store(fd, Ordering::Relaxed);
    }

    fn was_in_vain(&self) {
        let skipped = self.skipped_after_next.load(Ordering::Relaxed) * 2 + 1;
        let skipped = skipped.min(MOST_SKIPPED);
        self.skipped_after_next.store(skipped, Ordering::Relaxed);
        self.to_skip.store(skipped, Ordering::Relaxed);
    }
}

fn is_here(proxy: &Proxy) -> bool {
    match &proxy.endpoint {
        Endpoint::Tcp(target) => matches!(&target.host, Host::Ip(ip) if ip.is_loopback()),
        Endpoint::Unix(_) => true,
    }
}

/// A connect in its moment.
struct Moment {
    state: &'static State,
    fd: Fd,
    dialled: SocketAddr,
    /// There are other threads.
    waited: Option<Waited>,
    driver: Driver<'static>,
    signals: SignalsBlocked,
}

/// Begin to connect a socket, which does not block and has these status flags.
pub fn connect(
    state: &'static State,
    place: Place,
    flags: c_int,
    signals: SignalsBlocked,
) -> Verdict<()> {
    let Place {
        fd,
        dialled,
        target,
        family,
    } = place;
    let waited = match attempt::is_single_threaded() {
        true => None,
        false => match PENDING.begin_waited(fd, flags) {
            Ok(waited) => Some(waited),
            Err(errno @ (Errno::EALREADY | Errno::EBADF | Errno::ENOTSOCK)) => {
                return Verdict::Fail(errno)
            }
            Err(errno) => {
                let place = Place {
                    fd,
                    dialled,
                    target,
                    family,
                };
                return attempt::wait_instead(state, place, errno, Some(signals));
            }
        },
    };
    let socket = waited.as_ref().map_or(fd, Waited::socket);
    let dial = Dial::new(&state.config, target, state.chain_seed(), state, sys::now());
    let mut driver = Driver::new(
        dial,
        socket,
        family,
        Mode::Waiting,
        &Libc,
        PENDING.own_fds(),
    );
    if let Some(waited) = &waited {
        driver.announce_replacement(waited.replacement_fd());
    }
    let moment = Moment {
        state,
        fd,
        dialled,
        waited,
        driver,
        signals,
    };
    moment.pass()
}

impl Moment {
    fn pass(mut self) -> Verdict<()> {
        let mut progress = self.driver.advance();
        let mut left = MOMENT;
        loop {
            if let Some(socket) = self.driver.take_opened() {
                ConnectStats.opened(socket, self.dialled);
            }
            let (fd, events) = match progress {
                Progress::Finished(result) => return self.over(result),
                Progress::Wait { events: 0, .. } => break,
                Progress::Wait { fd, events, .. } => (fd, events),
            };
            // What is waited for here is of less than the kernel's slack mostly there already.
            let Some(time) = left.checked_sub(TIMER_SLACK) else {
                break;
            };
            let began = sys::now();
            if sys::poll_one(fd, events, Some(time)) != Ok(true) {
                break;
            }
            left = left.saturating_sub(sys::now().saturating_sub(began));
            progress = self.driver.on_ready();
        }
        BRIEF.was_in_vain();
        self.hand_over()
    }

    /// The program is to see what the kernel shows it: it is in progress, and the socket is ready.
    fn over(mut self, result: Result<(), Errno>) -> Verdict<()> {
        BRIEF.was_enough(self.fd);
        let replacement = self.driver.take_replacement().filter(|_| result.is_ok());
        let socket = match (&replacement, &self.waited) {
            (Some(replacement), _) => replacement.fd(),
            (None, Some(waited)) => waited.socket(),
            (None, None) => self.fd,
        };
        if let Err(errno) = result {
            PENDING.leave_error(socket, errno.into());
        }
        ConnectStats.ended(socket, self.dialled, result);
        match self.waited {
            Some(waited) => PENDING.end_waited(waited, replacement, result),
            None => {
                if let Some(replacement) = replacement {
                    PENDING.replace_socket(self.fd, &replacement);
                }
            }
        }
        Verdict::Fail(Errno::EINPROGRESS)
    }

    /// The helper goes on with it; without one, the caller does.
    fn hand_over(self) -> Verdict<()> {
        let Moment {
            state,
            fd,
            dialled,
            waited,
            mut driver,
            signals,
        } = self;
        let start = Start {
            dialled,
            observer: &ConnectStats,
            first: FirstStep::AlreadyStarted,
        };
        let handed_over = |own| {
            driver.hand_over(own);
            driver
        };
        let begun = match waited {
            Some(waited) => PENDING
                .hand_over(waited, start, handed_over)
                .map_err(|(errno, waited, driver)| (errno, Some(waited), driver)),
            None => PENDING
                .begin(&signals, fd, start, handed_over)
                .map(drop)
                .map_err(|(errno, driver)| (errno, None, driver)),
        };
        let Err((errno, waited, driver)) = begun else {
            return Verdict::Fail(Errno::EINPROGRESS);
        };
        let driver = driver(waited.as_ref().map_or(fd, Waited::socket));
        attempt::carry_on(state, fd, dialled, waited, driver, errno, signals)
    }
}
