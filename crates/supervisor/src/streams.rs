//! DNS over TCP (RFC 7766): resolvers that connect to port 53. Go's does with `options use-vc`, and every resolver does
//! when an answer was truncated.
//!
//! There is one loopback listener per DNS server that programs address, which tells which server a client addressed.

#![forbid(unsafe_code)]

use crate::sys as own_sys;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd, OwnFd, SockAddr};

/// resolv.conf(5) allows three servers, and a program may address others.
const MOST_SERVERS: usize = 64;
const MOST_CLIENTS: usize = 512;
/// DNS over TCP prefixes each message with its length in two bytes.
const LENGTH: usize = 2;
/// The size of a header (RFC 1035 section 4.1.1), and so of the shortest message.
const SHORTEST: usize = 12;

#[derive(Default)]
pub struct Streams {
    listeners: Vec<Listener>,
    clients: HashMap<u64, Client>,
}

struct Listener {
    socket: OwnFd,
    address: SocketAddr,
    server: SocketAddr,
}

pub struct Client {
    socket: OwnFd,
    pub server: SocketAddr,
    input: Vec<u8>,
    /// When the connection is closed, unless another query arrives.
    until: Duration,
}

/// The listener for a server.
pub struct LocalServer {
    pub address: SocketAddr,
    /// The index and fd of a new listener, which must be watched.
    pub new: Option<(usize, Fd)>,
}

impl Streams {
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// The listener that stands in for `server`, at an address that a socket of the server's family reaches.
    pub fn listener_for(&mut self, server: SocketAddr) -> Result<LocalServer, Errno> {
        let known = self.listeners.iter().find(|known| known.server == server);
        if let Some(known) = known {
            let address = known.address;
            return Ok(LocalServer { address, new: None });
        }
        if self.listeners.len() >= MOST_SERVERS {
            return Err(Errno::ENOBUFS);
        }
        let listener = Listener::new(server)?;
        let local = LocalServer {
            address: listener.address,
            new: Some((self.listeners.len(), listener.socket.fd())),
        };
        self.listeners.push(listener);
        Ok(local)
    }

    /// The server that a listener stands in for.
    pub fn server_at(&self, address: SocketAddr) -> Option<SocketAddr> {
        let is_it = |listener: &&Listener| listener.address == address;
        self.listeners.iter().find(is_it).map(|it| it.server)
    }

    /// Accepts a connection, and returns the fd to watch.
    pub fn accept(&mut self, listener: usize, id: u64, until: Duration) -> Result<Fd, Errno> {
        let listener = self.listeners.get(listener).ok_or(Errno::EBADF)?;
        let socket = own_sys::accept(listener.socket.fd())?;
        if self.clients.len() >= MOST_CLIENTS {
            return Err(Errno::ENOBUFS);
        }
        let fd = socket.fd();
        let client = Client {
            socket,
            server: listener.server,
            input: Vec::new(),
            until,
        };
        self.clients.insert(id, client);
        Ok(fd)
    }

    pub fn client(&mut self, id: u64) -> Option<&mut Client> {
        self.clients.get_mut(&id)
    }

    pub fn close(&mut self, id: u64) {
        self.clients.remove(&id);
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.clients.values().map(|client| client.until).min()
    }

    pub fn expire(&mut self, now: Duration) {
        self.clients.retain(|_, client| client.until > now);
    }
}

impl Listener {
    fn new(server: SocketAddr) -> Result<Listener, Errno> {
        let local = match server.ip() {
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_none() => IpAddr::from(Ipv6Addr::LOCALHOST),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let family = match local {
            IpAddr::V4(_) => libc::AF_INET,
            IpAddr::V6(_) => libc::AF_INET6,
        };
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
        let socket = sys::socket(family, kind, 0)?;
        sys::bind(socket.fd(), &SockAddr::from(SocketAddr::new(local, 0)))?;
        own_sys::listen(socket.fd())?;
        let bound = sys::local_address(socket.fd())?.inet();
        let bound = bound.ok_or(Errno::EAFNOSUPPORT)?;
        let ip = match (server, bound.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            (_, ip) => ip,
        };
        Ok(Listener {
            socket,
            address: SocketAddr::new(ip, bound.port()),
            server,
        })
    }
}

impl Client {
    /// Reads the complete messages that have arrived.
    ///
    /// # Errors
    /// The client has closed the connection, or sent an invalid message.
    pub fn read(&mut self, until: Duration) -> Result<Vec<Vec<u8>>, Errno> {
        let mut buffer = [0; 4096];
        let length = sys::receive(self.socket.fd(), &mut buffer, false)?;
        if length == 0 {
            return Err(Errno::EPIPE);
        }
        self.until = until;
        self.input
            .extend_from_slice(buffer.get(..length).unwrap_or_default());
        let mut messages = Vec::new();
        while let Some(length) = self.input.first_chunk::<LENGTH>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length < SHORTEST {
                return Err(Errno::EPROTO);
            }
            let Some(message) = self.input.get(LENGTH..LENGTH + length) else {
                break;
            };
            messages.push(message.to_vec());
            self.input.drain(..LENGTH + length);
        }
        Ok(messages)
    }

    /// # Errors
    /// The client does not accept answers.
    pub fn write(&self, message: &[u8]) -> Result<(), Errno> {
        let length = u16::try_from(message.len()).map_err(|_| Errno::EMSGSIZE)?;
        let bytes = [&length.to_be_bytes(), message].concat();
        match sys::send(self.socket.fd(), &bytes)? {
            sent if sent == bytes.len() => Ok(()),
            _ => Err(Errno::EAGAIN),
        }
    }
}
