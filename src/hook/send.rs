//! sendto(2), sendmsg(2) and sendmmsg(2). With MSG_FASTOPEN they connect and send in one call (tcp(7)); without it they
//! are libc's, except for messages that [`datagram`] refuses.
//!
//! Through a proxy the first data cannot travel with the SYN, so the call becomes a connect and a plain send. On a
//! non-blocking socket it fails with EINPROGRESS and sends nothing, as a kernel without a Fast Open cookie does.

use super::boundary::Verdict;
use super::connect::{self, execute};
use super::given::{GivenAddress, GivenMessage, GivenMessages};
use super::sleep::Resumed;
use super::{datagram, decide, earlier};
use crate::pending::PENDING;
use crate::state::{known_state, state, State};
use core::ffi::{c_int, c_uint, c_void};
use hooks::real;
use libc::{mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::is_tcp_or_unknown;
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

        /// sendto(2): connects with MSG_FASTOPEN (tcp(7)). Refuses a datagram to a fake IP, and with `raw_dns deny` a
        /// datagram to port 53. Anything else is libc's.
        ///
        /// Async-signal-safe unless it connects through a proxy. After fork and vfork: as connect.
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

/// Whether the call can go straight to libc, because its destination does not matter. Always false until the
/// configuration is loaded, except for a call without an address.
///
/// # Safety
/// As sendto(2), but a bad pointer is allowed.
pub unsafe fn is_idle(flags: c_int, given: &mut GivenAddress) -> bool {
    // A send on a connected socket has no address.
    flags & libc::MSG_FASTOPEN == 0
        && (given.is_null()
            || PENDING.count() == 0
                // SAFETY: passed on.
                && known_state().is_some_and(|state| !unsafe { concerns(state, given) }))
}

/// As [`is_idle`], for sendmsg(2).
///
/// # Safety
/// As sendmsg(2), but a bad pointer is allowed.
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
/// As sendto(2), but a bad pointer is allowed.
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
            // A connecting TCP socket ignores the address, but its placeholder, a connected unix socket, would fail.
            let no_address = core::ptr::null();
            // SAFETY: the program's own arguments.
            return Verdict::of_call(unsafe {
                real::sendto(fd, buffer, length, flags, no_address, 0)
            });
        }
        // SAFETY: the program's own arguments.
        return match unsafe { datagram::refused_send(fd, given) } {
            Some(errno) => Verdict::Fail(errno),
            None => Verdict::Real,
        };
    }
    // SAFETY: the program's own arguments.
    unsafe { connect_first(resumed, fd, given) }.and_then(|()| {
        // SAFETY: as above; the socket is connected to the destination by now.
        Verdict::of_call(unsafe {
            real::sendto(
                fd,
                buffer,
                length,
                without_fastopen(flags),
                core::ptr::null(),
                0,
            )
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
        Verdict::of_call(unsafe { real::sendmsg(fd, &plain_message, without_fastopen(flags)) })
    })
}

/// The body of the hook. The first message has the address to connect to.
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
        // The kernel, too, stops at the second message: the flag tries to connect a socket that is connected by then.
        // SAFETY: as above.
        Verdict::of_call(unsafe {
            real::sendmmsg(fd, messages, count.min(1), without_fastopen(flags))
        })
    })
}

/// Returns the errno for a message to this address on this socket, if it is refused.
pub fn refused_by(fd: Fd) -> impl Fn(&mut GivenAddress) -> Option<Errno> {
    // SAFETY: the address comes from a message of the program; a bad pointer is allowed.
    move |name| unsafe { datagram::refused_send(fd, name) }
}

/// Whether a call with these flags connects. Only TCP sockets honour MSG_FASTOPEN.
fn connects(fd: Fd, flags: c_int) -> bool {
    flags & libc::MSG_FASTOPEN != 0 && (is_tcp_or_unknown(fd) || PENDING.lock_fd(fd).is_some())
}

/// The connect that MSG_FASTOPEN implies. `Return`: the tunnel is established.
///
/// # Safety
/// As connect(2).
unsafe fn connect_first(resumed: Option<Resumed>, fd: Fd, given: &mut GivenAddress) -> Verdict<()> {
    if let Some(resumed) = resumed {
        return connect::resume(resumed, fd);
    }
    if let Some(verdict) = earlier::result(fd) {
        return verdict;
    }
    if sys::peer_address(fd).is_ok() {
        // Connected: the kernel ignores the address and the flag.
        return Verdict::Real;
    }
    // SAFETY: passed on.
    execute(fd, unsafe { decide::decide(fd, given) })
}

fn without_fastopen(flags: c_int) -> c_int {
    flags & !libc::MSG_FASTOPEN
}
