//! connect(2): the decision about a socket and an address.

use super::datagram;
use super::given::GivenAddress;
use crate::counters::{count, Counter};
use crate::state::state;
use core::ffi::c_int;
use libc::sa_family_t;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::{kind_of, Decision, Kind};
use tailchain_core::sys::{self, Fd, SockAddr};

/// The family of an address. `None`: the kernel rejects the address before it checks the socket's state, with EINVAL for
/// its length or EFAULT if it cannot be read.
///
/// # Safety
/// As connect(2), but a bad pointer is no error.
pub unsafe fn family_of(given: &mut GivenAddress) -> Option<c_int> {
    if (given.length() as usize) < size_of::<sa_family_t>() {
        return None;
    }
    // SAFETY: what is bad is not read.
    unsafe { given.read(sys::is_readable) }.map(SockAddr::family)
}

/// Decides about a socket and an address.
///
/// # Safety
/// As connect(2), but a bad pointer is an error.
pub unsafe fn decide(fd: Fd, given: &mut GivenAddress) -> Decision {
    /// The shortest internet address, a sockaddr_in.
    const SHORTEST: usize = size_of::<libc::sockaddr_in>();
    let length = given.length();
    if (length as usize) < SHORTEST {
        return Decision::Real;
    }
    let kind = kind_of(fd);
    if kind == Kind::NotTcp {
        // The replacement of a TCP socket, connected to a proxy on a unix socket.
        if state().has_unix_proxy() && state().dialled_on(fd).is_some() {
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
        Decision::Real | Decision::Dnat(_) => count(Counter::Direct),
        Decision::Refused(_) => count(Counter::Refused),
        Decision::Fails(_) | Decision::InUse | Decision::Tunnel(..) => {}
    }
    decision
}
