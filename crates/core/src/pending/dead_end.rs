//! A socket that carries an error, as after a connect that the kernel made and that failed.

use crate::errno::Errno;
use crate::sys::{self, Fd, SockAddr};
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use once_cell::race::OnceBox;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Make poll(2) on this socket say POLLERR | POLLHUP, and SO_ERROR say ECONNREFUSED.
///
/// The only way to have the kernel put an error on a TCP socket is to have a connect fail. Nothing can listen
/// on port 0 of the loopback, so the answer there is a reset, at once and without a packet leaving the machine.
/// Where the loopback does not answer, the socket is left unconnected: POLLHUP alone, and `false`.
pub fn make(fd: Fd) -> bool {
    let _ = sys::set_nonblocking(fd, true);
    let _ = sys::disconnect(fd);
    let family = sys::get_option::<i32>(fd, libc::SOL_SOCKET, libc::SO_DOMAIN);
    let ways: &[SocketAddr] = match family {
        Ok(libc::AF_INET) => &[SocketAddr::new(
            std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
            0,
        )],
        _ => &[
            SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
            SocketAddr::new(
                std::net::IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
                0,
            ),
        ],
    };
    for way in ways {
        match sys::connect(fd, &SockAddr::from(*way)) {
            Err(Errno::EINPROGRESS) => return true,
            _ => {
                let _ = sys::disconnect(fd);
            }
        }
    }
    false
}

/// The errors that failed sockets owe their programs where they are not the ECONNREFUSED that [`make`] can
/// give. Keyed by SO_COOKIE; a small ring without locks, since almost every program asks at once.
pub struct OwedErrors {
    /// Made by the first debt: see [`super::registrations::Registrations`].
    slots: OnceBox<Slots>,
    next: AtomicUsize,
    count: AtomicUsize,
}

const SLOTS: usize = 1024;

type Slots = [(AtomicU64, AtomicI32); SLOTS];

impl Default for OwedErrors {
    fn default() -> OwedErrors {
        OwedErrors::new()
    }
}

impl OwedErrors {
    pub const fn new() -> OwedErrors {
        OwedErrors {
            slots: OnceBox::new(),
            next: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
        }
    }

    /// Whether any socket is owed anything.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub fn owe(&self, cookie: u64, errno: Errno) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % SLOTS;
        let slots = self
            .slots
            .get_or_init(|| Box::new([const { (AtomicU64::new(0), AtomicI32::new(0)) }; SLOTS]));
        let Some((key, value)) = slots.get(index) else {
            return;
        };
        if key.swap(0, Ordering::AcqRel) == 0 {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        value.store(errno.raw(), Ordering::Release);
        key.store(cookie, Ordering::Release);
    }

    /// What the socket is owed, once: reading SO_ERROR clears it (socket(7)).
    pub fn pay(&self, cookie: u64) -> Option<Errno> {
        for (key, value) in self.slots.get()? {
            if key.load(Ordering::Acquire) != cookie {
                continue;
            }
            let errno = value.load(Ordering::Acquire);
            if key
                .compare_exchange(cookie, 0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                self.count.fetch_sub(1, Ordering::AcqRel);
                return Some(Errno::from_raw(errno));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_end_tells_an_error_and_a_hangup() {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let socket = sys::socket(family, libc::SOCK_STREAM, 0).unwrap();
            assert!(make(socket.fd()));
            let mut one = [libc::pollfd {
                fd: socket.fd(),
                events: libc::POLLOUT,
                revents: 0,
            }];
            sys::poll(&mut one, None).unwrap();
            let told = libc::POLLERR | libc::POLLHUP | libc::POLLOUT;
            assert_eq!(one[0].revents & told, told);
            let error: i32 =
                sys::get_option(socket.fd(), libc::SOL_SOCKET, libc::SO_ERROR).unwrap();
            assert_eq!(error, libc::ECONNREFUSED);
        }
    }

    #[test]
    fn an_owed_error_is_paid_once() {
        let owed = OwedErrors::new();
        assert!(owed.is_empty());
        owed.owe(7, Errno::ETIMEDOUT);
        owed.owe(8, Errno::EACCES);
        assert_eq!(owed.pay(7), Some(Errno::ETIMEDOUT));
        assert_eq!(owed.pay(7), None);
        assert_eq!(owed.pay(8), Some(Errno::EACCES));
        assert!(owed.is_empty());
    }

    #[test]
    fn old_debts_are_forgotten_when_the_ring_is_full() {
        let owed = OwedErrors::new();
        for cookie in 1..=2 * SLOTS as u64 {
            owed.owe(cookie, Errno::EACCES);
        }
        assert_eq!(owed.pay(1), None);
        for cookie in SLOTS as u64 + 1..=2 * SLOTS as u64 {
            assert_eq!(owed.pay(cookie), Some(Errno::EACCES));
        }
        assert!(owed.is_empty());
    }
}
