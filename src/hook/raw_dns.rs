//! `raw_dns deny`: a program's own resolver (c-ares, dnspython, …) asks a DNS server past libc, and so past
//! `proxy_dns`. What it sends to port 53 is refused, unless it goes through the proxies.
//!
//! Servers on this machine are no exception: they ask others outside. libc's own resolver is, since it does not
//! call our hooks; it asks about names only that are left to it.
//!
//! TCP is refused by [`route::decide`], like any other route; here is what is not a connection.
//!
//! There is no `raw_dns answer`. The answers would have to arrive on the program's socket from the server's own
//! address and port, which programs check and nobody can forge without privileges; the other ways are a hook
//! on every receive, or a thread that lives as long as the socket.

use super::connect::may_be_tcp;
use crate::state::state;
use libc::{sockaddr, socklen_t};
use tailchain_core::config::RawDns;
use tailchain_core::route::{self, Refusal};
use tailchain_core::sys::{self, Fd, SockAddr};

/// Whether something other than a TCP connection to this address is to be refused; says so in the log. What is
/// no internet address, or not readable, is the kernel's to refuse.
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
    let denied = to.filter(|to| route::denies_direct(&state.config, to.port()) && !may_be_tcp(fd));
    if let Some(to) = denied {
        let (error, why) = (route::RAW_DNS_ERROR, Refusal::RawDns);
        state.log.message(&format!("{to} refused ({error}): {why}"));
    }
    denied.is_some()
}
