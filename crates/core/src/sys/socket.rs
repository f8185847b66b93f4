//! Sockets: creating, connecting, naming them, and moving bytes without ever blocking.

use super::{errno, get_option, Fd, OwnFd, SockAddr};
use crate::errno::Errno;
use crate::supervised::Pass;
use core::ffi::c_int;
use core::mem;
use core::sync::atomic::{AtomicU64, Ordering};
use std::net::{Ipv4Addr, SocketAddr};

/// socket(2), close-on-exec.
pub fn socket(family: c_int, kind: c_int, protocol: c_int) -> Result<OwnFd, Errno> {
    let fd = syscall!(SYS_socket, family, kind | libc::SOCK_CLOEXEC, protocol)?;
    Ok(OwnFd::adopt(fd as Fd))
}

/// What [`connect`] shows to a supervisor's filter; 0: nothing.
static PASS: AtomicU64 = AtomicU64::new(0);

/// Have [`connect`] pass the supervisor of this process.
pub fn show_pass(pass: Pass) {
    PASS.store(pass.word(), Ordering::Relaxed);
}

/// connect(2). The kernel does not look at the argument after its own.
pub fn connect(fd: Fd, address: &SockAddr) -> Result<(), Errno> {
    let pass = PASS.load(Ordering::Relaxed);
    syscall!(
        SYS_connect,
        fd,
        &raw const address.storage,
        address.length,
        pass
    )
    .map(drop)
}

/// What the kernel has yet to tell of an earlier connect on a TCP socket that is closed, told as connect(2) tells it:
/// once, and from then on the socket can be connected. `None`: nothing.
pub fn unreported_error(fd: Fd) -> Option<Errno> {
    // SAFETY: all zeroes is a valid sockaddr.
    let mut address: libc::sockaddr = unsafe { mem::zeroed() };
    // The kernel looks at the family only where there is nothing to tell, and begins nothing with this one.
    address.sa_family = libc::AF_UNIX as libc::sa_family_t;
    let answer = syscall!(
        SYS_connect,
        fd,
        &raw const address,
        mem::size_of_val(&address)
    );
    match answer {
        // Or SELinux or Landlock looked at it before the kernel.
        Err(Errno::EAFNOSUPPORT | Errno::EINVAL) => pending_error(fd).unwrap_or(None),
        // It was told as SO_ERROR, or taken away by us.
        Err(Errno::ECONNABORTED) | Ok(_) => None,
        Err(errno) => Some(errno),
    }
}

/// SO_ERROR (socket(7)), which clears it.
pub fn pending_error(fd: Fd) -> Result<Option<Errno>, Errno> {
    let error: c_int = get_option(fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok((error != 0).then(|| Errno::from_raw(error)))
}

/// bind(2).
pub fn bind(fd: Fd, address: &SockAddr) -> Result<(), Errno> {
    syscall!(SYS_bind, fd, &raw const address.storage, address.length).map(drop)
}

/// connect(2) to AF_UNSPEC: dissolve the association; the options and an explicit bind stay. The ECONNRESET that
/// the kernel leaves on a socket that was connected is taken away: the program never was.
pub fn disconnect(fd: Fd) -> Result<(), Errno> {
    // SAFETY: all zeroes is a valid sockaddr, and AF_UNSPEC is 0.
    let address: libc::sockaddr = unsafe { mem::zeroed() };
    syscall!(
        SYS_connect,
        fd,
        &raw const address,
        mem::size_of_val(&address)
    )?;
    let _: Result<c_int, Errno> = get_option(fd, libc::SOL_SOCKET, libc::SO_ERROR);
    Ok(())
}

/// Make an AF_INET6 socket forget that it was connected to an IPv4-mapped address. It sends by IPv4 ever after, since the
/// kernel keeps the operations of that protocol, and a SYN to an IPv6 address would be lost. The kernel gives them back
/// where a connect to such an address fails at once, and none can be made to all hosts of a network: ENETUNREACH, and
/// nothing is sent.
pub fn unmap(fd: Fd) {
    let everybody = Ipv4Addr::BROADCAST.to_ipv6_mapped();
    let _ = disconnect(fd);
    let refused = connect(fd, &SocketAddr::from((everybody, DISCARD)).into());
    if refused != Err(Errno::ENETUNREACH) {
        let _ = disconnect(fd);
    }
}

/// Of RFC 863.
const DISCARD: u16 = 9;

/// getpeername(2): the peer of a connected socket; ENOTCONN otherwise.
pub fn peer_address(fd: Fd) -> Result<SockAddr, Errno> {
    // SAFETY: all zeroes is a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&storage) as libc::socklen_t;
    syscall!(SYS_getpeername, fd, &raw mut storage, &raw mut length)?;
    Ok(SockAddr { storage, length })
}

/// getsockname(2).
pub fn local_address(fd: Fd) -> Result<SockAddr, Errno> {
    // SAFETY: all zeroes is a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&storage) as libc::socklen_t;
    syscall!(SYS_getsockname, fd, &raw mut storage, &raw mut length)?;
    Ok(SockAddr { storage, length })
}

/// send(2), never blocking and never raising SIGPIPE.
pub fn send(fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let none = core::ptr::null::<libc::sockaddr>();
    syscall!(SYS_sendto, fd, bytes.as_ptr(), bytes.len(), flags, none, 0).map(|n| n as usize)
}

/// recv(2), never blocking; 0 is the end of the stream.
pub fn receive(fd: Fd, buffer: &mut [u8], peek: bool) -> Result<usize, Errno> {
    let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
    let none = core::ptr::null_mut::<libc::sockaddr>();
    syscall!(
        SYS_recvfrom,
        fd,
        buffer.as_mut_ptr(),
        buffer.len(),
        flags,
        none,
        none
    )
    .map(|n| n as usize)
}

/// getsockname(2) with a program's own arguments.
///
/// # Safety
/// The pointers are the program's; the kernel checks them.
pub unsafe fn raw_local_address(
    fd: Fd,
    address: *mut libc::sockaddr,
    length: *mut libc::socklen_t,
) -> Result<(), Errno> {
    syscall!(SYS_getsockname, fd, address, length).map(drop)
}

/// A socketpair(2) of unix streams, close-on-exec and non-blocking.
pub fn stream_pair() -> Result<(OwnFd, OwnFd), Errno> {
    let mut pair: [Fd; 2] = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    syscall!(SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr())?;
    let [one, other] = pair;
    Ok((OwnFd::adopt(one), OwnFd::adopt(other)))
}

/// shutdown(2).
pub fn shutdown(fd: Fd, how: c_int) -> Result<(), Errno> {
    syscall!(SYS_shutdown, fd, how).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{set_option, tcp_state, TcpState, TCP_CLOSED};
    use std::net::{Ipv6Addr, TcpListener};

    fn closed(has_sent: bool) -> Result<TcpState, Errno> {
        let state = TCP_CLOSED;
        Ok(TcpState { state, has_sent })
    }

    #[test]
    fn a_failure_that_nobody_heard_of_is_told_once() {
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0).unwrap();
        let fd = socket.fd();
        assert_eq!(tcp_state(fd), closed(false));
        assert_eq!(unreported_error(fd), None);
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
        assert_eq!(connect(fd, &nowhere), Err(Errno::EINPROGRESS));
        assert_eq!(tcp_state(fd), closed(true));
        assert_eq!(unreported_error(fd), Some(Errno::ECONNREFUSED));
        assert_eq!(tcp_state(fd), closed(false));
        assert_eq!(unreported_error(fd), None);
    }

    #[test]
    fn a_socket_that_was_mapped_can_be_connected_by_ipv6_again() {
        let listener = |ip: &str| TcpListener::bind((ip, 0)).unwrap();
        let (old, new) = (listener("127.0.0.1"), listener("::1"));
        let port = |of: &TcpListener| of.local_addr().unwrap().port();
        let mapped = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port(&old));
        let socket = socket(libc::AF_INET6, libc::SOCK_STREAM, 0).unwrap();
        connect(socket.fd(), &SocketAddr::from(mapped).into()).unwrap();
        unmap(socket.fd());
        let time = libc::timeval {
            tv_sec: 5,
            tv_usec: 0,
        };
        set_option(socket.fd(), libc::SOL_SOCKET, libc::SO_SNDTIMEO, &time).unwrap();
        let to = SocketAddr::from((Ipv6Addr::LOCALHOST, port(&new)));
        assert_eq!(connect(socket.fd(), &to.into()), Ok(()));
    }

    #[test]
    fn a_connection_that_was_reset_is_a_connection_and_keeps_its_error() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
        let fd = socket.fd();
        connect(fd, &listener.local_addr().unwrap().into()).unwrap();
        drop(listener);
        assert_eq!(tcp_state(fd), closed(true));
        assert_eq!(unreported_error(fd), Some(Errno::EISCONN));
        assert_eq!(receive(fd, &mut [0], false), Err(Errno::ECONNRESET));
    }
}
