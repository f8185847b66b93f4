//! Carries out a [`Dial`] on a socket without ever sleeping: between two waits it does all the I/O that is possible at
//! once. The caller waits: [`super::blocking`] for one driver, `pending` for many.

use super::endpoint::{reach, ConnectVia, Family, Resolver};
use super::machine::{Action, Dial};
use super::replacement;
use crate::errno::Errno;
use crate::host::Target;
use crate::local_api::Failure as LookupFailure;
use crate::own_fds::{OwnFds, RegisteredFd};
use crate::sys::{self, Fd, OwnFd, SockAddr};
use core::sync::atomic::{AtomicI32, Ordering};
use libc::{c_int, c_short, POLLIN, POLLOUT};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How connect(2) to a first proxy is kept from sleeping, and whether the caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The socket blocks and has these status flags: O_NONBLOCK is set only during connect(2). The caller waits.
    Blocking(c_int),
    /// The socket has O_NONBLOCK, but the caller waits.
    Waiting,
    /// The socket has O_NONBLOCK, and the program gets EINPROGRESS.
    NonBlocking,
}

/// Only a wait longer than this checks for socket options that may delay the reply: fast replies save the calls.
const LATE: Duration = Duration::from_millis(2);

/// Socket options that stall a handshake, with the value it needs: a reply shorter than SO_RCVLOWAT wakes no reader
/// (socket(7)), and TCP_CORK delays a greeting by 200 ms (tcp(7)).
const STARVING: [(c_int, c_int, c_int); 2] = [
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT, 1),
    (libc::IPPROTO_TCP, libc::TCP_CORK, 0),
];

/// A socket option of the program that is changed until the handshake is over, with the value to restore.
#[derive(Clone, Copy, Debug)]
struct Suspended {
    socket: Fd,
    level: c_int,
    name: c_int,
    value: c_int,
}

/// Whether some wait has exceeded [`LATE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    NotYet,
    /// It will have at this time.
    At(Duration),
    Is,
}

/// What has happened, or what the driver needs next.
pub enum Progress {
    /// The TCP connection of this socket is established; call [`Driver::advance`]. The proxy is preparing its reply, so
    /// work done now does not delay the program.
    Opened(Fd),
    Wait(Wait),
    Finished(Outcome),
}

/// How a dial ended.
pub struct Outcome {
    pub result: Result<(), Errno>,
    /// The socket with the tunnel, if it is not the program's own.
    pub replacement: Option<RegisteredFd>,
}

impl From<Errno> for Outcome {
    fn from(errno: Errno) -> Outcome {
        Outcome {
            result: Err(errno),
            replacement: None,
        }
    }
}

/// Call [`Driver::on_ready`] when one of `events` occurs, or [`Driver::on_timeout`] after `deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub fd: Fd,
    /// 0: the driver pauses until the deadline.
    pub events: c_short,
    pub deadline: Duration,
    /// An earlier wait for this connection has exceeded 2 ms, or this is a pause: calls that prepare for a long wait
    /// are worth their time.
    pub is_long: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaiting {
    Nothing,
    Connection,
    Room,
    Bytes,
}

/// How a step of the driver ends.
enum Turn {
    Wait(Awaiting),
    Finished(Result<(), Errno>),
}

pub struct Driver<'c> {
    dial: Dial<'c>,
    resolver: &'c (dyn Resolver + Sync),
    mode: Mode,
    family: Family,
    own: Fd,
    /// The socket that replaces the program's where their families differ.
    replacement: Option<RegisteredFd>,
    own_fds: &'static OwnFds,
    /// The endpoint's addresses that were not tried yet.
    addresses: std::vec::IntoIter<ConnectVia>,
    awaiting: Awaiting,
    /// The connection to tailscaled's LocalAPI, and its answer so far.
    lookup: Option<(OwnFd, Vec<u8>)>,
    /// connect(2) was called on the current socket: dissolve that before the next call.
    used: bool,
    /// One of these calls was to an IPv4-mapped address: see [`sys::unmap`].
    mapped: bool,
    /// Publishes the fd of `replacement` to other threads, or -1.
    published_fd: Option<Arc<AtomicI32>>,
    /// The greeting is sent right after connect(2): whether send succeeds tells whether the connection is established.
    unproven: bool,
    /// O_NONBLOCK was set on the program's socket; restore its flags.
    flagged: bool,
    late: Late,
    suspended: Vec<Suspended>,
    /// The TCP connection is established, which is not reported yet.
    opened: bool,
    /// What follows the report.
    next: Option<Progress>,
}

/// Bytes read at once of a reply of known length; longer replies are rare (a long bound name).
const MAX_READ: usize = 32;
/// Bytes peeked at once of a reply whose end must be searched for (HTTP).
const PEEKED: usize = 1024;
/// The longest answer of tailscaled: a DNS message of at most 64 KiB, in base64.
const LONGEST_LOOKUP: usize = 128 * 1024;

impl<'c> Driver<'c> {
    /// A driver for the program's socket `own`, which has never been connected.
    pub fn new(
        dial: Dial<'c>,
        own: Fd,
        family: Family,
        mode: Mode,
        resolver: &'c (dyn Resolver + Sync),
        own_fds: &'static OwnFds,
    ) -> Driver<'c> {
        Driver {
            dial,
            resolver,
            mode,
            family,
            own,
            replacement: None,
            own_fds,
            addresses: Vec::new().into_iter(),
            awaiting: Awaiting::Nothing,
            lookup: None,
            used: false,
            mapped: false,
            published_fd: None,
            unproven: false,
            flagged: false,
            late: Late::NotYet,
            suspended: Vec::new(),
            opened: false,
            next: None,
        }
    }

    /// The target that the program connects to.
    pub fn target(&self) -> &Target {
        self.dial.target()
    }

    /// From now on the program's socket has this fd and O_NONBLOCK, and nobody waits for it here.
    pub fn hand_over(&mut self, own: Fd) {
        for option in &mut self.suspended {
            if option.socket == self.own {
                option.socket = own;
            }
        }
        self.own = own;
        self.mode = Mode::NonBlocking;
    }

    fn take_replacement(&mut self) -> Option<RegisteredFd> {
        let replacement = self.replacement.take()?;
        self.announce(-1);
        Some(replacement)
    }

    /// Publish the fd of the replacement in `fd`, which is -1 while there is none.
    pub fn announce_replacement(&mut self, fd: Arc<AtomicI32>) {
        self.published_fd = Some(fd);
        if let Some(replacement) = &self.replacement {
            self.announce(replacement.fd());
        }
    }

    fn announce(&self, fd: Fd) {
        if let Some(place) = &self.published_fd {
            place.store(fd, Ordering::Release);
        }
    }

    fn fd(&self) -> Fd {
        self.replacement.as_ref().map_or(self.own, RegisteredFd::fd)
    }

    /// Begin, or continue after anything but a wait.
    pub fn advance(&mut self) -> Progress {
        match self.next.take() {
            Some(next) => next,
            None => {
                let turn = self.advance_until_it_waits();
                self.step_taken(turn)
            }
        }
    }

    /// Restore flags and options before the caller sees the result.
    fn step_taken(&mut self, turn: Turn) -> Progress {
        // Not right after connect(2): by now the proxy has the greeting, and works meanwhile.
        self.put_flags_back();
        let progress = match turn {
            Turn::Wait(awaiting) => {
                self.awaiting = awaiting;
                Progress::Wait(self.waiting())
            }
            Turn::Finished(result) => {
                self.put_options_back();
                // The program may use the socket again, by IPv6 and directly.
                if self.mapped && result.is_err_and(|errno| !says_of_the_socket(errno)) {
                    self.unmap();
                }
                let replacement = self.take_replacement().filter(|_| result.is_ok());
                Progress::Finished(Outcome {
                    result,
                    replacement,
                })
            }
        };
        if !core::mem::take(&mut self.opened) {
            return progress;
        }
        let socket = match &progress {
            Progress::Finished(Outcome {
                replacement: Some(replacement),
                ..
            }) => replacement.fd(),
            _ => self.fd(),
        };
        self.next = Some(progress);
        Progress::Opened(socket)
    }

    fn put_flags_back(&mut self) {
        if let (true, Mode::Blocking(flags)) = (self.flagged, self.mode) {
            let _ = sys::set_status_flags(self.own, flags);
        }
        self.flagged = false;
    }

    fn put_options_back(&mut self) {
        for option in core::mem::take(&mut self.suspended) {
            let _ = sys::set_option(option.socket, option.level, option.name, &option.value);
        }
    }

    /// After a long wait: change the socket options that may be its cause.
    fn suspend_options(&mut self) {
        let socket = self.fd();
        for (level, name, wanted) in STARVING {
            match sys::get_option(socket, level, name) {
                Ok(value) if value != wanted => {
                    let _ = sys::set_option(socket, level, name, &wanted);
                    self.suspended.push(Suspended {
                        socket,
                        level,
                        name,
                        value,
                    });
                }
                _ => {}
            }
        }
    }

    fn advance_until_it_waits(&mut self) -> Turn {
        loop {
            let now = sys::now();
            match self.dial.action() {
                Action::Finished(result) => return Turn::Finished(result),
                Action::Sleep => return Turn::Wait(Awaiting::Nothing),
                Action::LookUp(socket) => {
                    let begun = match &self.lookup {
                        Some(_) => Ok(()),
                        None => SockAddr::unix(socket)
                            .ok_or(Errno::EINVAL)
                            .and_then(|address| self.begin_lookup(&address)),
                    };
                    match begun {
                        Ok(()) => {
                            if let Some(awaiting) = self.read_lookup(now) {
                                return Turn::Wait(awaiting);
                            }
                        }
                        Err(errno) => self.dial.cannot_look_up(LookupFailure::Io(errno), now),
                    }
                }
                Action::Connect(endpoint) => {
                    match reach(endpoint, self.family, self.resolver) {
                        Ok(addresses) => self.addresses = addresses.into_iter(),
                        Err(errno) => {
                            self.dial.refused(errno, now);
                            continue;
                        }
                    }
                    if let Some(awaiting) = self.connect_next(Errno::ECONNREFUSED) {
                        return Turn::Wait(awaiting);
                    }
                }
                Action::Send(bytes) => match sys::send(self.fd(), bytes) {
                    Ok(n) => {
                        if core::mem::take(&mut self.unproven) {
                            self.opened = true;
                        }
                        self.dial.sent(n, now);
                        if matches!(self.dial.action(), Action::Read(_) | Action::Peek(_)) {
                            if self.dial.is_pipelined() {
                                self.acknowledge_at_once();
                            }
                            // The reply to what was just sent cannot have arrived yet.
                            return Turn::Wait(Awaiting::Bytes);
                        }
                    }
                    Err(errno) if self.unproven => {
                        if let Some(awaiting) = self.greeting_failed(errno) {
                            return Turn::Wait(awaiting);
                        }
                    }
                    // EINPROGRESS: TCP_FASTOPEN_CONNECT is set, and this call began to connect.
                    Err(Errno::EAGAIN | Errno::EINPROGRESS) => return Turn::Wait(Awaiting::Room),
                    Err(Errno::EINTR) => {}
                    Err(_) => self.dial.closed(now),
                },
                Action::Read(wanted) => {
                    if let Some(awaiting) = self.read(wanted, now) {
                        return Turn::Wait(awaiting);
                    }
                }
                Action::Peek(wanted) => {
                    if let Some(awaiting) = self.peek(wanted, now) {
                        return Turn::Wait(awaiting);
                    }
                }
            }
        }
    }

    /// Send the lookup request to tailscaled, on a connection of its own.
    fn begin_lookup(&mut self, address: &SockAddr) -> Result<(), Errno> {
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
        let socket = sys::socket(libc::AF_UNIX, kind, 0)?;
        let socket = sys::NofileGuard::as_it_is().move_high(socket);
        // A unix socket connects at once or fails (unix(7)).
        sys::connect(socket.fd(), address)?;
        let request = self.dial.lookup_request();
        match sys::send(socket.fd(), &request)? {
            sent if sent == request.len() => {}
            _ => return Err(Errno::EAGAIN),
        }
        self.announce(socket.fd());
        self.lookup = Some((socket, Vec::new()));
        Ok(())
    }

    /// Read tailscaled's answer up to the end of the connection. `Some`: nothing to read yet.
    fn read_lookup(&mut self, now: Duration) -> Option<Awaiting> {
        let (socket, answer) = self.lookup.as_mut()?;
        let mut buffer = [0; PEEKED];
        let end = loop {
            match sys::receive(socket.fd(), &mut buffer, false) {
                Ok(0) => break Ok(()),
                Ok(n) => answer.extend_from_slice(buffer.get(..n).unwrap_or_default()),
                Err(Errno::EAGAIN) => return Some(Awaiting::Bytes),
                Err(Errno::EINTR) => {}
                Err(errno) => break Err(LookupFailure::Io(errno)),
            }
            if answer.len() > LONGEST_LOOKUP {
                break Err(LookupFailure::Malformed);
            }
        };
        let answer = self.end_lookup();
        match end {
            Ok(()) => self.dial.looked_up(&answer, now),
            Err(failure) => self.dial.cannot_look_up(failure, now),
        }
        None
    }

    fn end_lookup(&mut self) -> Vec<u8> {
        let Some((socket, answer)) = self.lookup.take() else {
            return Vec::new();
        };
        // A child forked meanwhile holds a copy, so closing alone would not end the connection.
        let _ = sys::shutdown(socket.fd(), libc::SHUT_RDWR);
        self.announce(-1);
        self.late = Late::NotYet;
        answer
    }

    /// One of the awaited events occurred.
    pub fn on_ready(&mut self) -> Progress {
        if self.awaiting == Awaiting::Connection && !self.greet_unproven() {
            let error = sys::get_option::<i32>(self.fd(), libc::SOL_SOCKET, libc::SO_ERROR);
            let ended = self.connect_ended(match error {
                Ok(0) => Ok(()),
                Ok(errno) => Err(Errno::from_raw(errno)),
                Err(errno) => Err(errno),
            });
            if let Some(awaiting) = ended {
                return self.step_taken(Turn::Wait(awaiting));
            }
        }
        self.advance()
    }

    /// Right after connect(2). On the loopback the connection is established at once. A caller that waits need not poll for
    /// it elsewhere either.
    fn try_greeting(&mut self, address: &SockAddr) -> bool {
        let is_worth_it = self.mode != Mode::NonBlocking || is_loopback(address);
        is_worth_it && self.greet_unproven()
    }

    /// Sending the greeting tells whether the connection is established, and spares the question.
    fn greet_unproven(&mut self) -> bool {
        self.unproven = self.dial.try_greeting(sys::now());
        self.unproven
    }

    /// The greeting could not be sent: the connection is not established yet, or failed.
    fn greeting_failed(&mut self, errno: Errno) -> Option<Awaiting> {
        self.unproven = false;
        self.dial.not_yet_connected();
        match errno {
            Errno::EAGAIN | Errno::EINPROGRESS => Some(Awaiting::Connection),
            Errno::EPIPE => self.connect_ended(Err(Errno::ECONNRESET)),
            errno => self.connect_ended(Err(errno)),
        }
    }

    /// The deadline has passed.
    pub fn on_timeout(&mut self) -> Progress {
        let now = sys::now();
        if let Late::At(at) = self.late {
            // The wait has ended by its deadline; the clock is not read, since it may stand still (libfaketime).
            if at < self.dial.deadline() {
                self.late = Late::Is;
                if self.lookup.is_none() {
                    self.suspend_options();
                }
                if now < self.dial.deadline() {
                    return Progress::Wait(self.waiting());
                }
            }
        }
        self.end_lookup();
        self.dial.on_timeout(now);
        self.advance()
    }

    /// Fail at once with `errno`.
    pub fn abandon(&mut self, errno: Errno) {
        self.end_lookup();
        self.dial.abandon(errno);
    }

    /// The current wait.
    pub fn waiting(&mut self) -> Wait {
        let mut deadline = self.dial.deadline();
        if self.awaiting != Awaiting::Nothing {
            if self.late == Late::NotYet {
                self.late = Late::At(sys::now() + LATE);
            }
            if let Late::At(at) = self.late {
                deadline = deadline.min(at);
            }
        }
        let lookup = self.lookup.as_ref().map(|(socket, _)| socket.fd());
        Wait {
            fd: lookup.unwrap_or(self.fd()),
            events: match self.awaiting {
                Awaiting::Nothing => 0,
                Awaiting::Connection | Awaiting::Room => POLLOUT,
                Awaiting::Bytes => POLLIN,
            },
            deadline,
            // A driver that pauses has missed the fast path.
            is_long: self.late == Late::Is || self.awaiting == Awaiting::Nothing,
        }
    }

    /// TCP_QUICKACK (tcp(7)), for a pipelined handshake: a proxy that writes two replies separately delays the second until
    /// the first is acknowledged (Nagle), and delayed ACKs take some 40 ms.
    fn acknowledge_at_once(&self) {
        let _ = sys::set_option(self.fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK, &1);
    }

    /// Read what the tunnel asks for. `Some`: nothing to read yet.
    fn read(&mut self, wanted: usize, now: Duration) -> Option<Awaiting> {
        let mut buffer = [0; MAX_READ];
        let room = buffer.get_mut(..wanted.min(MAX_READ)).unwrap_or_default();
        match sys::receive(self.fd(), room, false) {
            Ok(0) => self.dial.closed(now),
            Ok(n) => {
                let all_there_is = n < room.len();
                self.dial.received(room.get(..n).unwrap_or_default(), now);
                if all_there_is && matches!(self.dial.action(), Action::Read(_)) {
                    return Some(Awaiting::Bytes);
                }
            }
            Err(errno) => return self.cannot_read(errno, now),
        }
        None
    }

    /// Peek at the received bytes, and consume those of the reply. `Some`: nothing to read yet.
    fn peek(&mut self, wanted: usize, now: Duration) -> Option<Awaiting> {
        let mut buffer = [0; PEEKED];
        let room = buffer.get_mut(..wanted.min(PEEKED)).unwrap_or_default();
        match sys::receive(self.fd(), room, true) {
            Ok(0) => self.dial.closed(now),
            Ok(n) => {
                let take = self.dial.peeked(room.get(..n).unwrap_or_default(), now);
                // Does not block: these bytes were just peeked.
                let _ = sys::receive(self.fd(), room.get_mut(..take).unwrap_or_default(), false);
            }
            Err(errno) => return self.cannot_read(errno, now),
        }
        None
    }

    fn cannot_read(&mut self, errno: Errno, now: Duration) -> Option<Awaiting> {
        match errno {
            Errno::EAGAIN => return Some(Awaiting::Bytes),
            Errno::EINTR => {}
            _ => self.dial.closed(now),
        }
        None
    }

    /// Connect to the next address of the endpoint. `last` is the error of the previous address.
    fn connect_next(&mut self, last: Errno) -> Option<Awaiting> {
        let mut last = last;
        loop {
            let Some(address) = self.addresses.next() else {
                self.dial.refused(last, sys::now());
                return None;
            };
            let address = match self.prepare(address) {
                Ok(address) => address,
                Err(errno) => {
                    last = errno;
                    continue;
                }
            };
            match self.connect(&address) {
                // The backlog is full (unix(7)): nothing is in progress.
                Err(Errno::EAGAIN) if address.family() == libc::AF_UNIX => {
                    self.dial.busy(sys::now());
                    return None;
                }
                Err(Errno::EINPROGRESS) if self.try_greeting(&address) => return None,
                Err(Errno::EINPROGRESS) => return Some(Awaiting::Connection),
                Err(errno) if self.replacement.is_none() && says_of_the_socket(errno) => {
                    self.dial.abandon(errno);
                    return None;
                }
                result => return self.connect_ended(result),
            }
        }
    }

    /// connect(2) has succeeded or failed.
    fn connect_ended(&mut self, result: Result<(), Errno>) -> Option<Awaiting> {
        self.awaiting = Awaiting::Nothing;
        self.opened = result.is_ok();
        match result {
            Ok(()) => {
                self.dial.connected(sys::now());
                None
            }
            Err(errno) => self.connect_next(errno),
        }
    }

    /// Prepare a socket that can connect to `address`.
    fn prepare(&mut self, address: ConnectVia) -> Result<SockAddr, Errno> {
        // These belong to the previous socket, which may be a different one.
        self.put_flags_back();
        self.put_options_back();
        self.late = Late::NotYet;
        let address = match address {
            ConnectVia::Own(address) => {
                drop(self.take_replacement());
                if self.used {
                    sys::disconnect(self.own)?;
                }
                self.used = true;
                let ip = address.inet().map(|inet| inet.ip());
                if matches!(ip, Some(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some()) {
                    self.mapped = true;
                } else if self.mapped {
                    self.unmap();
                }
                address
            }
            ConnectVia::Replacement(family, address) => {
                let replacement = self.own_fds.make(|| {
                    let replacement = replacement::new_like(self.own, family)?;
                    Ok(sys::NofileGuard::as_it_is().move_high(replacement))
                })?;
                sys::set_nonblocking(replacement.fd(), true)?;
                self.announce(replacement.fd());
                self.replacement = Some(replacement);
                address
            }
        };
        Ok(address)
    }

    fn unmap(&mut self) {
        sys::unmap(self.own);
        self.mapped = false;
    }

    fn connect(&mut self, address: &SockAddr) -> Result<(), Errno> {
        let fd = self.fd();
        match self.connect_once(fd, address) {
            // Left over from an earlier failed connect: the kernel reports it once, and the next call starts anew.
            Err(Errno::ECONNABORTED) => self.connect_once(fd, address),
            result => result,
        }
    }

    fn connect_once(&mut self, fd: Fd, address: &SockAddr) -> Result<(), Errno> {
        if let (Mode::Blocking(flags), None, false) = (self.mode, &self.replacement, self.flagged) {
            sys::set_status_flags(fd, flags | libc::O_NONBLOCK)?;
            self.flagged = true;
        }
        sys::connect(fd, address)
    }
}

fn is_loopback(address: &SockAddr) -> bool {
    let inet = address.inet();
    inet.is_some_and(|inet| inet.ip().to_canonical().is_loopback())
}

/// Errors of connect(2) that concern the program's socket and how the program used it, not the proxy: another proxy would
/// not help, and the socket must stay as it is.
fn says_of_the_socket(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EISCONN
            | Errno::EALREADY
            | Errno::EBADF
            | Errno::ENOTSOCK
            | Errno::EINVAL
            | Errno::EAFNOSUPPORT
            | Errno::EADDRINUSE
            | Errno::EADDRNOTAVAIL
            | Errno::EOPNOTSUPP
            | Errno::EPROTOTYPE
    )
}
