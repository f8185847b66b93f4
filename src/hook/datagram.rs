//! What is sent or connected and is no TCP connection, as far as it is refused.
//!
//! - To a fake IP: only TCP goes through the proxy, and outside of this machine such an address means nothing, or
//!   another host. (QUIC and the like then fall back to TCP.)
//! - `raw_dns deny`: a program's own resolver (c-ares, dnspython, …) asks a DNS server past libc, and so past
//!   `proxy_dns`. What it sends to port 53 is refused, unless it goes through the proxies.
//!
//! Servers on this machine are no exception: they ask others outside. libc's own resolver is, since it does not
//! call our hooks; it asks about names only that are left to it. TCP is [`route::decide`]'s.
//!
//! There is no `raw_dns answer`. The answers would have to arrive on the program's socket from the server's own
//! address and port, which programs check and nobody can forge without privileges; the other ways are a hook
//! on every receive, or a thread that lives as long as the socket.

use super::connect::may_be_tcp;
use super::given::GivenAddress;
use crate::state::{state, State};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use libc::sockaddr_in;
use std::net::SocketAddr;
use tailchain_core::errno::Errno;
use tailchain_core::route;
use tailchain_core::sys::{self, Fd};

/// Whether a send to this address has to be looked at. This is all that an ordinary datagram costs, so it makes no
/// system call, but for a page that it sees for the first time.
///
/// # Safety
/// The address is NULL, or a pointer of the program's; it may be a bad one.
pub unsafe fn may_be_refused(state: &State, given: &mut GivenAddress) -> bool {
    // SAFETY: passed on.
    unsafe { destination(given) }.is_some_and(|to| is_watched(state, to.address))
}

/// The errno for a send to this address that is refused; the log says why. What is no internet address, or not
/// readable, is the kernel's to refuse.
///
/// # Safety
/// As [`may_be_refused`].
pub unsafe fn refused_send(fd: Fd, given: &mut GivenAddress) -> Option<Errno> {
    // SAFETY: passed on.
    refused(fd, unsafe { destination(given) }?)
}

/// The same for connect(2), to which AF_UNSPEC is no address.
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
        // To udp(7) and raw(7), AF_UNSPEC is AF_INET.
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
    if !is_watched(state, to) || !is_internet(fd, family) || may_be_tcp(fd) {
        return None;
    }
    let (errno, why) = state.refusal_of_datagram(to)?;
    if is_news(to) {
        state.log.message(&format!("{to} refused ({errno}): {why}"));
    }
    Some(errno)
}

/// Whether the kernel would send to an address of `family` from this socket. What may not be asked is one that could.
fn is_internet(fd: Fd, family: c_int) -> bool {
    match sys::get_option::<c_int>(fd, libc::SOL_SOCKET, libc::SO_DOMAIN) {
        // AF_UNSPEC is no address there, but that of the peer.
        Ok(libc::AF_INET6) => family != libc::AF_UNSPEC,
        Ok(domain) => domain == libc::AF_INET,
        Err(errno) => !matches!(errno, Errno::EBADF | Errno::ENOTSOCK),
    }
}

/// Whether the last address that was refused is another: a client that sends and sends does not fill the log.
fn is_news(to: SocketAddr) -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let ip = match to.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => u64::from(ip.to_bits()),
        std::net::IpAddr::V6(ip) => ip.to_bits() as u64,
    };
    let this = ip << 16 | u64::from(to.port());
    LAST.swap(this, Ordering::Relaxed) != this
}
