//! connect(2): from the program's arguments to a decision, and its execution.

use super::attempt::{self, Place};
use super::boundary::Verdict;
use super::brief::{self, BRIEF};
use super::datagram;
use super::given::GivenAddress;
use super::peer;
use super::sleep::Resumed;
use super::waited::WAITED;
use crate::counters::{count, Counter};
use crate::pending::{ConnectStats, PENDING};
use crate::state::state;
use core::ffi::c_int;
use libc::{sa_family_t, sockaddr, socklen_t};
use std::net::SocketAddr;
use tailchain_core::dial::driver::Mode;
use tailchain_core::errno::Errno;
use tailchain_core::host::Target;
use tailchain_core::pending::{BeginResult, FirstStep, Start};
use tailchain_core::router::connect::{kind_of, nowhere, Kind};
use tailchain_core::sys::{self, Fd, SignalsBlocked, SockAddr};

pub use tailchain_core::router::connect::{forget_association, may_be_tcp, Decision};

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::connect;
    use crate::hook::given::GivenAddress;
    use core::ffi::c_int;
    use libc::{sockaddr, socklen_t};

    hooks! {
        find current;

        /// connect(2): the way in. A TCP connection that is to be proxied is tunnelled on the program's own socket. It is a
        /// cancellation point while it sleeps (pthreads(7)), and a signal handler may jump out of it then (siglongjmp(3)).
        ///
        /// Async-signal-safe where it is not proxied. After fork: as before. After vfork: as before, but a
        /// non-blocking connect blocks.
        fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
            = connect::connect, fails -1, resumes resumed,
            reads given: GivenAddress = GivenAddress::new(address, length), real real::connect(fd, given.pointer(), length);

        /// The other name that glibc exports connect(2) by.
        ///
        /// Async-signal-safe, after fork and vfork: as connect.
        fn __connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
            = connect::connect, fails -1, resumes resumed,
            reads given: GivenAddress = GivenAddress::new(address, length), real real::__connect(fd, given.pointer(), length),
            only target_env = "gnu";
    }
}

/// The body of the hook.
///
/// # Safety
/// As connect(2), but a bad pointer is an error.
pub unsafe fn connect(
    resumed: Option<Resumed>,
    given: &mut GivenAddress,
    fd: c_int,
    _address: *const sockaddr,
    _length: socklen_t,
) -> Verdict<c_int> {
    let verdict = match resumed {
        Some(resumed) => attempt::resume(resumed, fd),
        // SAFETY: passed on.
        None => unsafe { begin(fd, given) },
    };
    verdict.and_then(|()| Verdict::Return(0))
}

/// # Safety
/// As connect(2), but a bad pointer is an error.
unsafe fn begin(fd: c_int, given: &mut GivenAddress) -> Verdict<()> {
    attempt::detach(fd);
    BRIEF.asked(fd);
    if PENDING.needs_hooks() {
        // SAFETY: passed on.
        match unsafe { family_of(given) } {
            // The kernel rejects it for a placeholder, too; a deferred error stays deferred.
            None => return Verdict::Real,
            // AF_UNSPEC dissolves the association, and aborts a pending connect.
            Some(libc::AF_UNSPEC) => {
                PENDING.abort(fd);
                // The next connect must not report how this one ended.
                let _ = PENDING.take_deferred_errno(fd);
                return Verdict::Real;
            }
            Some(_) => {}
        }
    }
    match earlier_attempt(fd) {
        Some(verdict) => verdict,
        // SAFETY: passed on.
        None => execute(fd, unsafe { route_of(fd, given) }),
    }
}

/// Connect again, as the kernel restarts a call, to the target of the first decision.
pub fn restart_connect(fd: Fd, dialled: SocketAddr, target: Target) -> Verdict<()> {
    let decision = match kind_of(fd) {
        // Another thread has closed the fd and opened another file there.
        Kind::NotTcp => Decision::Fails(Errno::EBADF),
        Kind::TcpInUse => Decision::InUse,
        Kind::Tcp | Kind::TcpUsed => Decision::Tunnel(dialled, target),
    };
    execute(fd, decision)
}

/// Execute a decision. `Return`: the socket is connected.
pub fn execute(fd: Fd, decision: Decision) -> Verdict<()> {
    match decision {
        Decision::Real => Verdict::Real,
        Decision::Elsewhere(address) => sys::connect(fd, &address).into(),
        Decision::InUse => connect_in_use(fd).into(),
        Decision::Refused(errno) | Decision::Fails(errno) => Verdict::Fail(errno),
        Decision::Tunnel(dialled, target) => {
            tunnel(fd, dialled, target).unwrap_or_else(Verdict::Fail)
        }
    }
}

/// The kernel's answer to a connect of a socket that is connected, connecting or listening.
fn connect_in_use(fd: Fd) -> Result<(), Errno> {
    sys::connect(fd, &nowhere())?;
    match sys::cookie(fd) {
        Some(cookie) if WAITED.take(cookie) => sys::connect(fd, &nowhere()),
        _ => Ok(()),
    }
}

/// The family of an address. `None`: the kernel rejects the address before it checks the socket's state, with EINVAL for
/// its length or EFAULT if it cannot be read.
///
/// # Safety
/// As connect(2), but a bad pointer is no error.
unsafe fn family_of(given: &mut GivenAddress) -> Option<c_int> {
    if (given.length() as usize) < size_of::<sa_family_t>() {
        return None;
    }
    // SAFETY: what is bad is not read.
    unsafe { given.read(sys::is_readable) }.map(SockAddr::family)
}

/// Decide about a socket and an address.
///
/// # Safety
/// As connect(2), but a bad pointer is an error.
pub unsafe fn route_of(fd: Fd, given: &mut GivenAddress) -> Decision {
    /// The shortest internet address, a sockaddr_in.
    const SHORTEST: usize = size_of::<libc::sockaddr_in>();
    let length = given.length();
    if (length as usize) < SHORTEST {
        return Decision::Real;
    }
    let kind = kind_of(fd);
    if kind == Kind::NotTcp {
        // The replacement of a TCP socket, connected to a proxy on a unix socket.
        if state().has_unix_proxy() && peer::dialled(fd).is_some() {
            return Decision::Fails(Errno::EISCONN);
        }
        // SAFETY: passed on.
        return match unsafe { datagram::refused_connect(fd, given) } {
            Some(errno) => Decision::Refused(errno),
            None => Decision::Real,
        };
    }
    // SAFETY: what is bad is not read.
    let address = unsafe { given.read(sys::is_readable) };
    let Some(dialled) = address.and_then(SockAddr::inet) else {
        return Decision::Real;
    };
    let decision = state().decide(fd, kind, dialled, length);
    match decision {
        Decision::Real | Decision::Elsewhere(_) => count(Counter::Direct),
        Decision::Refused(_) => count(Counter::Refused),
        Decision::Fails(_) | Decision::InUse | Decision::Tunnel(..) => {}
    }
    decision
}

/// Make the tunnel on the program's socket: before returning if the socket blocks, else in the background (EINPROGRESS).
fn tunnel(fd: Fd, dialled: SocketAddr, target: Target) -> Result<Verdict<()>, Errno> {
    crate::ALLOCATOR.check()?;
    let state = state();
    let flags = sys::status_flags(fd)?;
    let blocks = flags & libc::O_NONBLOCK == 0;
    // From here on a signal handler that jumps away (siglongjmp(3)) would leave a half-made connect. But a name lookup may
    // take long, and must not delay signals unless the helper does it.
    let may_look_up = state.may_look_up();
    let mut signals = (!blocks || !may_look_up).then(SignalsBlocked::new);
    // Open the name table here, not on the helper thread: it would take an fd that the program may be about to get.
    state.names();
    let place = Place {
        fd,
        dialled,
        family: state.family(fd, dialled)?,
        target,
    };
    if blocks {
        return Ok(attempt::begin(state, place, Mode::Blocking(flags), signals));
    }
    if let Some(signals) = signals.take_if(|_| !may_look_up && BRIEF.is_worth_trying(&state.config))
    {
        return Ok(brief::connect(state, place, flags, signals));
    }
    let start = Start {
        dialled,
        observer: &ConnectStats,
        first: match may_look_up {
            true => FirstStep::Deferred,
            false => FirstStep::Inline,
        },
    };
    let signals = signals.unwrap_or_default();
    let begun = PENDING.begin(&signals, fd, start, |own| {
        let target = place.target.clone();
        attempt::new_driver(state, target, place.family, own, Mode::NonBlocking)
    });
    match begun {
        Ok(BeginResult::Pending) => Err(Errno::EINPROGRESS),
        Ok(BeginResult::Ended(result)) => {
            result.inspect_err(|&errno| forget_association(fd, errno))?;
            Ok(Verdict::Return(()))
        }
        Err((Errno::EALREADY, _)) => Err(Errno::EALREADY),
        Err((errno, _)) => {
            let signals = (!may_look_up).then_some(signals);
            Ok(attempt::wait_instead(state, place, errno, signals))
        }
    }
}

/// The result of an earlier connect on this socket that is still pending, or has failed without the program asking why.
/// The kernel reports it to the next connect(2), too; on a blocking socket, whose first connect was interrupted, that waits
/// for the end.
pub fn earlier_attempt(fd: Fd) -> Option<Verdict<()>> {
    if PENDING.count() > 0 {
        if let Some(Some(Err(errno))) = PENDING.poll_inherited(fd) {
            return Some(Verdict::Fail(errno));
        }
        match PENDING.blocks(fd) {
            Some(false) => return Some(Verdict::Fail(Errno::EALREADY)),
            Some(true) => return Some(attempt::wait_for_earlier(fd)),
            None => {}
        }
    }
    let deferred = PENDING.deferred_error(fd)?;
    forget_association(fd, deferred.errno);
    (!deferred.by_program).then_some(Verdict::Fail(deferred.errno))
}

/// How a pending connect that is over ended.
pub fn end_of_attempt(fd: Fd) -> Result<(), Errno> {
    if sys::peer_address(fd).is_ok() {
        // Let the kernel count this call as the one that saw the end: the next one gives EISCONN.
        let _ = sys::connect(fd, &nowhere());
        return Ok(());
    }
    let owed = PENDING.take_deferred_errno(fd);
    let errno = owed.or(sys::pending_error(fd)?);
    // Another waiting thread has consumed the error: the kernel reports it once.
    let errno = errno.unwrap_or(Errno::EPIPE);
    forget_association(fd, errno);
    Err(errno)
}
