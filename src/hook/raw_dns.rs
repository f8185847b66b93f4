//! `raw_dns deny`: a program's own resolver (c-ares, dnspython, …) asks a DNS server past libc, and so past
//! `proxy_dns`. What it sends to port 53 is refused, unless it goes through the proxies.
//!
//! Servers on this machine are no exception: they ask others outside. libc's own resolver is, since it does not
//! call our hooks; it asks about names only that are left to it.
//!
//! The error is ECONNREFUSED: resolvers take the server for dead, go to the next one and give up after the
//! last, all at once.
//!
//! There is no `raw_dns answer`. The answers would have to arrive on the program's socket from the server's own
//! address and port, which programs check and nobody can forge without privileges; the other ways are a hook
//! on every receive, or a thread that lives as long as the socket.

use super::connect::is_tcp;
use crate::state::{state, State};
use libc::{sockaddr, socklen_t};
use std::net::SocketAddr;
use tailchain_core::config::RawDns;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd, SockAddr};

/// RFC 1035 section 4.2.
const PORT: u16 = 53;

pub const ERROR: Errno = Errno::ECONNREFUSED;

/// Whether what goes to `to`, and not through the proxies, is to be refused. Says so in the log.
pub fn denies(state: &State, to: SocketAddr) -> bool {
    let denied = state.config.raw_dns == RawDns::Deny && to.port() == PORT;
    if denied {
        state
            .log
            .message(&format!("{to} refused ({ERROR}): raw_dns deny"));
    }
    denied
}

/// As [`denies`], of the address that a program gave for something other than a TCP connection. What is no
/// internet address, or not readable, is the kernel's to refuse.
///
/// # Safety
/// `address` is NULL, or a pointer of the program's; it may be a bad one.
pub unsafe fn denies_datagram(fd: Fd, address: *const sockaddr, length: socklen_t) -> bool {
    let state = state();
    let readable = || sys::is_readable(address.cast(), (length as usize).clamp(8, 128));
    if state.config.raw_dns != RawDns::Deny || address.is_null() || !readable() {
        return false;
    }
    // SAFETY: its first and last bytes were read by the kernel just now.
    let to = unsafe { SockAddr::copy_from(address, length) }.and_then(|address| address.inet());
    // A connected TCP socket ignores the address (send(2)).
    to.is_some_and(|to| to.port() == PORT && !is_tcp(fd) && denies(state, to))
}
