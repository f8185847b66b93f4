//! sendto(2), sendmsg(2) and sendmmsg(2): with MSG_FASTOPEN they connect and send in one call (tcp(7)); without,
//! they are libc's, save for what [`datagram`] refuses.
//!
//! Through a proxy the first data cannot travel with the SYN, so the call becomes a connect and a plain send.
//! A non-blocking socket gets EINPROGRESS with nothing sent, as from a kernel that has no cookie yet.

use super::attempt;
use super::boundary::Verdict;
use super::connect::{earlier_attempt, execute, may_be_tcp, route_of};
use super::datagram;
use super::given::{GivenAddress, GivenMessage, GivenMessages};
use super::sleep::Resumed;
use crate::pending::PENDING;
use crate::state::{known_state, state, State};
use core::ffi::{c_int, c_uint, c_void};
use hooks::real;
use libc::{mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd};

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::given::{GivenAddress, GivenMessage, GivenMessages};
    use crate::hook::send;
    use core::ffi::{c_int, c_uint, c_void};
    use libc::{mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};

    hooks! {
        find current;

        /// sendto(2) with MSG_FASTOPEN connects (tcp(7)); a datagram to a fake IP is refused, and by `raw_dns deny` one to
        /// port 53; everything else is libc's.
        ///
        /// Async-signal-safe where it is not proxied. After fork and vfork: as connect.
        fn sendto(fd: c_int, buffer: *const c_void, length: size_t, flags: c_int, address: *const sockaddr, address_length: socklen_t) -> ssize_t
            = send::sendto, fails -1, resumes resumed,
            reads given: GivenAddress = GivenAddress::new(address, address_length),
            real real::sendto(fd, buffer, length, flags, given.pointer(), address_length),
            idle {
                // SAFETY: the program's own arguments.
                unsafe { send::is_idle(flags, &mut given) }
            };

        /// sendmsg(2), as sendto.
        fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t
            = send::sendmsg, fails -1, resumes resumed,
            reads given: GivenMessage = GivenMessage::new(message), real real::sendmsg(fd, given.pointer(), flags),
            idle {
                // SAFETY: the program's own arguments.
                unsafe { send::is_idle_message(flags, &mut given) }
            };

        /// sendmmsg(2), as sendto.
        fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int
            = send::sendmmsg, fails -1, resumes resumed,
            reads given: GivenMessages = GivenMessages::new(messages, count),
            real given.send(fd, flags, send::refused_by(fd)),
            idle send::are_idle_messages(flags);
    }
}

/// Whether it does not matter where a message goes, and the call is libc's. Until the configuration is known, it may.
///
/// # Safety
/// As sendto(2), but a bad pointer is no error.
pub unsafe fn is_idle(flags: c_int, given: &mut GivenAddress) -> bool {
    // What is sent on a connected socket has no address.
    flags & libc::MSG_FASTOPEN == 0
        && (given.is_null()
            || PENDING.count() == 0
                // SAFETY: passed on.
                && known_state().is_some_and(|state| !unsafe { concerns(state, given) }))
}

/// As [`is_idle`], for sendmsg(2).
///
/// # Safety
/// As sendmsg(2), but a bad pointer is no error.
pub unsafe fn is_idle_message(flags: c_int, given: &mut GivenMessage) -> bool {
    flags & libc::MSG_FASTOPEN == 0
        && known_state().is_some_and(|state| {
            !state.watches_datagrams()
                // SAFETY: passed on.
                || !unsafe { given.read() }.is_some_and(|(_, name)| unsafe { concerns(state, name) })
        })
}

/// As [`is_idle`], for sendmmsg(2).
pub fn are_idle_messages(flags: c_int) -> bool {
    flags & libc::MSG_FASTOPEN == 0 && known_state().is_some_and(|state| !state.watches_datagrams())
}

/// # Safety
/// As sendto(2), but a bad pointer is no error.
unsafe fn concerns(state: &State, given: &mut GivenAddress) -> bool {
    // SAFETY: passed on.
    state.watches_datagrams() && unsafe { datagram::may_be_refused(state, given) }
}

/// The body of the hook.
///
/// # Safety
/// As sendto(2).
#[allow(clippy::too_many_arguments)]
pub unsafe fn sendto(
    resumed: Option<Resumed>,
    given: &mut GivenAddress,
    fd: c_int,
    buffer: *const c_void,
    length: size_t,
    flags: c_int,
    _address: *const sockaddr,
    _address_length: socklen_t,
) -> Verdict<ssize_t> {
    if resumed.is_none() && !connects(fd, flags) {
        if !given.is_null() && PENDING.lock_fd(fd).is_some() {
            // To a connecting socket the address is nothing; to its placeholder, which is connected, an error.
            let nobody = core::ptr::null();
            // SAFETY: the program's own arguments.
            return Verdict::of_call(unsafe { real::sendto(fd, buffer, length, flags, nobody, 0) });
        }
        // SAFETY: the program's own arguments.
        return match unsafe { datagram::refused_send(fd, given) } {
            Some(errno) => Verdict::Fail(errno),
            None => Verdict::Real,
        };
    }
    // SAFETY: the program's own arguments.
    unsafe { connect_first(resumed, fd, given) }.and_then(|()| {
        // SAFETY: as above; the destination is connected by now.
        Verdict::of_call(unsafe {
            real::sendto(fd, buffer, length, plain(flags), core::ptr::null(), 0)
        })
    })
}

/// The body of the hook.
///
/// # Safety
/// As sendmsg(2).
pub unsafe fn sendmsg(
    resumed: Option<Resumed>,
    given: &mut GivenMessage,
    fd: c_int,
    _message: *const msghdr,
    flags: c_int,
) -> Verdict<ssize_t> {
    state();
    // SAFETY: the program's own argument.
    let Some((mut plain_message, name)) = (unsafe { given.read() }) else {
        return Verdict::Real;
    };
    if resumed.is_none() && !connects(fd, flags) {
        // SAFETY: the program's own arguments.
        return match unsafe { datagram::refused_send(fd, name) } {
            Some(errno) => Verdict::Fail(errno),
            None => Verdict::Real,
        };
    }
    // SAFETY: the program's own arguments.
    unsafe { connect_first(resumed, fd, name) }.and_then(|()| {
        plain_message.msg_name = core::ptr::null_mut();
        plain_message.msg_namelen = 0;
        // SAFETY: as above.
        Verdict::of_call(unsafe { real::sendmsg(fd, &plain_message, plain(flags)) })
    })
}

/// The body of the hook. The first message says where to connect to.
///
/// # Safety
/// As sendmmsg(2).
pub unsafe fn sendmmsg(
    resumed: Option<Resumed>,
    given: &mut GivenMessages,
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> Verdict<c_int> {
    state();
    if are_idle_messages(flags) {
        return Verdict::Real;
    }
    if resumed.is_none() && !connects(fd, flags) {
        // SAFETY: the program's own arguments.
        unsafe { given.read(refused_by(fd)) };
        return match given.refusal() {
            Some(errno) => Verdict::Fail(errno),
            None => Verdict::Real,
        };
    }
    if resumed.is_none() {
        // SAFETY: the program's own arguments.
        unsafe { given.read(|_| None) };
    }
    let Some(name) = given.first_name() else {
        return Verdict::Real;
    };
    // SAFETY: the program's own arguments.
    unsafe { connect_first(resumed, fd, name) }.and_then(|()| {
        // A connected stream socket ignores the names in the messages (send(2)).
        // SAFETY: as above.
        Verdict::of_call(unsafe { real::sendmmsg(fd, messages, count, plain(flags)) })
    })
}

/// Which messages on this socket are refused.
pub fn refused_by(fd: Fd) -> impl Fn(&mut GivenAddress) -> Option<Errno> {
    // SAFETY: the address is of a message of the program's; a bad one is no error.
    move |name| unsafe { datagram::refused_send(fd, name) }
}

/// Whether a call with these flags connects: to sockets other than TCP's, MSG_FASTOPEN is nothing.
fn connects(fd: Fd, flags: c_int) -> bool {
    flags & libc::MSG_FASTOPEN != 0 && (may_be_tcp(fd) || PENDING.lock_fd(fd).is_some())
}

/// The connect that MSG_FASTOPEN implies. `Return`: the tunnel stands.
///
/// # Safety
/// As connect(2).
unsafe fn connect_first(resumed: Option<Resumed>, fd: Fd, given: &mut GivenAddress) -> Verdict<()> {
    if let Some(resumed) = resumed {
        return attempt::resume(resumed, fd);
    }
    if let Some(verdict) = earlier_attempt(fd) {
        return verdict;
    }
    if sys::peer_address(fd).is_ok() {
        // Connected: the kernel ignores the address and the flag.
        return Verdict::Real;
    }
    // SAFETY: passed on.
    execute(fd, unsafe { route_of(fd, given) })
}

fn plain(flags: c_int) -> c_int {
    flags & !libc::MSG_FASTOPEN
}
