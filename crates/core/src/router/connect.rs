//! One connect of a TCP socket: what the socket is, and where the connect goes.

use super::Router;
use crate::config::{Endpoint, Proxy};
use crate::dial::endpoint::Family;
use crate::errno::Errno;
use crate::host::{Host, Target};
use crate::route::Route;
use crate::sys::{self, Fd, SockAddr};
use core::ffi::c_int;
use libc::socklen_t;
use std::net::{Ipv4Addr, SocketAddr};

/// Where a connect of a program's socket goes.
pub enum Decision {
    /// Not ours: untouched.
    Real,
    /// Direct, to the address that dnat gave.
    Elsewhere(SockAddr),
    /// By a rule.
    Refused(Errno),
    /// As the kernel would: the address does not fit the socket, or a connect before has failed and nobody was told.
    Fails(Errno),
    /// Through the proxies, but the socket is connected, connecting or listening: there the kernel answers by
    /// itself, whatever the address ([`nowhere`]).
    InUse,
    /// Through the proxies. With the address as the program dialled it.
    Tunnel(SocketAddr, Target),
}

impl Router {
    /// What was dialled on a socket that is connected to a proxy.
    pub fn dialled_on(&self, fd: Fd) -> Option<SocketAddr> {
        let peer = sys::peer_address(fd).ok()?;
        let through_proxy = match peer.inet() {
            Some(peer) => self.is_proxy(peer),
            None => peer.family() == libc::AF_UNIX && self.has_unix_proxy(),
        };
        if !through_proxy {
            return None;
        }
        self.names().peer_of(sys::cookie(fd)?)
    }

    /// Decide about a TCP socket of `kind` and the address that it is to be connected to, which was `length` bytes long.
    pub fn decide(&self, fd: Fd, kind: Kind, dialled: SocketAddr, length: socklen_t) -> Decision {
        match self.route(dialled) {
            Route::Direct { to: None, .. } => Decision::Real,
            Route::Direct { to: Some(to), .. } => Decision::Elsewhere(to.into()),
            Route::Refuse(errno, refusal) => {
                self.log
                    .message(&format!("{dialled} refused ({errno}): {refusal}"));
                Decision::Refused(errno)
            }
            Route::Chain(_) if kind == Kind::TcpInUse => Decision::InUse,
            Route::Chain(_) if is_long_ipv4_on_ipv6(fd, dialled, length) => {
                Decision::Fails(Errno::EAFNOSUPPORT)
            }
            Route::Chain(target) => {
                // Else it would be taken for the proxy's answer.
                let used = kind == Kind::TcpUsed;
                match used.then(|| sys::untold_error(fd)).flatten() {
                    Some(errno) => Decision::Fails(errno),
                    None => Decision::Tunnel(dialled, target),
                }
            }
        }
    }

    /// What the socket is, checked against the address that the program dialled: the kernel gives EAFNOSUPPORT
    /// or EINVAL where they do not fit, so the real call is left to say it by failing here in the same way.
    pub fn family(&self, fd: Fd, dialled: SocketAddr) -> Result<Family, Errno> {
        let ipv4_only = dialled.is_ipv4() && self.config.proxies.iter().all(is_ipv4);
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
}

fn is_ipv4(proxy: &Proxy) -> bool {
    match &proxy.endpoint {
        Endpoint::Tcp(target) => matches!(&target.host, Host::Ip(ip) if ip.is_ipv4()),
        Endpoint::Unix(_) => false,
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
pub enum Kind {
    NotTcp,
    /// A TCP socket that may be connected.
    Tcp,
    /// The same, but a connect before may have left an error that the program has yet to hear.
    TcpUsed,
    /// One that is connected, connecting or listening.
    TcpInUse,
}

pub fn kind_of(fd: Fd) -> Kind {
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
pub fn nowhere() -> SockAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
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
