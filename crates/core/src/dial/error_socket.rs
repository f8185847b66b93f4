//! Puts an error on a socket, as a failed connect(2) of the kernel does.

use crate::errno::Errno;
use crate::sys::{self, Fd, SockAddr};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long the reset may take to arrive: the loopback delivers it before connect(2) returns, unless the system hands
/// packets to another processor.
const RESET_WITHIN: Duration = Duration::from_millis(5);

/// Make poll(2) on this socket say POLLERR | POLLHUP, and SO_ERROR say ECONNREFUSED.
///
/// The only way to have the kernel put an error on a TCP socket is to have a connect fail. Nothing can listen
/// on port 0 of the loopback, so the answer there is a reset, at once and without a packet leaving the machine.
/// Where the loopback does not answer, the socket is left unconnected: POLLHUP alone, and `false`.
pub fn make(fd: Fd) -> bool {
    let _ = sys::set_nonblocking(fd, true);
    let addresses = addresses(fd);
    addresses.iter().any(|&ip| {
        let _ = sys::disconnect(fd);
        let begun = sys::connect(fd, &SockAddr::from(SocketAddr::new(ip, 0)));
        // No event is asked for: poll(2) always reports POLLERR and POLLHUP.
        let refused = begun == Err(Errno::EINPROGRESS)
            && sys::poll_one(fd, 0, Some(RESET_WITHIN)) == Ok(true);
        if !refused {
            let _ = sys::disconnect(fd);
        }
        refused
    })
}

/// The loopback addresses to try, the likeliest first. Empty for a socket that is bound to a device: the loopback would
/// not answer it, and the device might send the SYN.
///
/// An AF_INET6 socket that was connected to an IPv4-mapped address sends by IPv4 ever after (the kernel keeps the
/// operations of that protocol), so its SYN to ::1 is lost. A socket that was not connected to such an address should
/// not switch to IPv4, and with IPV6_V6ONLY it cannot.
fn addresses(fd: Fd) -> &'static [IpAddr] {
    const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
    const MAPPED: IpAddr = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    let option = |name| sys::get_option::<i32>(fd, libc::SOL_SOCKET, name);
    if option(libc::SO_BINDTOIFINDEX).is_ok_and(|device| device != 0) {
        return &[];
    }
    if option(libc::SO_DOMAIN) == Ok(libc::AF_INET) {
        return &[IPV4];
    }
    // The local address is left over from the connect that failed.
    let local = sys::local_address(fd).ok().and_then(|local| local.inet());
    match local.map(|local| local.ip()) {
        Some(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => &[MAPPED, IPV6],
        _ => &[IPV6, MAPPED],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn expect_refusal(fd: Fd) {
        assert!(make(fd));
        let mut one = [libc::pollfd {
            fd,
            events: libc::POLLOUT,
            revents: 0,
        }];
        sys::poll(&mut one, Some(Duration::ZERO)).unwrap();
        let told = libc::POLLERR | libc::POLLHUP | libc::POLLOUT;
        assert_eq!(one[0].revents & told, told);
        let error: i32 = sys::get_option(fd, libc::SOL_SOCKET, libc::SO_ERROR).unwrap();
        assert_eq!(error, libc::ECONNREFUSED);
    }

    fn stream(family: i32) -> sys::OwnFd {
        sys::socket(family, libc::SOCK_STREAM, 0).unwrap()
    }

    #[test]
    fn poll_reports_an_error_and_a_hangup() {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let socket = stream(family);
            expect_refusal(socket.fd());
            expect_refusal(socket.fd());
        }
    }

    #[test]
    fn so_does_a_socket_that_takes_ipv6_alone() {
        let socket = stream(libc::AF_INET6);
        sys::set_option(socket.fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1).unwrap();
        expect_refusal(socket.fd());
    }

    #[test]
    fn so_does_a_socket_that_was_connected_to_a_mapped_address() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), port).into();
        for dissolved in [false, true] {
            let socket = stream(libc::AF_INET6);
            sys::connect(socket.fd(), &mapped).unwrap();
            if dissolved {
                sys::disconnect(socket.fd()).unwrap();
            }
            expect_refusal(socket.fd());
        }
    }

    #[test]
    fn a_socket_that_was_never_mapped_takes_ipv6_afterwards() {
        let socket = stream(libc::AF_INET6);
        expect_refusal(socket.fd());
        sys::disconnect(socket.fd()).unwrap();
        sys::set_nonblocking(socket.fd(), false).unwrap();
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().into();
        assert_eq!(sys::connect(socket.fd(), &address), Ok(()));
    }

    #[test]
    fn a_socket_that_is_bound_to_a_device_sends_nothing() {
        let socket = stream(libc::AF_INET);
        let device = *b"lo\0";
        sys::set_option(
            socket.fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            &device,
        )
        .unwrap();
        assert!(!make(socket.fd()));
        assert_eq!(
            sys::poll_one(socket.fd(), 0, Some(Duration::ZERO)),
            Ok(true)
        );
    }
}
