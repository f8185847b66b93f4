//! Reserves a TCP address for one process to listen on.

use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A bound socket that never listens. It keeps other sockets from binding the address, except between [`PortHold::share`]
/// and [`PortHold::close`]. A socket that was bound in that time may go on listening.
///
/// Linux lets two sockets bind one address if both have SO_REUSEADDR and neither listens (socket(7)). tailscaled's socket
/// has it, like every listener of Go. This one has it only until tailscaled has bound the address, so that the port stays
/// taken when tailscaled ends.
pub struct PortHold(OwnedFd);

impl PortHold {
    /// Binds the address, shared.
    ///
    /// # Errors
    ///
    /// As bind(2): AddrInUse, if another socket listens there.
    pub fn new(address: SocketAddr) -> io::Result<PortHold> {
        let family = match address {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        };
        // SAFETY: takes three numbers.
        let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let hold = PortHold(unsafe { OwnedFd::from_raw_fd(fd) });
        hold.set_reuse(true)?;
        hold.bind(address)?;
        Ok(hold)
    }

    /// Lets sockets with SO_REUSEADDR bind the address from now on.
    pub fn share(&self) -> io::Result<()> {
        self.set_reuse(true)
    }

    /// Lets no other socket bind the address from now on.
    pub fn close(&self) -> io::Result<()> {
        self.set_reuse(false)
    }

    fn set_reuse(&self, on: bool) -> io::Result<()> {
        let value = libc::c_int::from(on);
        // SAFETY: value outlives the call, and its size is what is said.
        let done = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_REUSEADDR,
                (&raw const value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        succeeded(done)
    }

    fn bind(&self, address: SocketAddr) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        let done = match address {
            SocketAddr::V4(address) => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(address.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                // SAFETY: raw outlives the call, and its size is what is said.
                unsafe { libc::bind(fd, (&raw const raw).cast(), size_of_val(&raw) as u32) }
            }
            SocketAddr::V6(address) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr {
                        s6_addr: address.ip().octets(),
                    },
                    sin6_scope_id: address.scope_id(),
                };
                // SAFETY: raw outlives the call, and its size is what is said.
                unsafe { libc::bind(fd, (&raw const raw).cast(), size_of_val(&raw) as u32) }
            }
        };
        succeeded(done)
    }
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn held() -> (SocketAddr, PortHold) {
        let address = {
            let listener = TcpListener::bind("127.0.0.2:0").unwrap();
            listener.local_addr().unwrap()
        };
        (address, PortHold::new(address).unwrap())
    }

    fn is_taken(address: SocketAddr) -> bool {
        // std sets SO_REUSEADDR, as Go does.
        match TcpListener::bind(address) {
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::AddrInUse,
        }
    }

    #[test]
    fn another_socket_can_listen_while_the_port_is_shared() {
        let (address, hold) = held();
        assert!(!is_taken(address));
        hold.close().unwrap();
        assert!(is_taken(address));
        hold.share().unwrap();
        assert!(!is_taken(address));
    }

    #[test]
    fn the_port_stays_taken_after_its_listener_is_closed() {
        let (address, hold) = held();
        let listener = TcpListener::bind(address).unwrap();
        hold.close().unwrap();
        drop(listener);
        assert!(is_taken(address));
    }

    #[test]
    fn a_port_with_a_listener_cannot_be_held() {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let error = PortHold::new(listener.local_addr().unwrap()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_ipv6_address_is_bound() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            return;
        };
        let address = listener.local_addr().unwrap();
        drop(listener);
        let hold = PortHold::new(address).unwrap();
        hold.close().unwrap();
        assert!(is_taken(address));
    }
}
