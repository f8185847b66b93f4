//! A DNS server for programs that have their own resolver: their queries to port 53 are redirected to it on the
//! loopback, and answered from the name table.
//!
//! Queries arrive as datagrams or by TCP ([`Streams`]). A name that libc would resolve (`localdomain`, or a name on no
//! allow-list) is forwarded to the server that the program addressed. A query that can neither be answered nor
//! forwarded is refused.

#![forbid(unsafe_code)]

use crate::streams::Streams;
use crate::sys as own_sys;
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tailchain_core::config::Dns;
use tailchain_core::dns::{self, Answer, Query};
use tailchain_core::errno::Errno;
use tailchain_core::host::HostName;
use tailchain_core::hosts::own_name;
use tailchain_core::route::{self, NamePolicy};
use tailchain_core::router::names::QueryAnswer;
use tailchain_core::router::Router;
use tailchain_core::sys::{self, Fd, OwnFd, SockAddr};

const DNS_PORT: u16 = 53;
/// The largest DNS datagram accepted (RFC 6891 section 6.2.5 advises 4096).
const LARGEST: usize = 4096;
/// Fits into a datagram on any path.
const LARGEST_ANSWER: usize = 1232;
/// The largest DNS message over TCP.
const LARGEST_BY_TCP: usize = 65_535;
/// By then a resolver has given up or retried.
const PATIENCE: Duration = Duration::from_secs(10);
/// More clients than query at the same time.
const MOST_CLIENTS: usize = 16 * 1024;
const MOST_FORWARDED: usize = 512;
/// Queries to answer in a row before other events are handled.
const MOST_AT_ONCE: usize = 64;

/// Response codes (RFC 1035 section 4.1.1).
const SERVER_FAILURE: u8 = 2;
const REFUSED: u8 = 5;

pub struct Answerer {
    router: &'static Router,
    epoll: OwnFd,
    /// One per family; IPv6 may be disabled.
    sockets: Vec<Own>,
    streams: Streams,
    /// The server that a client addressed, by the client's own address.
    servers: HashMap<SocketAddr, SocketAddr>,
    /// The server that an unconnected socket addressed, by its SO_COOKIE and the query's ID, as the program wrote it.
    unconnected: HashMap<(u64, [u8; 2]), SockAddr>,
    /// The server that a connected socket addressed, by its SO_COOKIE.
    connected: HashMap<u64, SocketAddr>,
    forwarded: HashMap<u64, Forwarded>,
    next: u64,
    search: Vec<String>,
}

struct Own {
    socket: OwnFd,
    address: SocketAddr,
}

/// A query that was forwarded to a server.
struct Forwarded {
    socket: OwnFd,
    name: Option<HostName>,
    asker: Asker,
    until: Duration,
}

/// The client to send the answer to.
#[derive(Clone, Copy)]
enum Asker {
    /// A socket that sent its query as a datagram to one of the answerer's sockets.
    Datagram {
        own: usize,
        client: SocketAddr,
    },
    Stream(u64),
}

impl Answerer {
    pub fn new(router: &'static Router) -> Result<Answerer, Errno> {
        let epoll = sys::epoll()?;
        let mut sockets = Vec::new();
        if router.config.dns == Dns::Remote {
            for ip in [
                Ipv4Addr::LOCALHOST.into(),
                IpAddr::from(Ipv6Addr::LOCALHOST),
            ] {
                if let Ok(own) = Own::new(ip) {
                    let word = sockets.len() as u64;
                    let input = libc::EPOLLIN as u32;
                    sys::epoll_set(
                        epoll.fd(),
                        libc::EPOLL_CTL_ADD,
                        own.socket.fd(),
                        input,
                        word,
                    )?;
                    sockets.push(own);
                }
            }
        }
        Ok(Answerer {
            router,
            epoll,
            next: FIRST_NUMBER,
            sockets,
            streams: Streams::default(),
            servers: HashMap::new(),
            unconnected: HashMap::new(),
            connected: HashMap::new(),
            forwarded: HashMap::new(),
            search: search_domains(),
        })
    }

    pub fn epoll(&self) -> Fd {
        self.epoll.fd()
    }

    /// Whether a datagram to this address is redirected to the answerer.
    pub fn is_for(&self, address: SocketAddr) -> bool {
        address.port() == DNS_PORT && self.router.config.dns == Dns::Remote
    }

    /// Connects a program's datagram socket to the answerer instead of to `server`.
    pub fn adopt(&mut self, cookie: u64, socket: Fd, server: SocketAddr) -> Result<(), Errno> {
        let mut last = Errno::ECONNREFUSED;
        for address in self.addresses_for(server) {
            match sys::connect(socket, &address.into()) {
                Ok(()) => {
                    let local = sys::local_address(socket)?.inet();
                    self.remember(local.ok_or(Errno::EAFNOSUPPORT)?, server);
                    if self.connected.len() >= MOST_CLIENTS {
                        self.connected.clear();
                    }
                    self.connected.insert(cookie, server);
                    return Ok(());
                }
                Err(errno) => last = errno,
            }
        }
        Err(last)
    }

    /// The address to connect a program's TCP socket to instead of `server`.
    pub fn stream_for(&mut self, server: SocketAddr) -> Result<SockAddr, Errno> {
        let place = self.streams.listener_for(server)?;
        if let Some((index, fd)) = place.new {
            self.watch(fd, FIRST_LISTENER + index as u64)?;
        }
        Ok(place.address.into())
    }

    fn watch(&self, fd: Fd, word: u64) -> Result<(), Errno> {
        let input = libc::EPOLLIN as u32;
        sys::epoll_set(self.epoll.fd(), libc::EPOLL_CTL_ADD, fd, input, word)
    }

    /// Sends a query of an unconnected socket to the answerer instead of to `server`.
    pub fn send(
        &mut self,
        cookie: u64,
        socket: Fd,
        query: &[u8],
        server: &SockAddr,
    ) -> Result<usize, Errno> {
        let inet = server.inet().ok_or(Errno::EAFNOSUPPORT)?;
        let ours = self.addresses_for(inet).into_iter().next();
        let ours = ours.ok_or(Errno::ECONNREFUSED)?;
        let id = query.first_chunk().ok_or(Errno::ECONNREFUSED)?;
        let sent = own_sys::send_to(socket, query, 0, Some(&ours.into()))?;
        let local = sys::local_address(socket)?.inet();
        let mut local = canonical(local.ok_or(Errno::EAFNOSUPPORT)?);
        if local.ip().is_unspecified() {
            local.set_ip(canonical(ours).ip());
        }
        self.remember(local, inet);
        if self.unconnected.len() >= MOST_CLIENTS {
            self.unconnected.clear();
        }
        self.unconnected.insert((cookie, *id), *server);
        Ok(sent)
    }

    /// Whether any socket may receive an answer from the answerer.
    pub fn has_clients(&self) -> bool {
        !self.unconnected.is_empty() || !self.connected.is_empty()
    }

    /// The server to connect a socket to that is connected to the answerer.
    pub fn server_of(&self, cookie: u64, socket: Fd) -> Option<SocketAddr> {
        if self.connected.is_empty() && self.streams.is_empty() {
            return None;
        }
        let peer = sys::peer_address(socket).ok()?.inet()?;
        match self.connected.get(&cookie) {
            Some(server) if self.is_own(peer) => Some(*server),
            _ => self.streams.server_at(peer),
        }
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        let is_it = |own: &Own| canonical(own.address) == canonical(address);
        self.sockets.iter().any(is_it)
    }

    /// Takes the answerer's answer, if it is the next datagram of an unconnected socket, with the source address to
    /// report.
    pub fn take_answer(&mut self, cookie: u64, socket: Fd) -> Option<(Vec<u8>, SockAddr)> {
        let connected = self.connected.get(&cookie).copied();
        if connected.is_none() && !self.unconnected.keys().any(|(known, _)| *known == cookie) {
            return None;
        }
        let mut bytes = vec![0; LARGEST];
        let (length, from) = own_sys::peek_from(socket, &mut bytes).ok()?;
        if !self.is_own(from) {
            return None;
        }
        let id = bytes.first_chunk::<2>()?;
        let server = match self.unconnected.get(&(cookie, *id)) {
            Some(server) => *server,
            None => connected?.into(),
        };
        sys::receive(socket, &mut [0], false).ok()?;
        bytes.truncate(length);
        Some((bytes, server))
    }

    /// The answerer's addresses, as a socket of the server's family reaches them.
    fn addresses_for(&self, server: SocketAddr) -> Vec<SocketAddr> {
        let reach = |own: &Own| match (server, own.address.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(ip)) => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), own.address.port())
            }
            _ => own.address,
        };
        let usable = |own: &&Own| server.is_ipv6() || own.address.is_ipv4();
        self.sockets.iter().filter(usable).map(reach).collect()
    }

    fn remember(&mut self, client: SocketAddr, server: SocketAddr) {
        if self.servers.len() >= MOST_CLIENTS {
            self.servers.clear();
        }
        self.servers.insert(canonical(client), canonical(server));
    }

    /// Handles the events of the answerer's epoll instance.
    pub fn on_ready(&mut self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 16];
        let ready = sys::epoll_wait(self.epoll.fd(), &mut events, Some(Duration::ZERO));
        for event in events.iter().take(ready.unwrap_or(0)) {
            let word = event.u64;
            match word {
                id @ FIRST_NUMBER.. if self.forwarded.contains_key(&id) => {
                    self.finish_forwarded(id)
                }
                id @ FIRST_NUMBER.. => self.serve_stream(id),
                listener @ FIRST_LISTENER.. => self.accept((listener - FIRST_LISTENER) as usize),
                own => self.serve(own as usize),
            }
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        let forwarded = self.forwarded.values().map(|query| query.until).min();
        [forwarded, self.streams.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    pub fn expire(&mut self, now: Duration) {
        self.forwarded.retain(|_, query| query.until > now);
        self.streams.expire(now);
    }

    /// Reads the queries that have arrived: a socket's buffer is small, and drops the rest.
    fn serve(&mut self, own: usize) {
        for _ in 0..MOST_AT_ONCE {
            if self.serve_one(own).is_none() {
                return;
            }
        }
    }

    fn serve_one(&mut self, own: usize) -> Option<()> {
        let mut buffer = [0; LARGEST];
        let socket = self.sockets.get(own)?.socket.fd();
        let (length, client) = own_sys::receive_from(socket, &mut buffer).ok()?;
        let message = buffer.get(..length).unwrap_or_default();
        let server = self.servers.get(&canonical(client)).copied();
        let asker = Asker::Datagram { own, client };
        if let Some(answer) = self.answer(message, asker, server) {
            self.reply(asker, &answer);
        }
        Some(())
    }

    fn accept(&mut self, listener: usize) {
        let id = self.next;
        self.next += 1;
        let accepted = self.streams.accept(listener, id, sys::now() + PATIENCE);
        if accepted.and_then(|fd| self.watch(fd, id)).is_err() {
            self.streams.close(id);
        }
    }

    fn serve_stream(&mut self, id: u64) {
        let Some(client) = self.streams.client(id) else {
            return;
        };
        let server = Some(canonical(client.server));
        match client.read(sys::now() + PATIENCE) {
            Ok(messages) => {
                for message in messages {
                    if let Some(answer) = self.answer(&message, Asker::Stream(id), server) {
                        self.reply(Asker::Stream(id), &answer);
                    }
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.streams.close(id),
        }
    }

    fn reply(&mut self, asker: Asker, message: &[u8]) {
        match asker {
            Asker::Datagram { own, client } => {
                if let Some(own) = self.sockets.get(own) {
                    let _ = own_sys::send_to(own.socket.fd(), message, 0, Some(&client.into()));
                }
            }
            Asker::Stream(id) => {
                let client = self.streams.client(id);
                if client.is_some_and(|client| client.write(message).is_err()) {
                    self.streams.close(id);
                }
            }
        }
    }

    /// The answer; `None`: the query was forwarded.
    fn answer(
        &mut self,
        message: &[u8],
        asker: Asker,
        server: Option<SocketAddr>,
    ) -> Option<Vec<u8>> {
        let room = match asker {
            Asker::Datagram { .. } => LARGEST_ANSWER,
            Asker::Stream(_) => LARGEST_BY_TCP,
        };
        let Ok(query) = Query::parse(message) else {
            return failure(message, REFUSED);
        };
        let name = query.question.host();
        if name
            .as_ref()
            .is_some_and(|name| self.is_search_attempt(name))
        {
            return query.answer(&Answer::NoSuchName, room);
        }
        match self.router.answer_query(&query.question) {
            QueryAnswer::Here(answer) => query.answer(&answer, room),
            QueryAnswer::TableFull => failure(message, SERVER_FAILURE),
            QueryAnswer::Server => {
                let is_remote = name.as_ref().is_none_or(|name| self.is_remote(name));
                match server.filter(|_| !is_remote) {
                    Some(server) => match self.forward(message, name, asker, server) {
                        Ok(()) => None,
                        Err(_) => failure(message, SERVER_FAILURE),
                    },
                    None => failure(message, REFUSED),
                }
            }
        }
    }

    fn is_remote(&self, name: &HostName) -> bool {
        let policy = route::name_policy(&self.router.config, name, &mut |name| {
            self.router.knows(name)
        });
        policy == NamePolicy::Remote
    }

    /// Whether a resolver may have built this name with a search domain of resolv.conf(5). Every such name would exist
    /// through the proxy, so the resolver would never query the name that the program means.
    fn is_search_attempt(&self, name: &HostName) -> bool {
        self.search
            .iter()
            .any(|domain| name.as_str() != domain && name.is_within(domain))
            && self.router.config.allow_domains.matches(name).is_none()
            && self.is_remote(name)
    }

    fn forward(
        &mut self,
        message: &[u8],
        name: Option<HostName>,
        asker: Asker,
        server: SocketAddr,
    ) -> Result<(), Errno> {
        if self.forwarded.len() >= MOST_FORWARDED {
            return Err(Errno::ENOBUFS);
        }
        let family = match server {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        };
        let socket = sys::socket(family, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)?;
        sys::connect(socket.fd(), &server.into())?;
        sys::send(socket.fd(), message)?;
        let id = self.next;
        self.next += 1;
        self.watch(socket.fd(), id)?;
        let until = sys::now() + PATIENCE;
        let query = Forwarded {
            socket,
            name,
            asker,
            until,
        };
        self.forwarded.insert(id, query);
        Ok(())
    }

    /// Passes on the server's answer to a forwarded query. A socket error ends the query without an answer.
    fn finish_forwarded(&mut self, id: u64) {
        let Some(query) = self.forwarded.remove(&id) else {
            return;
        };
        let mut buffer = [0; LARGEST];
        let Ok(length) = sys::receive(query.socket.fd(), &mut buffer, false) else {
            return;
        };
        let message = buffer.get(..length).unwrap_or_default();
        if let Some(name) = &query.name {
            for address in dns::addresses(message) {
                self.router.remember(address, name);
            }
        }
        self.reply(query.asker, message);
    }
}

/// Tokens below this are the answerer's own datagram sockets.
const FIRST_LISTENER: u64 = 16;
/// Tokens from here on are streams and forwarded queries.
const FIRST_NUMBER: u64 = 1024;

impl Own {
    fn new(ip: IpAddr) -> Result<Own, Errno> {
        let family = if ip.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let socket = sys::socket(family, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)?;
        sys::bind(socket.fd(), &SockAddr::from(SocketAddr::new(ip, 0)))?;
        let address = sys::local_address(socket.fd())?.inet();
        Ok(Own {
            socket,
            address: address.ok_or(Errno::EAFNOSUPPORT)?,
        })
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Turns the query into an answer with a response code.
fn failure(query: &[u8], code: u8) -> Option<Vec<u8>> {
    let mut message = query.to_vec();
    *message.get_mut(2)? |= 0x80;
    let last = message.get_mut(3)?;
    *last = *last & 0xf0 | 0x80 | code;
    (message.len() >= 12).then_some(message)
}

/// `search` and `domain` of resolv.conf(5), or else the domain of the host name.
fn search_domains() -> Vec<String> {
    let file = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut domains = Vec::new();
    for line in file.lines() {
        let mut words = line.split_ascii_whitespace();
        if let Some("search" | "domain") = words.next() {
            domains = words.map(normal).collect();
        }
    }
    if domains.is_empty() {
        let own = own_name();
        let domain = own.as_ref().and_then(|own| own.as_str().split_once('.'));
        domains.extend(domain.map(|(_, domain)| normal(domain)));
    }
    domains.retain(|domain| !domain.is_empty());
    domains
}

fn normal(domain: &str) -> String {
    domain.trim_matches('.').to_ascii_lowercase()
}
