//! A connect that its caller waits for: on the caller's thread, from one sleep to the next.
//!
//! In a process of one thread the tunnel is made on the program's socket where it is. In others it is a pending connect
//! like that of a non-blocking socket, but for who drives it: while a thread makes the tunnel, the others and their
//! children see a socket that is connecting, and may close its fd and open something else there.
//!
//! What is known of it is in a box that nobody owns while its thread sleeps ([`super::sleep`]). When that never comes
//! back the connect goes on without it, as the kernel's does: on the helper thread, with a placeholder under the fd.
//! So it does when a signal handler of the thread needs it to ([`detach`]).

use super::asleep::ASLEEP;
use super::boundary::{guard, Verdict};
use super::connect::{connect_anew, earlier_attempt, end_of_attempt, forget_association};
use super::sleep::{Rest, Resumed, Slept};
use super::waited::WAITED;
use super::{peer, signals};
#[cfg(target_env = "gnu")]
use crate::old_glibc;
use crate::pending::{ConnectStats, PENDING};
use crate::state::{Libc, State};
use core::ffi::c_void;
use std::net::SocketAddr;
use std::time::Duration;
use tailchain_core::dial::blocking::{Blocking, Step};
use tailchain_core::dial::driver::{Driver, Mode};
use tailchain_core::dial::endpoint::Family;
use tailchain_core::dial::{replacement, Dial};
use tailchain_core::errno::Errno;
use tailchain_core::host::Target;
use tailchain_core::own_fds::RegisteredFd;
use tailchain_core::pending::{ConnectObserver, FirstStep, Start, Waited};
use tailchain_core::sys::{self, Fd, SignalsBlocked};

/// Whether this thread is the only one of its process. libc's flag costs nothing, but stays false once there was a second
/// thread, which may have been our helper.
pub fn is_single_threaded() -> bool {
    #[cfg(target_env = "gnu")]
    if old_glibc::is_single_threaded() {
        return true;
    }
    sys::has_one_thread()
}

/// How long a sleep must be that it is asked afterwards whose socket the fd is: an answer that is there sooner
/// costs no call more.
const LONG: Duration = Duration::from_millis(1);

/// A tunnel that is being made on the program's own socket.
struct Attempt {
    state: &'static State,
    fd: Fd,
    dialled: SocketAddr,
    /// There are other threads.
    waited: Option<Waited>,
    dial: Blocking<'static>,
    /// SO_COOKIE of the program's socket, from the first sleep on, if not before: a signal handler, or a thread, may close
    /// the fd meanwhile, and open something else there.
    own: Option<u64>,
    slept_from: Duration,
    /// A signal handler runs only while the thread sleeps: there it may jump away, and nothing is half done.
    signals: Option<SignalsBlocked>,
}

/// A connect that its caller waits for, while that sleeps: one of the two.
struct Call {
    attempt: Option<Attempt>,
    detached: Option<Detached>,
}

/// What its caller needs to know when it wakes, of an attempt that goes on without it.
struct Detached {
    dialled: SocketAddr,
    target: Target,
    /// It goes on; or it could not, and ended in this.
    begun: Result<(), Errno>,
    /// By SO_SNDTIMEO.
    is_limited: bool,
    signals: Option<SignalsBlocked>,
}

/// Where a tunnel is to be made.
pub struct Place {
    pub fd: Fd,
    /// As the program dialled it.
    pub dialled: SocketAddr,
    pub target: Target,
    pub family: Family,
}

/// Begin to connect a socket. `Return`: the tunnel stands.
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
    let (waited, mode) = match mode {
        Mode::Blocking(flags) if !is_single_threaded() => {
            match PENDING.begin_waited(fd, flags) {
                Ok(waited) => (Some(waited), Mode::Waiting),
                // Another thread was first.
                Err(Errno::EALREADY) => return wait_for_earlier(fd),
                // Another thread has closed the fd.
                Err(errno @ (Errno::EBADF | Errno::ENOTSOCK)) => return Verdict::Fail(errno),
                // No descriptor can be had, or this is between vfork and exec.
                Err(_) => (None, mode),
            }
        }
        _ => (None, mode),
    };
    let socket = waited.as_ref().map_or(fd, Waited::socket);
    let dial = Dial::new(&state.config, target, state.chain_seed(), state, now);
    let mut driver = Driver::new(dial, socket, family, mode, &Libc, PENDING.own_fds());
    if let Some(waited) = &waited {
        driver.announce_replacement(waited.replacement_fd());
    }
    let mut attempt = Attempt {
        state,
        fd,
        dialled,
        waited,
        dial: Blocking::new(driver, socket, now),
        // With signals let in, it may not be the same any more when it sleeps.
        own: match signals {
            None => sys::cookie(fd),
            Some(_) => None,
        },
        slept_from: now,
        signals,
    };
    let step = attempt.dial.begin();
    attempt.go_on(step)
}

/// As [`wait_instead`], where the tunnel is being made already.
pub fn carry_on(
    state: &'static State,
    fd: Fd,
    dialled: SocketAddr,
    waited: Option<Waited>,
    driver: Driver<'static>,
    errno: Errno,
    signals: SignalsBlocked,
) -> Verdict<()> {
    warn_of_blocking(state, dialled, errno);
    let now = sys::now();
    let socket = waited.as_ref().map_or(fd, Waited::socket);
    let mut attempt = Attempt {
        state,
        fd,
        dialled,
        waited,
        dial: Blocking::new(driver, socket, now),
        own: sys::cookie(fd),
        slept_from: now,
        signals: Some(signals),
    };
    let step = attempt.dial.again();
    attempt.go_on(step)
}

/// Late is better than not at all, and both are better than a lie.
fn warn_of_blocking(state: &State, dialled: SocketAddr, errno: Errno) {
    state.log.message(&format!(
        "{dialled}: no thread or descriptor for a non-blocking connect ({errno}); blocking instead"
    ));
}

/// A non-blocking connect that can have neither a thread nor a placeholder: its caller waits for it.
pub fn wait_instead(
    state: &'static State,
    place: Place,
    errno: Errno,
    signals: Option<SignalsBlocked>,
) -> Verdict<()> {
    warn_of_blocking(state, place.dialled, errno);
    begin(state, place, Mode::Waiting, signals)
}

/// Wait for what is pending on a socket that blocks. The kernel does so in a second connect(2).
pub fn wait_for_earlier(fd: Fd) -> Verdict<()> {
    if PENDING.is_waited_for_here(fd) {
        // A signal handler of the very thread that makes the tunnel, at a moment when that could not be detached.
        return Verdict::Fail(Errno::EALREADY);
    }
    let limit = limit_of(fd);
    Verdict::Sleep(Rest {
        fd,
        events: libc::POLLOUT,
        until: limit.map(|limit| sys::now() + limit),
        mask: None,
        state: core::ptr::null_mut(),
        left: leave,
    })
}

/// SO_SNDTIMEO of a socket that is connecting.
fn limit_of(fd: Fd) -> Option<Duration> {
    let socket = PENDING.socket_of(fd)?;
    sys::send_timeout(socket.fd()).ok().flatten()
}

/// The thread of a connect is awake.
pub fn resume(resumed: Resumed, fd: Fd) -> Verdict<()> {
    if resumed.state.is_null() {
        return match resumed.slept {
            Err(Errno::EINTR) if limit_of(fd).is_some() || !signals::restart() => {
                Verdict::Fail(Errno::EINTR)
            }
            Ok(Slept::TimeOver) => Verdict::Fail(Errno::EALREADY),
            _ => earlier_attempt(fd).unwrap_or_else(|| end_of_attempt(fd).into()),
        };
    }
    ASLEEP.leave(resumed.state);
    // SAFETY: the box that `go_on` gave away, which comes back once: here or to `leave`.
    let call = unsafe { Box::from_raw(resumed.state.cast::<Call>()) };
    match *call {
        Call {
            attempt: Some(attempt),
            ..
        } => attempt.awake(resumed.slept),
        Call {
            detached: Some(detached),
            ..
        } => detached.awake(fd, resumed.slept),
        _ => Verdict::Fail(Errno::EIO),
    }
}

/// The thread of a connect will not come back.
unsafe extern "C" fn leave(state: *mut c_void) {
    let body = || {
        ASLEEP.leave(state);
        // SAFETY: as in `resume`.
        let mut call = unsafe { Box::from_raw(state.cast::<Call>()) };
        call.detach();
        // The thread is in a handler, or at its end: what is blocked there is not for this to change.
        if let Some(signals) = call.detached.and_then(|detached| detached.signals) {
            signals.forget();
        }
        Verdict::Return(())
    };
    let _ = guard(body);
}

/// In a signal handler: have the connect of this very socket go on by itself that this thread sleeps in, if it does.
pub fn detach(fd: Fd) {
    detach_each(|attempt| {
        attempt.fd == fd
            || sys::cookie(fd).is_some_and(|cookie| sys::cookie(attempt.fd) == Some(cookie))
    });
}

fn detach_each(which: impl Fn(&Attempt) -> bool) {
    // Between vfork and exec the memory is the parent's, but not the descriptors.
    if !ASLEEP.any() || !PENDING.is_owner() {
        return;
    }
    for call in ASLEEP.calls_of_this_thread() {
        // SAFETY: the frame that has it sleeps below this one, a signal handler's, which may jump away but not return
        // before this is done.
        let call = unsafe { &mut *call.cast::<Call>() };
        if call.attempt.as_ref().is_some_and(&which) {
            call.detach();
        }
    }
}

/// Have a process that forks in a signal handler make its tunnels once: the child would go on with them, too, on the
/// same sockets. To be called after [`tailchain_core::pending::Pending::guard_forks`], whose handler is to run later.
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
    fn awake(self, fd: Fd, slept: Result<Slept, Errno>) -> Verdict<()> {
        if let Err(errno) = self.begun {
            return Verdict::Fail(errno);
        }
        drop(self.signals);
        if slept == Err(Errno::EINTR) && (self.is_limited || !signals::restart()) {
            return Verdict::Fail(Errno::EINTR);
        }
        // As the kernel restarts a call: from its beginning.
        earlier_attempt(fd).unwrap_or_else(|| connect_anew(fd, self.dialled, self.target))
    }
}

impl Attempt {
    fn detach(mut self) -> Detached {
        // Those that the sleep let in.
        let _blocked = SignalsBlocked::new();
        let signals = self.signals.take();
        let (dialled, target) = (self.dialled, self.dial.driver.target().clone());
        let is_limited = self.dial.is_limited();
        let begun = match self.is_same() {
            true => match self.go_on_meanwhile(Errno::EINTR) {
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
        // Or a signal handler ran, which may do anything.
        if (long || slept.is_err()) && !self.is_same() {
            return self.finish(Err(Errno::EBADF));
        }
        if self.waited.as_ref().is_some_and(Waited::is_aborted) {
            let step = self.dial.abandon(Errno::ECONNRESET);
            return self.go_on(step);
        }
        let step = match slept {
            Ok(Slept::Ready) => self.dial.on_ready(),
            Ok(Slept::TimeOver) => self.dial.time_over(),
            // With a time limit, nothing is restarted (signal(7)).
            Err(Errno::EINTR) if signals::restart() && !self.dial.is_limited() => self.dial.again(),
            Err(Errno::EINTR) => return Verdict::Fail(self.go_on_meanwhile(Errno::EINTR)),
            Err(errno) => self.dial.abandon(errno),
        };
        self.go_on(step)
    }

    fn go_on(mut self, step: Step) -> Verdict<()> {
        if let Some(socket) = self.dial.driver.take_opened() {
            let cookie = match self.own {
                Some(own) if socket == self.socket() => {
                    peer::remember_by(self.state, own, self.dialled);
                    Some(own)
                }
                _ => peer::remember(self.state, socket, self.dialled),
            };
            if self.own.is_none() {
                self.own = match socket == self.socket() {
                    true => cookie,
                    false => sys::cookie(self.fd),
                };
            }
        }
        match step {
            Step::Finished(result) => self.finish(result),
            Step::LimitOver => Verdict::Fail(self.go_on_meanwhile(Errno::EINPROGRESS)),
            Step::Sleep(sleep) => {
                self.slept_from = sys::now();
                if self.own.is_none() && self.waited.is_none() {
                    self.own = sys::cookie(self.fd);
                }
                let mask = self.signals.as_ref().map(SignalsBlocked::before);
                let call = Call {
                    attempt: Some(self),
                    detached: None,
                };
                let state = Box::into_raw(Box::new(call)).cast();
                ASLEEP.enter(state);
                Verdict::Sleep(Rest {
                    fd: sleep.fd,
                    events: sleep.events,
                    until: Some(sleep.until),
                    mask,
                    state,
                    left: leave,
                })
            }
        }
    }

    /// The program's socket.
    fn socket(&self) -> Fd {
        self.waited.as_ref().map_or(self.fd, Waited::socket)
    }

    /// Whether the fd is still the program's socket, where that matters.
    fn is_same(&self) -> bool {
        self.waited.is_some() || self.own.is_none() || sys::cookie(self.fd) == self.own
    }

    fn finish(mut self, result: Result<(), Errno>) -> Verdict<()> {
        let replacement = self.dial.driver.take_replacement();
        if let (Ok(()), None, Some(cookie)) = (result, &replacement, self.own) {
            WAITED.note(cookie);
        }
        if let Some(waited) = self.waited.take() {
            let replacement = replacement.filter(|_| result.is_ok());
            give_back(waited, self.dialled, replacement, result);
            return result.into();
        }
        let result = match (result, replacement) {
            (Ok(()), Some(replacement)) if self.is_same() => {
                replacement::install(replacement.fd(), self.fd)
            }
            (Ok(()), None) => Ok(()),
            (Err(errno), _) if self.is_same() => Err(errno),
            // Closed meanwhile: what is there now is not ours to change.
            _ => Err(Errno::EBADF),
        };
        if let Err(errno) = result {
            forget_association(self.fd, errno);
        }
        ConnectStats.ended(self.fd, self.dialled, result);
        result.into()
    }

    /// A blocking connect that ends early goes on in the background (connect(2), EINTR; socket(7), SO_SNDTIMEO).
    fn go_on_meanwhile(self, errno: Errno) -> Errno {
        let Attempt {
            fd,
            dialled,
            dial,
            waited,
            ..
        } = self;
        let mut driver = dial.driver;
        let start = Start {
            dialled,
            observer: &ConnectStats,
            first: FirstStep::AlreadyStarted,
        };
        let handed_over = |own| {
            driver.hand_over(own);
            driver
        };
        let kept = match waited {
            Some(waited) => PENDING
                .hand_over(waited, start, handed_over)
                .map_err(|(_, waited, _)| Some(waited)),
            None => PENDING
                .begin(&SignalsBlocked::new(), fd, start, handed_over)
                .map(drop)
                .map_err(|_| None),
        };
        let Err(waited) = kept else {
            return errno;
        };
        // Nothing is in progress: do not say so.
        let errno = match errno {
            Errno::EINTR => Errno::ECONNABORTED,
            _ => Errno::ETIMEDOUT,
        };
        match waited {
            Some(waited) => give_back(waited, dialled, None, Err(errno)),
            None => {
                forget_association(fd, errno);
                ConnectStats.ended(fd, dialled, Err(errno));
            }
        }
        errno
    }
}

/// The program has its socket back: `fresh`, where that takes its place.
fn give_back(
    waited: Waited,
    dialled: SocketAddr,
    replacement: Option<RegisteredFd>,
    result: Result<(), Errno>,
) {
    if let Err(errno) = result {
        forget_association(waited.socket(), errno);
    }
    ConnectStats.ended(waited.socket(), dialled, result);
    PENDING.end_waited(waited, replacement, result);
}
