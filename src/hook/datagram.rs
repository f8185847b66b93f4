//! Datagrams, and connects of sockets other than TCP's, that are refused.
//!
//! - To a fake IP: only TCP goes through the proxy, and outside of this machine such an address is unroutable or
//!   belongs to another host. (QUIC clients then fall back to TCP.)
//! - With `raw_dns deny`: a program's own resolver (c-ares, dnspython, …) bypasses libc, and so `proxy_dns`. Its
//!   datagrams to port 53 are refused; DNS over TCP goes through the proxies.
//!
//! DNS servers on this machine are no exception, since they forward queries. libc's own resolver is not affected: it
//! does not call the hooks, and only resolves names that are left to libc. TCP is decided by [`route::decide`].
//!
//! There is no `raw_dns answer`. The answers would have to arrive on the program's socket from the server's address and
//! port, which programs check and which cannot be forged without privileges. The alternatives are a hook on every
//! receive, or a thread that lives as long as the socket.

use super::given::GivenAddress;
use crate::state::{state, State};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use libc::sockaddr_in;
use std::net::SocketAddr;
use tailchain_core::errno::Errno;
use tailchain_core::route;
use tailchain_core::router::connect::is_tcp_or_unknown;
use tailchain_core::sys::{self, Fd};

/// Whether a send to this address needs a closer look. This is the whole cost of an ordinary datagram: no system call,
/// except for the first access to a page.
///
/// # Safety
/// The address is NULL or a pointer of the program, which may be bad.
pub unsafe fn may_be_refused(state: &State, given: &mut GivenAddress) -> bool {
    // SAFETY: passed on.
    unsafe { destination(given) }.is_some_and(|to| is_watched(state, to.address))
}

/// The errno for a send to this address, if it is refused; the log says why. The kernel rejects unreadable addresses
/// and other address families itself.
///
/// # Safety
/// As [`may_be_refused`].
pub unsafe fn refused_send(fd: Fd, given: &mut GivenAddress) -> Option<Errno> {
    // SAFETY: passed on.
    refused(fd, unsafe { destination(given) }?)
}

/// The same for connect(2), where AF_UNSPEC is no address.
///
/// # Safety
/// As [`may_be_refused`].
pub unsafe fn refused_connect(fd: Fd, given: &mut GivenAddress) -> Option<Errno> {
    // SAFETY: passed on.
    let to = unsafe { destination(given) }?;
    (to.family != libc::AF_UNSPEC)
        .then(|| refused(fd, to))
        .flatten()
}

struct Destination {
    family: c_int,
    address: SocketAddr,
}

/// # Safety
/// As [`may_be_refused`].
unsafe fn destination(given: &mut GivenAddress) -> Option<Destination> {
    if (given.length() as usize) < size_of::<sockaddr_in>() {
        return None;
    }
    // SAFETY: passed on.
    let address = unsafe { given.read(sys::was_readable) }?;
    let family = address.family();
    let address = match family {
        // udp(7) and raw(7) treat AF_UNSPEC as AF_INET.
        libc::AF_UNSPEC => address.inet_as(libc::AF_INET),
        _ => address.inet(),
    };
    address.map(|address| Destination { family, address })
}

fn is_watched(state: &State, to: SocketAddr) -> bool {
    state.is_fake(to.ip()) || route::denies_direct(&state.config, to.port())
}

fn refused(fd: Fd, to: Destination) -> Option<Errno> {
    let (state, family, to) = (state(), to.family, to.address);
    // A connected TCP socket ignores the address (send(2)).
    if !is_watched(state, to) || !is_internet(fd, family) || is_tcp_or_unknown(fd) {
        return None;
    }
    let (errno, why) = state.refusal_of_datagram(to)?;
    if differs_from_last(to) {
        state.log.message(&format!("{to} refused ({errno}): {why}"));
    }
    Some(errno)
}

/// Whether the kernel would send to an address of `family` from this socket. True if getsockopt(2) is not
/// permitted.
fn is_internet(fd: Fd, family: c_int) -> bool {
    match sys::get_option::<c_int>(fd, libc::SOL_SOCKET, libc::SO_DOMAIN) {
        // On an IPv6 socket AF_UNSPEC means the connected peer.
        Ok(libc::AF_INET6) => family != libc::AF_UNSPEC,
        Ok(domain) => domain == libc::AF_INET,
        Err(errno) => !matches!(errno, Errno::EBADF | Errno::ENOTSOCK),
    }
}

/// Whether the address differs from the last refused one, so that a client that keeps sending does not fill the log.
fn differs_from_last(to: SocketAddr) -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let ip = match to.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => u64::from(ip.to_bits()),
        std::net::IpAddr::V6(ip) => ip.to_bits() as u64,
    };
    let this = ip << 16 | u64::from(to.port());
    LAST.swap(this, Ordering::Relaxed) != this
}
