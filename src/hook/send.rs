//! sendto(2), sendmsg(2) and sendmmsg(2): with MSG_FASTOPEN they connect and send in one call (tcp(7)); without,
//! they are libc's, save for what [`datagram`] refuses.
//!
//! Through a proxy the first data cannot travel with the SYN, so the call becomes a connect and a plain send.
//! A non-blocking socket gets EINPROGRESS with nothing sent, as from a kernel that has no cookie yet.

use super::attempt;
use super::boundary::Verdict;
use super::connect::{along, earlier_attempt, route_of};
use super::datagram;
use super::sleep::Resumed;
use super::table::real;
use crate::pending::PENDING;
use crate::state::{known_state, state, State};
use core::ffi::{c_int, c_uint, c_void};
use libc::{mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd};

/// Whether it does not matter where a message goes, and the call is libc's. Until the configuration is known, it may.
///
/// # Safety
/// As sendto(2), but a bad pointer is no error.
pub unsafe fn is_idle(flags: c_int, address: *const sockaddr, length: socklen_t) -> bool {
    // What is sent on a connected socket has no address.
    flags & libc::MSG_FASTOPEN == 0
        && (address.is_null()
            || PENDING.count() == 0
                // SAFETY: passed on.
                && known_state().is_some_and(|state| !unsafe { concerns(state, address, length) }))
}

/// As [`is_idle`], for sendmsg(2).
///
/// # Safety
/// As sendmsg(2), but a bad pointer is no error.
pub unsafe fn is_idle_message(flags: c_int, message: *const msghdr) -> bool {
    // SAFETY: passed on.
    let names = || unsafe { name_of(message) };
    flags & libc::MSG_FASTOPEN == 0
        && known_state().is_some_and(|state| {
            !state.watches_datagrams()
                // SAFETY: the name is the program's own.
                || !names().is_some_and(|(address, length)| unsafe { concerns(state, address, length) })
        })
}

/// As [`is_idle`], for sendmmsg(2).
///
/// # Safety
/// As sendmmsg(2), but a bad pointer is no error.
pub unsafe fn are_idle_messages(flags: c_int, messages: *const mmsghdr, count: c_uint) -> bool {
    let concerns_one = |state: &State| {
        // The kernel looks at no more of them in one call.
        (0..count.min(libc::UIO_MAXIOV as c_uint)).any(|index| {
            let message = messages.wrapping_add(index as usize);
            // SAFETY: the address of a field, which is not read here; the name is the program's own.
            unsafe { name_of(&raw const (*message).msg_hdr) }
                .is_some_and(|(address, length)| unsafe { concerns(state, address, length) })
        })
    };
    flags & libc::MSG_FASTOPEN == 0
        && known_state().is_some_and(|state| !state.watches_datagrams() || !concerns_one(state))
}

/// # Safety
/// As sendto(2), but a bad pointer is no error.
unsafe fn concerns(state: &State, address: *const sockaddr, length: socklen_t) -> bool {
    // SAFETY: passed on.
    state.watches_datagrams() && unsafe { datagram::may_be_refused(state, address, length) }
}

/// The address in a message, if there is one.
///
/// # Safety
/// `message` is a pointer of the program's; it may be a bad one.
unsafe fn name_of(message: *const msghdr) -> Option<(*const sockaddr, socklen_t)> {
    if !sys::was_readable(message.cast(), size_of::<msghdr>()) {
        return None;
    }
    // SAFETY: readable.
    let (name, length) = unsafe {
        (
            (&raw const (*message).msg_name).read_unaligned(),
            (&raw const (*message).msg_namelen).read_unaligned(),
        )
    };
    (!name.is_null()).then_some((name.cast_const().cast(), length))
}

/// The body of the hook.
///
/// # Safety
/// As sendto(2).
pub unsafe fn sendto(
    resumed: Option<Resumed>,
    fd: c_int,
    buffer: *const c_void,
    length: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_length: socklen_t,
) -> Verdict<ssize_t> {
    if flags & libc::MSG_FASTOPEN == 0 {
        if !address.is_null() && PENDING.hold(fd).is_some() {
            // To a connecting socket the address is nothing; to its placeholder, which is connected, an error.
            let nobody = core::ptr::null();
            // SAFETY: the program's own arguments.
            return returned(unsafe { real::sendto(fd, buffer, length, flags, nobody, 0) });
        }
        // SAFETY: the program's own arguments.
        return match unsafe { datagram::refused_send(fd, address, address_length) } {
            Some(errno) => Verdict::Fail(errno),
            None => Verdict::Real,
        };
    }
    // SAFETY: the program's own arguments.
    unsafe { connect_first(resumed, fd, address, address_length) }.map(|()| {
        // SAFETY: as above; the destination is connected by now.
        returned(unsafe { real::sendto(fd, buffer, length, plain(flags), core::ptr::null(), 0) })
    })
}

/// The body of the hook.
///
/// # Safety
/// As sendmsg(2).
pub unsafe fn sendmsg(
    resumed: Option<Resumed>,
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
) -> Verdict<ssize_t> {
    state();
    // SAFETY: passed on.
    let idle = unsafe { is_idle_message(flags, message) };
    if idle || !sys::is_readable(message.cast(), size_of::<msghdr>()) {
        return Verdict::Real;
    }
    // SAFETY: readable, as the kernel said.
    let mut plain_message = unsafe { *message };
    if flags & libc::MSG_FASTOPEN == 0 {
        // SAFETY: the program's own arguments.
        return match unsafe { refused(fd, &plain_message) } {
            Some(errno) => Verdict::Fail(errno),
            None => Verdict::Real,
        };
    }
    let (name, length) = (plain_message.msg_name.cast(), plain_message.msg_namelen);
    // SAFETY: the program's own arguments.
    unsafe { connect_first(resumed, fd, name, length) }.map(|()| {
        plain_message.msg_name = core::ptr::null_mut();
        plain_message.msg_namelen = 0;
        // SAFETY: as above.
        returned(unsafe { real::sendmsg(fd, &plain_message, plain(flags)) })
    })
}

/// The body of the hook. The first message says where to connect to.
///
/// # Safety
/// As sendmmsg(2).
pub unsafe fn sendmmsg(
    resumed: Option<Resumed>,
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> Verdict<c_int> {
    state();
    // SAFETY: passed on.
    let idle = unsafe { are_idle_messages(flags, messages, count) };
    if idle || count == 0 || !sys::is_readable(messages.cast(), size_of::<mmsghdr>()) {
        return Verdict::Real;
    }
    if flags & libc::MSG_FASTOPEN == 0 {
        // SAFETY: the program's own arguments.
        return unsafe { send_until_refused(fd, messages, count, flags) };
    }
    // SAFETY: readable, as the kernel said.
    let first = unsafe { (*messages).msg_hdr };
    // SAFETY: the program's own arguments.
    let connected = unsafe { connect_first(resumed, fd, first.msg_name.cast(), first.msg_namelen) };
    connected.map(|()| {
        // A connected stream socket ignores the names in the messages (send(2)).
        // SAFETY: as above.
        returned(unsafe { real::sendmmsg(fd, messages, count, plain(flags)) })
    })
}

/// # Safety
/// As sendmsg(2).
unsafe fn refused(fd: Fd, message: &msghdr) -> Option<Errno> {
    // SAFETY: passed on.
    unsafe { datagram::refused_send(fd, message.msg_name.cast(), message.msg_namelen) }
}

/// sendmmsg(2) ends at the first message that cannot be sent, and fails only when that is the very first.
///
/// # Safety
/// As sendmmsg(2).
unsafe fn send_until_refused(
    fd: Fd,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> Verdict<c_int> {
    let mut first_refused = None;
    // The kernel sends no more in one call, and none after one that it cannot read.
    for index in 0..count.min(libc::UIO_MAXIOV as c_uint) {
        let message = messages.wrapping_add(index as usize);
        if !sys::is_readable(message.cast(), size_of::<mmsghdr>()) {
            break;
        }
        // SAFETY: readable, as the kernel said.
        if let Some(errno) = unsafe { refused(fd, &(*message).msg_hdr) } {
            first_refused = Some((index, errno));
            break;
        }
    }
    match first_refused {
        None => Verdict::Real,
        Some((0, errno)) => Verdict::Fail(errno),
        // SAFETY: the program's own arguments, fewer of them.
        Some((index, _)) => returned(unsafe { real::sendmmsg(fd, messages, index, flags) }),
    }
}

/// The connect that MSG_FASTOPEN implies. `Return`: the tunnel stands.
///
/// # Safety
/// As connect(2).
unsafe fn connect_first(
    resumed: Option<Resumed>,
    fd: Fd,
    address: *const sockaddr,
    length: socklen_t,
) -> Verdict<()> {
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
    along(fd, unsafe { route_of(fd, address, length) })
}

fn plain(flags: c_int) -> c_int {
    flags & !libc::MSG_FASTOPEN
}

/// What a real function returned, with its errno.
fn returned<T: PartialOrd + From<i8>>(value: Option<T>) -> Verdict<T> {
    match value {
        Some(value) if value >= T::from(0) => Verdict::Return(value),
        Some(_) => Verdict::Fail(Errno::from_raw(sys::errno())),
        None => Verdict::Fail(Errno::ENOSYS),
    }
}
