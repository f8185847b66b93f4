//! connect(2): from the program's arguments to a route, and along it.

use super::attempt::{self, Place};
use super::boundary::Verdict;
use super::datagram;
use super::sleep::Resumed;
use super::waited::WAITED;
use crate::counters::{count, Counter};
use crate::pending::{Accounts, PENDING};
use crate::state::{state, Libc, State};
use core::ffi::c_int;
use libc::{sa_family_t, sockaddr, socklen_t};
use std::net::{Ipv4Addr, SocketAddr};
use tailchain_core::config::Endpoint;
use tailchain_core::dial::driver::{Driver, Mode};
use tailchain_core::dial::endpoint::Family;
use tailchain_core::dial::Dial;
use tailchain_core::errno::Errno;
use tailchain_core::host::{Host, Target};
use tailchain_core::pending::{Begun, First, Start};
use tailchain_core::route::Route;
use tailchain_core::sys::{self, Fd, SignalsBlocked, SockAddr};

/// The body of the hook.
///
/// # Safety
/// As connect(2), but a bad pointer is an error.
pub unsafe fn connect(
    resumed: Option<Resumed>,
    fd: c_int,
    address: *const sockaddr,
    length: socklen_t,
) -> Verdict<c_int> {
    let verdict = match resumed {
        Some(resumed) => attempt::resume(resumed, fd),
        // SAFETY: passed on.
        None => unsafe { begin(fd, address, length) },
    };
    verdict.map(|()| Verdict::Return(0))
}

/// # Safety
/// As connect(2), but a bad pointer is an error.
unsafe fn begin(fd: c_int, address: *const sockaddr, length: socklen_t) -> Verdict<()> {
    const UNSPECIFIED: sa_family_t = libc::AF_UNSPEC as sa_family_t;
    if PENDING.has_news() {
        // SAFETY: passed on.
        match unsafe { family_given(address, length) } {
            // The kernel says so of a placeholder, too, and what is owed stays owed.
            None => return Verdict::Real,
            // It dissolves what there is, also an attempt.
            Some(UNSPECIFIED) => {
                PENDING.cut_short(fd);
                // How the attempt ended is of no interest to the next.
                let _ = PENDING.owed_error(fd);
                return Verdict::Real;
            }
            Some(_) => {}
        }
    }
    match earlier_attempt(fd) {
        Some(verdict) => verdict,
        // SAFETY: passed on.
        None => along(fd, unsafe { route_of(fd, address, length) }),
    }
}

/// Go the way. `Return`: the socket is connected.
pub fn along(fd: Fd, way: Way) -> Verdict<()> {
    match way {
        Way::Real => Verdict::Real,
        Way::Elsewhere(address) => sys::connect(fd, &address).into(),
        Way::InUse => connect_in_use(fd).into(),
        Way::Refused(errno) => Verdict::Fail(errno),
        Way::Tunnel(dialled, target) => tunnel(fd, dialled, target).unwrap_or_else(Verdict::Fail),
    }
}

/// The kernel's answer to a connect of a socket that is connected, connecting or listening.
fn connect_in_use(fd: Fd) -> Result<(), Errno> {
    sys::connect(fd, &nowhere())?;
    match sys::cookie(fd) {
        Some(cookie) if WAITED.take(cookie) => sys::connect(fd, &nowhere()),
        _ => Ok(()),
    }
}

/// The family of an address. `None`: the kernel refuses it before it looks at the state of the socket, for its length
/// (EINVAL) or because it cannot be read (EFAULT).
///
/// # Safety
/// As connect(2), but a bad pointer is no error.
unsafe fn family_given(address: *const sockaddr, length: socklen_t) -> Option<sa_family_t> {
    let length = length as usize;
    let taken = (size_of::<sa_family_t>()..=size_of::<libc::sockaddr_storage>()).contains(&length)
        && sys::is_readable(address.cast(), length);
    // SAFETY: its first and last bytes were read by the kernel just now.
    taken.then(|| unsafe { address.cast::<sa_family_t>().read_unaligned() })
}

/// Where a connect of a program's socket goes.
pub enum Way {
    /// Not ours: untouched.
    Real,
    /// Direct, to the address that dnat gave.
    Elsewhere(SockAddr),
    /// By a rule; or the next connect is where the kernel tells of a failure before.
    Refused(Errno),
    /// Through the proxies, but the socket is connected, connecting or listening: there the kernel answers by
    /// itself, whatever the address ([`nowhere`]).
    InUse,
    /// Through the proxies. With the address as the program dialled it.
    Tunnel(SocketAddr, Target),
}

/// Decide about a socket and an address.
///
/// # Safety
/// As connect(2), but a bad pointer is an error.
pub unsafe fn route_of(fd: Fd, address: *const sockaddr, length: socklen_t) -> Way {
    /// The shortest address that can be ours, a sockaddr_in.
    const SHORTEST: usize = size_of::<libc::sockaddr_in>();
    if (length as usize) < SHORTEST {
        return Way::Real;
    }
    let kind = kind_of(fd);
    if kind == Kind::NotTcp {
        // SAFETY: passed on.
        return match unsafe { datagram::refused_connect(fd, address, length) } {
            Some(errno) => Way::Refused(errno),
            None => Way::Real,
        };
    }
    if !sys::is_readable(address.cast(), SHORTEST.max((length as usize).min(128))) {
        return Way::Real;
    }
    // SAFETY: its first and last bytes were read by the kernel just now.
    let Some(copy) = (unsafe { SockAddr::copy_from(address, length) }) else {
        return Way::Real;
    };
    let Some(dialled) = copy.inet() else {
        return Way::Real;
    };
    let state = state();
    match state.route(dialled) {
        Route::Direct { to: None, .. } => {
            count(Counter::Direct);
            Way::Real
        }
        Route::Direct { to: Some(to), .. } => {
            count(Counter::Direct);
            Way::Elsewhere(to.into())
        }
        Route::Refuse(errno, refusal) => {
            count(Counter::Refused);
            state
                .log
                .message(&format!("{dialled} refused ({errno}): {refusal}"));
            Way::Refused(errno)
        }
        Route::Chain(_) if kind == Kind::TcpInUse => Way::InUse,
        Route::Chain(_) if is_long_ipv4_on_ipv6(fd, dialled, length) => {
            Way::Refused(Errno::EAFNOSUPPORT)
        }
        Route::Chain(target) => {
            // Else it would be taken for the proxy's answer.
            let used = kind == Kind::TcpUsed;
            match used.then(|| sys::untold_error(fd)).flatten() {
                Some(errno) => Way::Refused(errno),
                None => Way::Tunnel(dialled, target),
            }
        }
    }
}

/// Whether it is an IPv4 address, as long as an IPv6 one, for a socket that takes those only: EAFNOSUPPORT. (A shorter
/// one is EINVAL, which the kernel says of the proxy's address, too.)
fn is_long_ipv4_on_ipv6(fd: Fd, dialled: SocketAddr, length: socklen_t) -> bool {
    dialled.is_ipv4()
        && length as usize > size_of::<libc::sockaddr_in>()
        && sys::get_option::<c_int>(fd, libc::SOL_SOCKET, libc::SO_DOMAIN) == Ok(libc::AF_INET6)
        && length >= SHORTEST_INET6
}

/// The kernel accepts a sockaddr_in6 without its scope (SIN6_LEN_RFC2133).
const SHORTEST_INET6: socklen_t = 24;

/// What a socket is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NotTcp,
    /// A TCP socket that may be connected.
    Tcp,
    /// The same, but a connect before may have left an error that the program has yet to hear.
    TcpUsed,
    /// One that is connected, connecting or listening.
    TcpInUse,
}

fn kind_of(fd: Fd) -> Kind {
    match sys::tcp_state(fd) {
        Ok(tcp) if tcp.state != sys::TCP_CLOSED => Kind::TcpInUse,
        Ok(tcp) if tcp.has_sent => Kind::TcpUsed,
        Ok(_) => Kind::Tcp,
        Err(_) if may_be_tcp(fd) => Kind::TcpUsed,
        Err(_) => Kind::NotTcp,
    }
}

/// Whether it is a TCP socket. One that may not be asked counts as one, for else it could be a leak.
pub fn may_be_tcp(fd: Fd) -> bool {
    let is_tcp = sys::is_tcp(fd).and_then(|is_tcp| Ok(is_tcp && sys::is_stream(fd)?));
    is_tcp.unwrap_or_else(|errno| !matches!(errno, Errno::EBADF | Errno::ENOTSOCK))
}

/// Where nobody can listen. A socket that is in use gives EISCONN or EALREADY for any address, or 0 to the first who
/// asks after a non-blocking connect; should another thread have closed it just now, nothing leaves the machine.
fn nowhere() -> SockAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
}

/// Make the tunnel on the program's socket: before returning when the socket blocks, else meanwhile
/// (EINPROGRESS).
fn tunnel(fd: Fd, dialled: SocketAddr, target: Target) -> Result<Verdict<()>, Errno> {
    crate::ALLOCATOR.check()?;
    let state = state();
    let flags = sys::status_flags(fd)?;
    let blocks = flags & libc::O_NONBLOCK == 0;
    // From here on a handler that jumps away would leave something half done. But a name may take long to look up, and
    // no signal may wait for that.
    let signals = (blocks && !state.may_look_up()).then(SignalsBlocked::new);
    // The file is opened here, not by the helper: a number that the program is about to get would be taken.
    state.names();
    let place = Place {
        fd,
        dialled,
        family: family(state, fd, dialled)?,
        target,
    };
    if blocks {
        return Ok(attempt::begin(state, place, Mode::Blocking(flags), signals));
    }
    let start = Start {
        dialled,
        ends: &Accounts,
        first: if state.has_named_proxy() {
            First::Helper
        } else {
            First::Here
        },
    };
    let begun = PENDING.begin(fd, start, |own| {
        let dial = Dial::new(
            &state.config,
            place.target.clone(),
            state.draw(),
            state,
            sys::now(),
        );
        Driver::new(dial, own, place.family, Mode::NonBlocking, &Libc)
    });
    match begun {
        Ok(Begun::Pending) => Err(Errno::EINPROGRESS),
        Ok(Begun::Ended(result)) => {
            result.inspect_err(|&errno| forget_association(fd, errno))?;
            Ok(Verdict::Return(()))
        }
        Err(Errno::EALREADY) => Err(Errno::EALREADY),
        Err(errno) => {
            // Late is better than not at all, and both are better than a lie.
            state.log.message(&format!(
                "{dialled}: no thread or descriptor for a non-blocking connect ({errno}); blocking instead"
            ));
            Ok(attempt::begin(state, place, Mode::Waiting, None))
        }
    }
}

/// What an earlier connect on this socket has to say: still pending, or failed and nobody asked why. The
/// kernel answers the next connect(2) with it, too; on a blocking socket (whose first connect was interrupted)
/// it waits for the end.
pub fn earlier_attempt(fd: Fd) -> Option<Verdict<()>> {
    if PENDING.count() > 0 {
        if let Some(Some(Err(errno))) = PENDING.orphan_end(fd) {
            return Some(Verdict::Fail(errno));
        }
        match PENDING.blocks(fd) {
            Some(false) => return Some(Verdict::Fail(Errno::EALREADY)),
            Some(true) => return Some(attempt::wait_for_earlier(fd)),
            None => {}
        }
    }
    let owed = PENDING.owed_error(fd)?;
    forget_association(fd, owed);
    Some(Verdict::Fail(owed))
}

/// How a pending connect that is over ended.
pub fn end_of_attempt(fd: Fd) -> Result<(), Errno> {
    if sys::peer_address(fd).is_ok() {
        // For the kernel, too, this was the connect that saw the end: the next gives EISCONN.
        let _ = sys::connect(fd, &nowhere());
        return Ok(());
    }
    let owed = PENDING.owed_error(fd);
    let kernels = sys::get_option::<c_int>(fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
    let errno = owed.unwrap_or(Errno::from_raw(kernels));
    forget_association(fd, errno);
    Err(errno)
}

/// After a failure nothing may remain of the half-made tunnel: what the program writes next must not reach
/// the proxy. Errors that say that the socket is in use by the program itself leave it alone.
pub fn forget_association(fd: Fd, errno: Errno) {
    let in_use = matches!(
        errno,
        Errno::EISCONN | Errno::EALREADY | Errno::EBADF | Errno::ENOTSOCK
    );
    if !in_use {
        let _ = sys::disconnect(fd);
    }
}

/// What the socket is, checked against the address that the program dialled: the kernel gives EAFNOSUPPORT
/// or EINVAL where they do not fit, so the real call is left to say it by failing here in the same way.
fn family(state: &State, fd: Fd, dialled: SocketAddr) -> Result<Family, Errno> {
    let ipv4_only = dialled.is_ipv4() && state.config.proxies.iter().all(is_ipv4);
    if ipv4_only {
        // connect(2) to an IPv4 proxy fails by itself on an AF_INET6 socket, as it would to the target.
        return Ok(Family::Inet);
    }
    let domain: c_int = sys::get_option(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)?;
    match (domain, dialled) {
        (libc::AF_INET, SocketAddr::V4(_)) => Ok(Family::Inet),
        (libc::AF_INET6, SocketAddr::V6(_)) => {
            let v6_only: c_int = sys::get_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?;
            Ok(if v6_only == 0 {
                Family::Inet6
            } else {
                Family::Inet6Only
            })
        }
        // Its length alone is wrong: `is_long_ipv4_on_ipv6`.
        (libc::AF_INET6, SocketAddr::V4(_)) => Err(Errno::EINVAL),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

fn is_ipv4(proxy: &tailchain_core::config::Proxy) -> bool {
    match &proxy.endpoint {
        Endpoint::Tcp(target) => matches!(&target.host, Host::Ip(ip) if ip.is_ipv4()),
        Endpoint::Unix(_) => false,
    }
}
