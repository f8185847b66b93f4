//! A connect whose caller waits for it, on the caller's thread, from one sleep to the next.
//!
//! In a process with one thread the tunnel is made on the program's own fd. With several threads it is a pending connect
//! like that of a non-blocking socket, but driven by the caller: while one thread makes the tunnel, the others and their
//! children see a connecting socket, and may close its fd and open another file there.
//!
//! While the thread sleeps ([`super::sleep`]), the state is in a box without an owner. If the thread never returns, the
//! connect continues without it, as the kernel's would: on the helper thread, with a placeholder at the fd. The same
//! happens when a signal handler of that thread needs it ([`detach`]).

use super::asleep::ASLEEP;
use super::boundary::{guard, Verdict};
use super::recent_connects::RECENT_CONNECTS;
use super::signals;
use super::sleep::{Resumed, SleepRequest, Slept};
use super::{driver, earlier};
#[cfg(target_env = "gnu")]
use crate::old_glibc;
use crate::pending::{ConnectStats, PENDING};
use crate::state::State;
use core::ffi::c_void;
use std::net::SocketAddr;
use std::time::Duration;
use tailchain_core::dial::blocking::{Blocking, Sleep, Step};
use tailchain_core::dial::driver::{Driver, Mode, Outcome};
use tailchain_core::dial::endpoint::Family;
use tailchain_core::dial::replacement;
use tailchain_core::errno::Errno;
use tailchain_core::host::Target;
use tailchain_core::own_fds::RegisteredFd;
use tailchain_core::pending::{ConnectObserver, FirstStep, InlineConnect, Start};
use tailchain_core::router::connect::forget_association;
use tailchain_core::sys::{self, Fd, SignalsBlocked};

/// Whether this thread is the only one of its process. libc's flag costs nothing, but stays false once there was a second
/// thread, which may have been our helper.
pub fn is_single_threaded() -> bool {
    #[cfg(target_env = "gnu")]
    if old_glibc::is_single_threaded() {
        return true;
    }
    sys::thread_count() == Some(1)
}

/// Re-check that the fd is still our socket only after sleeps this long; fast replies save the call.
const LONG: Duration = Duration::from_millis(1);

/// A tunnel that the caller makes on the program's own socket.
struct Attempt {
    state: &'static State,
    fd: Fd,
    dialled: SocketAddr,
    /// `Some` if the process has other threads.
    inline: Option<InlineConnect>,
    dial: Blocking<'static>,
    /// The program's socket has O_NONBLOCK: signals do not interrupt its connect (signal(7)).
    is_nonblocking: bool,
    /// SO_COOKIE of the program's socket, read before the first sleep at the latest: a signal handler or another thread may
    /// close the fd meanwhile and open another file there.
    own: Option<u64>,
    slept_from: Duration,
    /// Signal handlers run only while the thread sleeps: there they may jump away (siglongjmp(3)) without harm.
    signals: Option<SignalsBlocked>,
}

/// The state of a sleeping caller: exactly one of the two.
struct Call {
    attempt: Option<Attempt>,
    detached: Option<Detached>,
}

/// What the caller needs when it wakes and its attempt has continued without it.
struct Detached {
    dialled: SocketAddr,
    target: Target,
    /// `Err`: the attempt could not continue, and ended with this error.
    begun: Result<(), Errno>,
    /// The program has set SO_SNDTIMEO.
    is_limited: bool,
    signals: Option<SignalsBlocked>,
}

/// The socket and the target of a tunnel.
pub struct Place {
    pub fd: Fd,
    /// As the program dialled it.
    pub dialled: SocketAddr,
    pub target: Target,
    pub family: Family,
}

/// A tunnel that the helper cannot continue, and why.
pub struct NoHelper {
    pub errno: Errno,
    pub inline: Option<InlineConnect>,
    pub driver: Driver<'static>,
}

/// Let the helper continue a tunnel that was begun on `fd`, or on the socket of `inline`. `None`: it does.
pub fn hand_over(
    fd: Fd,
    dialled: SocketAddr,
    inline: Option<InlineConnect>,
    mut driver: Driver<'static>,
    signals: &SignalsBlocked,
) -> Option<NoHelper> {
    let start = Start {
        dialled,
        observer: &ConnectStats,
        first: FirstStep::AlreadyStarted,
    };
    let handed_over = |own| {
        driver.hand_over(own);
        driver
    };
    let begun = match inline {
        Some(inline) => PENDING
            .hand_over(inline, start, handed_over)
            .map_err(|(errno, inline, driver)| (errno, Some(inline), driver)),
        None => PENDING
            .begin(signals, fd, start, handed_over)
            .map(drop)
            .map_err(|(errno, driver)| (errno, None, driver)),
    };
    let (errno, inline, driver) = begun.err()?;
    Some(NoHelper {
        errno,
        driver: driver(inline.as_ref().map_or(fd, InlineConnect::socket)),
        inline,
    })
}

/// Begin to connect a socket. `Return`: the tunnel is established.
pub fn begin(
    state: &'static State,
    place: Place,
    mode: Mode,
    signals: Option<SignalsBlocked>,
) -> Verdict<()> {
    let now = sys::now();
    let Place {
        fd,
        dialled,
        target,
        family,
    } = place;
    let is_nonblocking = mode == Mode::Waiting;
    let (inline, mode) = match mode {
        Mode::Blocking(flags) if !is_single_threaded() => {
            match PENDING.begin_inline(fd, flags) {
                Ok(inline) => (Some(inline), Mode::Waiting),
                // Another thread was faster.
                Err(Errno::EALREADY) => return earlier::wait(fd),
                // Another thread has closed the fd.
                Err(errno @ (Errno::EBADF | Errno::ENOTSOCK)) => return Verdict::Fail(errno),
                // No fd is available, or this is between vfork and exec.
                Err(_) => (None, mode),
            }
        }
        _ => (None, mode),
    };
    let socket = inline.as_ref().map_or(fd, InlineConnect::socket);
    let mut driver = driver::new(state, target, family, socket, mode);
    if let Some(inline) = &inline {
        driver.announce_replacement(inline.replacement_fd());
    }
    let mut attempt = Attempt {
        state,
        fd,
        dialled,
        inline,
        dial: match is_nonblocking {
            true => Blocking::without_limit(driver, socket, now),
            false => Blocking::new(driver, socket, now),
        },
        is_nonblocking,
        // With signals unblocked, a handler may replace the socket before the first sleep.
        own: match signals {
            None => sys::cookie(fd),
            Some(_) => None,
        },
        slept_from: now,
        signals,
    };
    let step = attempt.dial.advance();
    attempt.go_on(step)
}

/// As [`wait_instead`], for a tunnel that was begun already.
pub fn carry_on(
    state: &'static State,
    fd: Fd,
    dialled: SocketAddr,
    inline: Option<InlineConnect>,
    driver: Driver<'static>,
    errno: Errno,
    signals: SignalsBlocked,
) -> Verdict<()> {
    warn_of_blocking(state, dialled, errno);
    let now = sys::now();
    let socket = inline.as_ref().map_or(fd, InlineConnect::socket);
    let mut attempt = Attempt {
        state,
        fd,
        dialled,
        inline,
        dial: Blocking::without_limit(driver, socket, now),
        is_nonblocking: true,
        own: sys::cookie(fd),
        slept_from: now,
        signals: Some(signals),
    };
    let step = attempt.dial.again();
    attempt.go_on(step)
}

/// Blocking is better than failing, and the log tells of it.
fn warn_of_blocking(state: &State, dialled: SocketAddr, errno: Errno) {
    state.log.message(&format!(
        "{dialled}: no thread or descriptor for a non-blocking connect ({errno}); blocking instead"
    ));
}

/// A non-blocking connect without a thread or a placeholder: the caller waits for it.
pub fn wait_instead(
    state: &'static State,
    place: Place,
    errno: Errno,
    signals: Option<SignalsBlocked>,
) -> Verdict<()> {
    warn_of_blocking(state, place.dialled, errno);
    begin(state, place, Mode::Waiting, signals)
}

/// What follows when the thread of a connect wakes up.
pub enum Resumption {
    Decided(Verdict<()>),
    /// The attempt went on without the thread: its call restarts, as in the kernel, with what was dialled and the target
    /// of the first decision.
    Restart(SocketAddr, Target),
}

/// The thread of a connect woke up.
pub fn resume(resumed: Resumed, fd: Fd) -> Resumption {
    ASLEEP.leave(resumed.state);
    // SAFETY: the box that `sleep` gave away, which comes back once: here or to `leave`.
    let call = unsafe { Box::from_raw(resumed.state.cast::<Call>()) };
    match *call {
        Call {
            attempt: Some(attempt),
            ..
        } => Resumption::Decided(attempt.awake(resumed.slept)),
        Call {
            detached: Some(detached),
            ..
        } => detached.awake(fd, resumed.slept),
        _ => Resumption::Decided(Verdict::Fail(Errno::EIO)),
    }
}

/// The thread of a connect will not return to it.
unsafe extern "C" fn leave(state: *mut c_void) {
    let body = || {
        ASLEEP.leave(state);
        // SAFETY: as in `resume`.
        let mut call = unsafe { Box::from_raw(state.cast::<Call>()) };
        call.detach();
        // The thread is in a handler, or exiting: its signal mask must not change here.
        if let Some(signals) = call.detached.and_then(|detached| detached.signals) {
            signals.forget();
        }
        Verdict::Return(())
    };
    let _ = guard(body);
}

/// In a signal handler: let the connect in which this thread sleeps, if it is of this socket, continue without it.
pub fn detach(fd: Fd) {
    detach_each(|attempt| {
        attempt.fd == fd
            || sys::cookie(fd).is_some_and(|cookie| sys::cookie(attempt.fd) == Some(cookie))
    });
}

fn detach_each(which: impl Fn(&Attempt) -> bool) {
    // Between vfork and exec the memory is the parent's, but the fds are not.
    if !ASLEEP.any() || !PENDING.is_owner() {
        return;
    }
    for call in ASLEEP.calls_of_this_thread() {
        // SAFETY: the frame that uses it sleeps below this one, a signal handler's, which cannot return before this is done.
        let call = unsafe { &mut *call.cast::<Call>() };
        if call.attempt.as_ref().is_some_and(&which) {
            call.detach();
        }
    }
}

/// Detach all attempts of a thread that forks in a signal handler: otherwise the child would continue them, too, on the
/// same sockets. Call this after [`tailchain_core::pending::Pending::guard_forks`], whose handler must run later.
pub fn guard_forks() {
    extern "C" fn before() {
        let _ = guard(|| {
            detach_each(|_| true);
            Verdict::Return(())
        });
    }
    extern "C" fn in_parent() {}
    extern "C" fn in_child() {
        ASLEEP.forget_other_threads();
    }
    sys::at_fork(before, in_parent, in_child);
}

impl Call {
    fn detach(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.detached = Some(attempt.detach());
        }
    }
}

impl Detached {
    fn awake(self, fd: Fd, slept: Result<Slept, Errno>) -> Resumption {
        if let Err(errno) = self.begun {
            return Resumption::Decided(Verdict::Fail(errno));
        }
        drop(self.signals);
        if slept == Err(Errno::EINTR) && (self.is_limited || !signals::restart()) {
            return Resumption::Decided(Verdict::Fail(Errno::EINTR));
        }
        match earlier::result(fd) {
            Some(verdict) => Resumption::Decided(verdict),
            None => Resumption::Restart(self.dialled, self.target),
        }
    }
}

impl Attempt {
    fn detach(mut self) -> Detached {
        // The sleep had unblocked them.
        let _blocked = SignalsBlocked::new();
        let signals = self.signals.take();
        let (dialled, target) = (self.dialled, self.dial.driver.target().clone());
        let is_limited = self.dial.is_limited();
        let begun = match self.is_same() {
            true => match self.continue_in_background(Errno::EINTR) {
                Errno::EINTR => Ok(()),
                errno => Err(errno),
            },
            false => Err(Errno::EBADF),
        };
        Detached {
            dialled,
            target,
            begun,
            is_limited,
            signals,
        }
    }

    fn awake(mut self, slept: Result<Slept, Errno>) -> Verdict<()> {
        let long = sys::now().saturating_sub(self.slept_from) >= LONG;
        // A signal handler may have replaced the socket.
        if (long || slept.is_err()) && !self.is_same() {
            return self.finish(Errno::EBADF.into());
        }
        if self.inline.as_ref().is_some_and(InlineConnect::is_aborted) {
            let step = self.dial.abandon(Errno::ECONNRESET);
            return self.go_on(step);
        }
        let step = match slept {
            Ok(Slept::Ready) => self.dial.on_ready(),
            Ok(Slept::TimedOut) => self.dial.time_over(),
            // With SO_SNDTIMEO the call is not restarted (signal(7)).
            Err(Errno::EINTR) if self.is_nonblocking => self.dial.again(),
            Err(Errno::EINTR) if signals::restart() && !self.dial.is_limited() => self.dial.again(),
            Err(Errno::EINTR) => return Verdict::Fail(self.continue_in_background(Errno::EINTR)),
            Err(errno) => self.dial.abandon(errno),
        };
        self.go_on(step)
    }

    fn go_on(mut self, mut step: Step) -> Verdict<()> {
        loop {
            match step {
                Step::Opened(socket) => {
                    self.remember_peer(socket);
                    step = self.dial.advance();
                }
                Step::Finished(outcome) => return self.finish(outcome),
                Step::LimitOver => {
                    return Verdict::Fail(self.continue_in_background(Errno::EINPROGRESS))
                }
                Step::Sleep(sleep) => return self.sleep(sleep),
            }
        }
    }

    fn remember_peer(&mut self, socket: Fd) {
        let is_own = socket == self.socket();
        let cookie = match self.own {
            Some(own) if is_own => {
                self.state.names().remember_peer(own, self.dialled);
                Some(own)
            }
            _ => self.state.remember_peer(socket, self.dialled),
        };
        if self.own.is_none() {
            self.own = match is_own {
                true => cookie,
                false => sys::cookie(self.fd),
            };
        }
    }

    fn sleep(mut self, sleep: Sleep) -> Verdict<()> {
        self.slept_from = sys::now();
        if self.own.is_none() && self.inline.is_none() {
            self.own = sys::cookie(self.fd);
        }
        let mask = self.signals.as_ref().and_then(SignalsBlocked::before);
        let call = Call {
            attempt: Some(self),
            detached: None,
        };
        let state = Box::into_raw(Box::new(call)).cast();
        ASLEEP.enter(state);
        Verdict::Sleep(SleepRequest {
            fd: sleep.fd,
            events: sleep.events,
            until: Some(sleep.until),
            mask,
            state,
            left: leave,
        })
    }

    /// The program's socket.
    fn socket(&self) -> Fd {
        self.inline.as_ref().map_or(self.fd, InlineConnect::socket)
    }

    /// Whether the fd is still the program's socket; always true with a placeholder.
    fn is_same(&self) -> bool {
        self.inline.is_some() || self.own.is_none() || sys::cookie(self.fd) == self.own
    }

    fn finish(mut self, outcome: Outcome) -> Verdict<()> {
        let Outcome {
            result,
            replacement,
        } = outcome;
        if let (Ok(()), None, Some(cookie)) = (result, &replacement, self.own) {
            RECENT_CONNECTS.record(cookie);
        }
        if let Some(inline) = self.inline.take() {
            give_back(inline, self.dialled, replacement, result);
            return result.into();
        }
        let result = match (result, replacement) {
            (Ok(()), Some(replacement)) if self.is_same() => {
                replacement::install(replacement.fd(), self.fd)
            }
            (Ok(()), None) => Ok(()),
            (Err(errno), _) if self.is_same() => Err(errno),
            // The program closed the fd: leave the file that is there now alone.
            _ => Err(Errno::EBADF),
        };
        if let Err(errno) = result {
            forget_association(self.fd, errno);
        }
        ConnectStats.ended(self.fd, self.dialled, result);
        result.into()
    }

    /// A blocking connect that returns early continues in the background (connect(2), EINTR; socket(7), SO_SNDTIMEO).
    fn continue_in_background(self, errno: Errno) -> Errno {
        let Attempt {
            state,
            fd,
            dialled,
            dial,
            inline,
            ..
        } = self;
        let signals = SignalsBlocked::new();
        // Opened here, as for a non-blocking connect, if the connection to the proxy was not established before.
        state.names();
        let Some(NoHelper { inline, driver, .. }) =
            hand_over(fd, dialled, inline, dial.driver, &signals)
        else {
            return errno;
        };
        // Before the program has its socket back: the driver may hold a replacement of it.
        drop((driver, signals));
        // Neither EINTR nor EINPROGRESS: nothing is in progress.
        let errno = match errno {
            Errno::EINTR => Errno::ECONNABORTED,
            _ => Errno::ETIMEDOUT,
        };
        match inline {
            Some(inline) => give_back(inline, dialled, None, Err(errno)),
            None => {
                forget_association(fd, errno);
                ConnectStats.ended(fd, dialled, Err(errno));
            }
        }
        errno
    }
}

/// Give the program its socket back, or `replacement` in its place.
fn give_back(
    inline: InlineConnect,
    dialled: SocketAddr,
    replacement: Option<RegisteredFd>,
    result: Result<(), Errno>,
) {
    if let Err(errno) = result {
        forget_association(inline.socket(), errno);
    }
    ConnectStats.ended(inline.socket(), dialled, result);
    PENDING.end_inline(inline, replacement, result);
}
