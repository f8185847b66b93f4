//! connect(2): the hook, and what follows from a decision about the socket and the address.

use super::attempt::{self, Resumption};
use super::boundary::Verdict;
use super::brief::BRIEF;
use super::given::GivenAddress;
use super::recent_connects::RECENT_CONNECTS;
use super::sleep::Resumed;
use super::{decide, earlier, tunnel};
use crate::pending::PENDING;
use core::ffi::c_int;
use libc::{sockaddr, socklen_t};
use std::net::SocketAddr;
use tailchain_core::errno::Errno;
use tailchain_core::host::Target;
use tailchain_core::router::connect::{kind_of, unconnectable_address, Decision, Kind};
use tailchain_core::sys::{self, Fd};

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
        Some(resumed) => resume(resumed, fd),
        // SAFETY: passed on.
        None => unsafe { begin(fd, given) },
    };
    verdict.and_then(|()| Verdict::Return(0))
}

/// The thread of a connect woke up.
pub fn resume(resumed: Resumed, fd: Fd) -> Verdict<()> {
    if resumed.state.is_null() {
        return earlier::resume(resumed.slept, fd);
    }
    match attempt::resume(resumed, fd) {
        Resumption::Decided(verdict) => verdict,
        Resumption::Restart(dialled, target) => restart(fd, dialled, target),
    }
}

/// # Safety
/// As connect(2), but a bad pointer is an error.
unsafe fn begin(fd: c_int, given: &mut GivenAddress) -> Verdict<()> {
    attempt::detach(fd);
    BRIEF.asked(fd);
    if PENDING.needs_hooks() {
        // SAFETY: passed on.
        match unsafe { decide::family_of(given) } {
            // The kernel rejects it for a placeholder, too; a deferred error stays deferred.
            None => return Verdict::Real,
            // AF_UNSPEC dissolves the association, and aborts a pending connect.
            Some(libc::AF_UNSPEC) => {
                if !PENDING.abort(fd) {
                    // The next connect must not report how this one ended.
                    let _ = PENDING.take_deferred_errno(fd);
                }
                return Verdict::Real;
            }
            Some(_) => {}
        }
    }
    match earlier::result(fd) {
        Some(verdict) => verdict,
        // SAFETY: passed on.
        None => execute(fd, unsafe { decide::decide(fd, given) }),
    }
}

/// Connects again, as the kernel restarts a call, to the target of the first decision.
fn restart(fd: Fd, dialled: SocketAddr, target: Target) -> Verdict<()> {
    let decision = match kind_of(fd) {
        // Another thread has closed the fd and opened another file there.
        Kind::NotTcp => Decision::Fails(Errno::EBADF),
        Kind::TcpInUse => Decision::InUse,
        Kind::Tcp | Kind::TcpUsed => Decision::Tunnel(dialled, target),
    };
    execute(fd, decision)
}

/// Executes a decision. `Return`: the socket is connected.
pub fn execute(fd: Fd, decision: Decision) -> Verdict<()> {
    match decision {
        Decision::Real => Verdict::Real,
        Decision::Dnat(address) => sys::connect(fd, &address).into(),
        Decision::InUse => connect_in_use(fd).into(),
        Decision::Refused(errno) | Decision::Fails(errno) => Verdict::Fail(errno),
        Decision::Tunnel(dialled, target) => {
            tunnel::make(fd, dialled, target).unwrap_or_else(Verdict::Fail)
        }
    }
}

/// The kernel's answer to a connect of a socket that is connected, connecting or listening.
fn connect_in_use(fd: Fd) -> Result<(), Errno> {
    sys::connect(fd, &unconnectable_address())?;
    match sys::cookie(fd) {
        Some(cookie) if RECENT_CONNECTS.take(cookie) => sys::connect(fd, &unconnectable_address()),
        _ => Ok(()),
    }
}
