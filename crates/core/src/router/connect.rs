//! The decision about one connect(2) on a TCP socket.

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

/// What to do about a connect(2).
pub enum Decision {
    /// Call libc with the arguments unchanged.
    Real,
    /// Connect directly to the address that `dnat` gives.
    Dnat(SockAddr),
    /// A rule refuses the connection.
    Refused(Errno),
    /// Fail as the kernel would: the address does not fit the socket, or SO_ERROR has the error of an earlier connect.
    Fails(Errno),
    /// Would go through the proxies, but the socket is connected, connecting or listening. The kernel then returns an
    /// error for any address ([`unconnectable_address`]).
    InUse,
    /// Connect through the proxies to the target. The address is the one that the program passed.
    Tunnel(SocketAddr, Target),
}

impl Router {
    /// Records the dialled address of a socket whose tunnel is being established, for getpeername(2), and returns its
    /// SO_COOKIE. If the dial fails, the record does no harm: it is only consulted for sockets that are connected to a
    /// proxy.
    pub fn remember_peer(&self, socket: Fd, dialled: SocketAddr) -> Option<u64> {
        let cookie = sys::cookie(socket)?;
        self.names().remember_peer(cookie, dialled);
        Some(cookie)
    }

    /// The address that the program passed to connect(2), if the socket is connected to a proxy.
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

    /// Decides about a connect of a TCP socket of `kind` to `dialled`, a sockaddr of `length` bytes.
    pub fn decide(&self, fd: Fd, kind: Kind, dialled: SocketAddr, length: socklen_t) -> Decision {
        match self.route(dialled) {
            Route::Direct { to: None, .. } => Decision::Real,
            Route::Direct { to: Some(to), .. } => Decision::Dnat(to.into()),
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
                // A pending SO_ERROR would be mistaken for the result of the connect to the proxy.
                let used = kind == Kind::TcpUsed;
                match used.then(|| sys::unreported_error(fd)).flatten() {
                    Some(errno) => Decision::Fails(errno),
                    None => Decision::Tunnel(dialled, target),
                }
            }
        }
    }

    /// The address family of the socket. Fails with the kernel's errno, EAFNOSUPPORT or EINVAL, if the family does not
    /// fit the address that the program dialled.
    pub fn family(&self, fd: Fd, dialled: SocketAddr) -> Result<Family, Errno> {
        let ipv4_only = dialled.is_ipv4() && self.config.proxies.iter().all(is_ipv4);
        if ipv4_only {
            // No need to check: on an AF_INET6 socket, connect(2) to the IPv4 proxy fails as it would to the target.
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
            // The other case, EAFNOSUPPORT, is `is_long_ipv4_on_ipv6`.
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

/// Whether a sockaddr with family AF_INET but the length of a sockaddr_in6 is passed for an AF_INET6 socket: the kernel
/// returns EAFNOSUPPORT. (For a shorter one it returns EINVAL, as it does for the proxy's address.)
fn is_long_ipv4_on_ipv6(fd: Fd, dialled: SocketAddr, length: socklen_t) -> bool {
    dialled.is_ipv4()
        && length as usize > size_of::<libc::sockaddr_in>()
        && sys::get_option::<c_int>(fd, libc::SOL_SOCKET, libc::SO_DOMAIN) == Ok(libc::AF_INET6)
        && length >= SHORTEST_INET6
}

/// The kernel accepts a sockaddr_in6 without sin6_scope_id (SIN6_LEN_RFC2133).
const SHORTEST_INET6: socklen_t = 24;

/// The kind and state of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NotTcp,
    /// A TCP socket that has never been connected.
    Tcp,
    /// A TCP socket that is not connected, but may have an error of an earlier connect in SO_ERROR.
    TcpUsed,
    /// A TCP socket that is connected, connecting or listening.
    TcpInUse,
}

pub fn kind_of(fd: Fd) -> Kind {
    match sys::tcp_state(fd) {
        Ok(tcp) if tcp.state != sys::TCP_CLOSED => Kind::TcpInUse,
        Ok(tcp) if tcp.has_sent => Kind::TcpUsed,
        Ok(_) => Kind::Tcp,
        Err(_) if is_tcp_or_unknown(fd) => Kind::TcpUsed,
        Err(_) => Kind::NotTcp,
    }
}

/// Whether `fd` is a TCP socket. If getsockopt(2) is not permitted it counts as one, so that no connection bypasses the
/// proxy.
pub fn is_tcp_or_unknown(fd: Fd) -> bool {
    let is_tcp = sys::is_tcp(fd).and_then(|is_tcp| Ok(is_tcp && sys::is_stream(fd)?));
    is_tcp.unwrap_or_else(|errno| !matches!(errno, Errno::EBADF | Errno::ENOTSOCK))
}

/// An address at which no socket can listen, for a connect on a socket that is in use. connect(2) then returns EISCONN or
/// EALREADY for any address, or 0 once after a non-blocking connect. If another thread has just replaced the socket, no
/// packet leaves the machine.
pub fn unconnectable_address() -> SockAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
}

/// Disconnects the socket after a failed dial, so that later writes of the program do not reach the proxy. Does nothing
/// if `errno` shows that the program itself has connected the socket.
pub fn forget_association(fd: Fd, errno: Errno) {
    let in_use = matches!(
        errno,
        Errno::EISCONN | Errno::EALREADY | Errno::EBADF | Errno::ENOTSOCK
    );
    if !in_use {
        let _ = sys::disconnect(fd);
    }
}
