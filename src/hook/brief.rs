//! Carries a non-blocking connect on for a moment before it returns. A proxy on this machine has often established the
//! tunnel by then, and a placeholder and a helper thread cost more than the moment. The program gets EINPROGRESS in any
//! case, as from the kernel for a connect over the loopback.
//!
//! In a process with one thread the tunnel is made on the program's own fd: signals are blocked, so nothing in the process
//! can look at the socket meanwhile, and epoll(7) registrations stay. (A child that shares the socket sees the same as with a
//! placeholder, which replaces only the fds of this process.) If there are other threads, a placeholder takes the fd, as
//! for every connect that a thread waits for.
//!
//! The moment is bounded, and an event loop that starts many connects does not add moments up: there is no moment while
//! another connect is pending, or has ended without the program asking how. After moments in vain
//! that outnumber the others, a growing number of connects goes without.

use super::attempt::{self, NoHelper, Place};
use super::boundary::Verdict;
use super::driver;
use crate::pending::{ConnectStats, PENDING};
use crate::state::State;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use libc::c_int;
use std::net::SocketAddr;
use std::time::Duration;
use tailchain_core::config::{Config, Endpoint, Proxy};
use tailchain_core::dial::driver::{Driver, Mode, Outcome, Progress};
use tailchain_core::errno::Errno;
use tailchain_core::host::Host;
use tailchain_core::pending::{ConnectObserver, InlineConnect};
use tailchain_core::sys::{self, Fd, SignalsBlocked, TimerSlack};

/// The longest total wait of the caller for one connect.
const MOMENT: Duration = Duration::from_micros(100);

/// At most this many connects in a row go without a moment.
const MOST_SKIPPED: u32 = 255;

/// A moment in vain is forgiven for each earlier one that was enough, but for no more than this many of these: moments that
/// are enough more often than not are worth their time.
const MOST_FORGIVEN: u32 = 8;

/// A program that has not asked for this long how a connect ended may never ask. For an event loop that starts many
/// connects, moments are then a hundredth of its time.
const UNASKED: Duration = Duration::from_millis(10);

/// No fd.
const NONE: Fd = -1;

pub struct Brief {
    skipped_after_next: AtomicU32,
    to_skip: AtomicU32,
    /// How many moments in vain are forgiven.
    forgiven: AtomicU32,
    /// The fd of the last connect that was over in its moment, until the program asks how it ended.
    unasked: AtomicI32,
    /// When that connect ended, in nanoseconds of CLOCK_MONOTONIC.
    over: AtomicU64,
}

pub static BRIEF: Brief = Brief {
    skipped_after_next: AtomicU32::new(0),
    to_skip: AtomicU32::new(0),
    forgiven: AtomicU32::new(0),
    unasked: AtomicI32::new(NONE),
    over: AtomicU64::new(0),
};

// A race between two threads may lose an update, which does no harm.
impl Brief {
    /// Whether the next connect gets a moment.
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
        // Between vfork and exec this memory is the parent's.
        PENDING.is_owner()
    }

    /// Whether a connect has ended in its moment and the program has not asked how.
    pub fn is_unasked(&self) -> bool {
        self.unasked.load(Ordering::Relaxed) != NONE
    }

    /// The program asks how the connect of `fd` ended, or gives the socket up.
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
        let forgiven = self.forgiven.load(Ordering::Relaxed) + 1;
        self.forgiven
            .store(forgiven.min(MOST_FORGIVEN), Ordering::Relaxed);
        let now = sys::now().as_nanos() as u64;
        self.over.store(now, Ordering::Relaxed);
        self.unasked.store(fd, Ordering::Relaxed);
    }

    fn was_in_vain(&self) {
        let forgiven = self.forgiven.load(Ordering::Relaxed);
        if forgiven > 0 {
            self.forgiven.store(forgiven - 1, Ordering::Relaxed);
            return;
        }
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

/// A connect during its moment.
struct Moment {
    state: &'static State,
    fd: Fd,
    dialled: SocketAddr,
    /// `Some` if the process has other threads.
    inline: Option<InlineConnect>,
    driver: Driver<'static>,
    signals: SignalsBlocked,
}

/// Begin to connect a non-blocking socket with these status flags.
pub fn connect(
    state: &'static State,
    place: Place,
    flags: c_int,
    signals: SignalsBlocked,
) -> Verdict<()> {
    let inline = match attempt::is_single_threaded() {
        true => None,
        false => match PENDING.begin_inline(place.fd, flags) {
            Ok(inline) => Some(inline),
            Err(errno @ (Errno::EALREADY | Errno::EBADF | Errno::ENOTSOCK)) => {
                return Verdict::Fail(errno)
            }
            Err(errno) => return attempt::wait_instead(state, place, errno, Some(signals)),
        },
    };
    let Place {
        fd,
        dialled,
        target,
        family,
    } = place;
    let socket = inline.as_ref().map_or(fd, InlineConnect::socket);
    let mut driver = driver::new(state, target, family, socket, Mode::Waiting);
    if let Some(inline) = &inline {
        driver.announce_replacement(inline.replacement_fd());
    }
    let moment = Moment {
        state,
        fd,
        dialled,
        inline,
        driver,
        signals,
    };
    moment.pass()
}

impl Moment {
    fn pass(mut self) -> Verdict<()> {
        let mut progress = self.driver.advance();
        let mut left = MOMENT;
        let mut slack = None;
        loop {
            let wait = match progress {
                Progress::Opened(socket) => {
                    ConnectStats.opened(socket, self.dialled);
                    progress = self.driver.advance();
                    continue;
                }
                Progress::Finished(outcome) => return self.over(outcome),
                Progress::Wait(wait) if wait.events == 0 => break,
                Progress::Wait(wait) => wait,
            };
            // Less than the timer slack cannot be waited for, and a parent may have set seconds, which fork and exec pass on.
            let slack = slack.get_or_insert_with(TimerSlack::new);
            if left <= slack.current() {
                slack.shorten();
            }
            let time = left.saturating_sub(slack.current());
            let began = sys::now();
            if sys::poll_one(wait.fd, wait.events, Some(time)) != Ok(true) {
                break;
            }
            left = left.saturating_sub(sys::now().saturating_sub(began));
            progress = self.driver.on_ready();
        }
        drop(slack);
        BRIEF.was_in_vain();
        self.hand_over()
    }

    /// Return what the kernel would: EINPROGRESS, with the socket ready.
    fn over(self, outcome: Outcome) -> Verdict<()> {
        BRIEF.was_enough(self.fd);
        let Outcome {
            result,
            replacement,
        } = outcome;
        let socket = match (&replacement, &self.inline) {
            (Some(replacement), _) => replacement.fd(),
            (None, Some(inline)) => inline.socket(),
            (None, None) => self.fd,
        };
        if let Err(errno) = result {
            PENDING.leave_error(socket, errno.into());
        }
        ConnectStats.ended(socket, self.dialled, result);
        match self.inline {
            Some(inline) => PENDING.end_inline(inline, replacement, result),
            None => {
                if let Some(replacement) = replacement {
                    PENDING.replace_socket(self.fd, &replacement);
                }
            }
        }
        Verdict::Fail(Errno::EINPROGRESS)
    }

    /// The helper continues; if there can be no helper, the caller does.
    fn hand_over(self) -> Verdict<()> {
        let Moment {
            state,
            fd,
            dialled,
            inline,
            driver,
            signals,
        } = self;
        match attempt::hand_over(fd, dialled, inline, driver, &signals) {
            None => Verdict::Fail(Errno::EINPROGRESS),
            Some(NoHelper {
                errno,
                inline,
                driver,
            }) => attempt::carry_on(state, fd, dialled, inline, driver, errno, signals),
        }
    }
}
