//! A program's socket, borrowed from it for the time of a call.

#![forbid(unsafe_code)]

use crate::caller::Caller;
use crate::listener::Call;
use crate::supervisor::Supervisor;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd, OwnFd};

/// A socket of a program, and the thread it was borrowed from.
pub struct Borrowed {
    pub caller: Caller,
    pub fd: Fd,
    pub socket: OwnFd,
    pub cookie: u64,
}

impl Supervisor {
    /// Borrows the socket that a call refers to.
    pub fn borrow(&self, call: &Call) -> Result<Borrowed, Errno> {
        let fd = call.fd();
        let (caller, socket) = self.callers.borrow(call.thread, fd)?;
        let cookie = sys::cookie(socket.fd()).ok_or(Errno::ENOTSOCK)?;
        Ok(Borrowed {
            caller,
            fd,
            socket,
            cookie,
        })
    }
}

/// Whether it is an internet socket. True if getsockopt(2) is not permitted.
pub fn is_internet(socket: Fd) -> bool {
    match sys::get_option::<i32>(socket, libc::SOL_SOCKET, libc::SO_DOMAIN) {
        Ok(domain) => matches!(domain, libc::AF_INET | libc::AF_INET6),
        Err(_) => true,
    }
}
