//! sendto(2), sendmsg(2) and sendmmsg(2): with MSG_FASTOPEN they connect and send in one call (tcp(7)); without,
//! they are libc's, save for `raw_dns deny`.
//!
//! Through a proxy the first data cannot travel with the SYN, so the call becomes a connect and a plain send.
//! A non-blocking socket gets EINPROGRESS with nothing sent, as from a kernel that has no cookie yet.

use super::boundary::Verdict;
use super::connect::{along, earlier_attempt, route_of};
use super::raw_dns;
use super::table::real;
use crate::state::{denies_raw_dns, state};
use core::ffi::{c_int, c_uint, c_void};
use libc::{mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use tailchain_core::errno::Errno;
use tailchain_core::route;
use tailchain_core::sys::{self, Fd};

/// Whether it does not matter where a message goes, and the call is libc's. Until the configuration is known, it may.
pub fn is_idle(flags: c_int) -> bool {
    flags & libc::MSG_FASTOPEN == 0 && denies_raw_dns() == Some(false)
}

/// The same, with the configuration read if that is still to be done.
fn looks_at_destination(flags: c_int) -> bool {
    state();
    !is_idle(flags)
}

/// The body of the hook.
///
/// # Safety
/// As sendto(2).
pub unsafe fn sendto(
    fd: c_int,
    buffer: *const c_void,
    length: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_length: socklen_t,
) -> Verdict<ssize_t> {
    if flags & libc::MSG_FASTOPEN == 0 {
        // SAFETY: the program's own arguments.
        return match unsafe { raw_dns::denies_datagram(fd, address, address_length) } {
            true => Verdict::Fail(route::RAW_DNS_ERROR),
            false => Verdict::Real,
        };
    }
    // SAFETY: the program's own arguments.
    match unsafe { connect_first(fd, address, address_length) } {
        Verdict::Real => Verdict::Real,
        Verdict::Fail(errno) => Verdict::Fail(errno),
        // SAFETY: as above; the destination is connected by now.
        Verdict::Return(()) => returned(unsafe {
            real::sendto(fd, buffer, length, plain(flags), core::ptr::null(), 0)
        }),
    }
}

/// The body of the hook.
///
/// # Safety
/// As sendmsg(2).
pub unsafe fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> Verdict<ssize_t> {
    if !looks_at_destination(flags) || !sys::is_readable(message.cast(), size_of::<msghdr>()) {
        return Verdict::Real;
    }
    // SAFETY: readable, as the kernel said.
    let mut plain_message = unsafe { *message };
    if flags & libc::MSG_FASTOPEN == 0 {
        // SAFETY: the program's own arguments.
        return match unsafe { denies(fd, &plain_message) } {
            true => Verdict::Fail(route::RAW_DNS_ERROR),
            false => Verdict::Real,
        };
    }
    // SAFETY: the program's own arguments.
    match unsafe { connect_first(fd, plain_message.msg_name.cast(), plain_message.msg_namelen) } {
        Verdict::Real => Verdict::Real,
        Verdict::Fail(errno) => Verdict::Fail(errno),
        Verdict::Return(()) => {
            plain_message.msg_name = core::ptr::null_mut();
            plain_message.msg_namelen = 0;
            // SAFETY: as above.
            returned(unsafe { real::sendmsg(fd, &plain_message, plain(flags)) })
        }
    }
}

/// The body of the hook. The first message says where to connect to.
///
/// # Safety
/// As sendmmsg(2).
pub unsafe fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> Verdict<c_int> {
    let ours = looks_at_destination(flags) && count > 0;
    if !ours || !sys::is_readable(messages.cast(), size_of::<mmsghdr>()) {
        return Verdict::Real;
    }
    if flags & libc::MSG_FASTOPEN == 0 {
        // SAFETY: the program's own arguments.
        return unsafe { send_until_denied(fd, messages, count, flags) };
    }
    // SAFETY: readable, as the kernel said.
    let first = unsafe { (*messages).msg_hdr };
    // SAFETY: the program's own arguments.
    match unsafe { connect_first(fd, first.msg_name.cast(), first.msg_namelen) } {
        Verdict::Real => Verdict::Real,
        Verdict::Fail(errno) => Verdict::Fail(errno),
        // A connected stream socket ignores the names in the messages (send(2)).
        Verdict::Return(()) => {
            // SAFETY: as above.
            returned(unsafe { real::sendmmsg(fd, messages, count, plain(flags)) })
        }
    }
}

/// # Safety
/// As sendmsg(2).
unsafe fn denies(fd: Fd, message: &msghdr) -> bool {
    // SAFETY: passed on.
    unsafe { raw_dns::denies_datagram(fd, message.msg_name.cast(), message.msg_namelen) }
}

/// sendmmsg(2) ends at the first message that cannot be sent, and fails only when that is the very first.
///
/// # Safety
/// As sendmmsg(2).
unsafe fn send_until_denied(
    fd: Fd,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> Verdict<c_int> {
    let denied = (0..count).find(|&index| {
        let message = messages.wrapping_add(index as usize);
        sys::is_readable(message.cast(), size_of::<mmsghdr>())
            // SAFETY: readable, as the kernel said.
            && unsafe { denies(fd, &(*message).msg_hdr) }
    });
    match denied {
        None => Verdict::Real,
        Some(0) => Verdict::Fail(route::RAW_DNS_ERROR),
        // SAFETY: the program's own arguments, fewer of them.
        Some(index) => returned(unsafe { real::sendmmsg(fd, messages, index, flags) }),
    }
}

/// The connect that MSG_FASTOPEN implies. `Return`: the tunnel stands.
///
/// # Safety
/// As connect(2).
unsafe fn connect_first(fd: Fd, address: *const sockaddr, length: socklen_t) -> Verdict<()> {
    if let Some(result) = earlier_attempt(fd) {
        return result.into();
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
