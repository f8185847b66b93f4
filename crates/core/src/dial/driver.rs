//! Carries out a [`Dial`] on a socket without ever sleeping: between two waits it does all the I/O that is
//! possible at once. Who waits, and how, is the caller's: [`super::blocking`] polls one, `pending` many.

use super::endpoint::{reach, Family, Reach, Resolver};
use super::fresh;
use super::machine::{Action, Dial, Outcome};
use crate::config::Endpoint;
use crate::errno::Errno;
use crate::sys::{self, Fd, OwnFd, SockAddr};
use core::sync::atomic::{AtomicI32, Ordering};
use libc::{c_short, POLLIN, POLLOUT};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How connect(2) to a first proxy is kept from sleeping too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The socket blocks: connect(2) sleeps, within SO_SNDTIMEO. The value is the program's own SO_SNDTIMEO.
    Blocking(Option<Duration>),
    /// The socket has O_NONBLOCK.
    NonBlocking,
}

/// Where the driver stands.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// Call [`Driver::ready`] when one of `events` is there, or [`Driver::expired`] after `deadline`.
    Wait {
        fd: Fd,
        events: c_short,
        deadline: Duration,
    },
    Finished(Result<(), Errno>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaiting {
    Nothing,
    Connection,
    Room,
    Bytes,
}

pub struct Driver<'c> {
    dial: Dial<'c>,
    resolver: &'c (dyn Resolver + Sync),
    mode: Mode,
    family: Family,
    own: Fd,
    /// The socket that takes the place of the program's in the end, where families differ.
    fresh: Option<OwnFd>,
    /// Further addresses of the endpoint that is being connected to.
    addresses: std::vec::IntoIter<Reach>,
    awaiting: Awaiting,
    /// A connect(2) was tried on the current socket: the next needs it dissolved first.
    used: bool,
    /// One was tried to an IPv4-mapped address: the program's socket sends by IPv4 ever after, since the kernel keeps
    /// the operations of that protocol, and a SYN to an IPv6 address would be lost.
    mapped: bool,
    /// Where the number of `fresh` is kept for others, or -1.
    fresh_number: Option<Arc<AtomicI32>>,
    /// A signal handler ended connect(2); the kernel goes on with it.
    interrupted: bool,
    /// `proxy_down direct`: the connection that is being made goes to the target itself.
    direct: bool,
    /// The socket whose SO_SNDTIMEO is ours; the program's own is to be put back.
    limited: Option<Fd>,
    /// The TCP connection stands, and nobody was told yet.
    opened: bool,
}

/// Read at once of a reply whose length is known; more is rare (a long bound name).
const TAKEN: usize = 32;
/// Looked at at once of a reply whose end must be searched for (HTTP).
const PEEKED: usize = 1024;

impl<'c> Driver<'c> {
    /// A driver for the program's socket `own`, which has never been connected.
    pub fn new(
        dial: Dial<'c>,
        own: Fd,
        family: Family,
        mode: Mode,
        resolver: &'c (dyn Resolver + Sync),
    ) -> Driver<'c> {
        Driver {
            dial,
            resolver,
            mode,
            family,
            own,
            fresh: None,
            addresses: Vec::new().into_iter(),
            awaiting: Awaiting::Nothing,
            used: false,
            mapped: false,
            fresh_number: None,
            interrupted: false,
            direct: false,
            limited: None,
            opened: false,
        }
    }

    /// The wait that it is in.
    pub fn waiting(&mut self) -> Progress {
        self.wait(self.awaiting)
    }

    /// From now on the program's socket has this number and never sleeps in connect(2).
    pub fn hand_over(&mut self, own: Fd) {
        self.own = own;
        self.mode = Mode::NonBlocking;
    }

    /// The socket that the tunnel was made on, when it is not the program's own.
    pub fn take_fresh(&mut self) -> Option<OwnFd> {
        let fresh = self.fresh.take()?;
        self.announce(-1);
        Some(fresh)
    }

    /// Keep the number of that socket there, which says -1, from now on.
    pub fn announce_fresh(&mut self, number: Arc<AtomicI32>) {
        self.fresh_number = Some(number);
        if let Some(fresh) = &self.fresh {
            self.announce(fresh.fd());
        }
    }

    fn announce(&self, number: Fd) {
        if let Some(place) = &self.fresh_number {
            place.store(number, Ordering::Release);
        }
    }

    /// Whether a signal handler ended connect(2), once.
    pub fn take_interrupted(&mut self) -> bool {
        core::mem::take(&mut self.interrupted)
    }

    /// The socket, when it has just been connected: to be asked after each step, says so once. At the first time the
    /// proxy is at its answer, and what is done now takes none of the program's time.
    pub fn take_opened(&mut self) -> Option<Fd> {
        core::mem::take(&mut self.opened).then(|| self.fd())
    }

    fn fd(&self) -> Fd {
        self.fresh.as_ref().map_or(self.own, OwnFd::fd)
    }

    /// Begin, or go on after anything but a wait.
    pub fn go(&mut self) -> Progress {
        let progress = self.go_until_it_waits();
        // Here rather than after connect(2): the proxy has the greeting already, and works meanwhile.
        self.put_limit_back();
        progress
    }

    fn put_limit_back(&mut self) {
        if let (Some(fd), Mode::Blocking(own_limit)) = (self.limited.take(), self.mode) {
            let _ = sys::set_send_timeout(fd, own_limit);
        }
    }

    fn go_until_it_waits(&mut self) -> Progress {
        loop {
            let now = sys::now();
            match self.dial.action() {
                Action::Finished(Outcome::Connected) => return Progress::Finished(Ok(())),
                Action::Finished(Outcome::Failed(errno)) => return Progress::Finished(Err(errno)),
                Action::Finished(Outcome::Direct) => {
                    if let Some(progress) = self.go_direct() {
                        return progress;
                    }
                }
                Action::Sleep => return self.wait(Awaiting::Nothing),
                Action::Connect(endpoint) => {
                    match reach(endpoint, self.family, self.resolver) {
                        Ok(addresses) => self.addresses = addresses.into_iter(),
                        Err(errno) => {
                            self.dial.refused(errno, now);
                            continue;
                        }
                    }
                    if let Some(progress) = self.connect_next(Errno::ECONNREFUSED) {
                        return progress;
                    }
                }
                Action::Send(bytes) => match sys::send(self.fd(), bytes) {
                    Ok(n) => {
                        self.dial.sent(n, now);
                        if matches!(self.dial.action(), Action::Take(_) | Action::Peek(_)) {
                            if self.dial.is_pipelined() {
                                self.acknowledge_at_once();
                            }
                            // The answer to what was sent just now cannot be there yet.
                            return self.wait(Awaiting::Bytes);
                        }
                    }
                    // EINPROGRESS: TCP_FASTOPEN_CONNECT is set, and this was what began to connect.
                    Err(Errno::EAGAIN | Errno::EINPROGRESS) => return self.wait(Awaiting::Room),
                    Err(Errno::EINTR) => {}
                    Err(_) => self.dial.closed(now),
                },
                Action::Take(wanted) => {
                    if let Some(progress) = self.take(wanted, now) {
                        return progress;
                    }
                }
                Action::Peek(wanted) => {
                    if let Some(progress) = self.peek(wanted, now) {
                        return progress;
                    }
                }
            }
        }
    }

    /// One of the awaited events is there.
    pub fn ready(&mut self) -> Progress {
        if self.awaiting == Awaiting::Connection {
            let error = sys::get_option::<i32>(self.fd(), libc::SOL_SOCKET, libc::SO_ERROR);
            if let Some(progress) = self.connect_ended(match error {
                Ok(0) => Ok(()),
                Ok(errno) => Err(Errno::from_raw(errno)),
                Err(errno) => Err(errno),
            }) {
                return progress;
            }
        }
        self.go()
    }

    /// The deadline has passed.
    pub fn expired(&mut self) -> Progress {
        if self.direct {
            return Progress::Finished(Err(Errno::ETIMEDOUT));
        }
        self.dial.expired(sys::now());
        self.go()
    }

    /// End it here and now.
    pub fn abandon(&mut self, errno: Errno) {
        self.dial.abandon(errno);
    }

    fn wait(&mut self, awaiting: Awaiting) -> Progress {
        self.awaiting = awaiting;
        Progress::Wait {
            fd: self.fd(),
            events: match awaiting {
                Awaiting::Nothing => 0,
                Awaiting::Connection | Awaiting::Room => POLLOUT,
                Awaiting::Bytes => POLLIN,
            },
            deadline: self.dial.deadline(),
        }
    }

    /// TCP_QUICKACK (tcp(7)): two answers are to come. A proxy that writes them one by one holds the second back until
    /// the first is acknowledged, and once it has sent something itself the kernel takes some 40 ms for that.
    fn acknowledge_at_once(&self) {
        let _ = sys::set_option(self.fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK, &1);
    }

    /// Read what the tunnel asks for. `Some` when there is nothing to read yet.
    fn take(&mut self, wanted: usize, now: Duration) -> Option<Progress> {
        let mut buffer = [0; TAKEN];
        let room = buffer.get_mut(..wanted.min(TAKEN)).unwrap_or_default();
        match sys::receive(self.fd(), room, false) {
            Ok(0) => self.dial.closed(now),
            Ok(n) => {
                let all_there_is = n < room.len();
                self.dial.received(room.get(..n).unwrap_or_default(), now);
                if all_there_is && matches!(self.dial.action(), Action::Take(_)) {
                    return Some(self.wait(Awaiting::Bytes));
                }
            }
            Err(errno) => return self.cannot_read(errno, now),
        }
        None
    }

    /// Look at what is there, and read what belongs to the reply. `Some` when there is nothing to read yet.
    fn peek(&mut self, wanted: usize, now: Duration) -> Option<Progress> {
        let mut buffer = [0; PEEKED];
        let room = buffer.get_mut(..wanted.min(PEEKED)).unwrap_or_default();
        match sys::receive(self.fd(), room, true) {
            Ok(0) => self.dial.closed(now),
            Ok(n) => {
                let take = self.dial.peeked(room.get(..n).unwrap_or_default(), now);
                // They are there: they were seen.
                let _ = sys::receive(self.fd(), room.get_mut(..take).unwrap_or_default(), false);
            }
            Err(errno) => return self.cannot_read(errno, now),
        }
        None
    }

    fn cannot_read(&mut self, errno: Errno, now: Duration) -> Option<Progress> {
        match errno {
            Errno::EAGAIN => return Some(self.wait(Awaiting::Bytes)),
            Errno::EINTR => {}
            _ => self.dial.closed(now),
        }
        None
    }

    /// Connect to the target itself.
    fn go_direct(&mut self) -> Option<Progress> {
        self.direct = true;
        let target = Endpoint::Tcp(self.dial.target().clone());
        match reach(&target, self.family, self.resolver) {
            Ok(addresses) => self.addresses = addresses.into_iter(),
            Err(errno) => return Some(Progress::Finished(Err(errno))),
        }
        self.connect_next(Errno::ECONNREFUSED)
    }

    /// Connect to the next address of the endpoint. `last` is what the address before it said.
    fn connect_next(&mut self, last: Errno) -> Option<Progress> {
        let mut last = last;
        loop {
            let Some(address) = self.addresses.next() else {
                if self.direct {
                    return Some(Progress::Finished(Err(last)));
                }
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
                // The backlog is full (unix(7)), or a signal handler ended the wait for room: nothing is in progress.
                Err(errno @ (Errno::EAGAIN | Errno::EINTR))
                    if address.family() == libc::AF_UNIX =>
                {
                    self.interrupted = errno == Errno::EINTR;
                    self.dial.busy(sys::now());
                    return None;
                }
                Err(errno @ (Errno::EINPROGRESS | Errno::EINTR)) => {
                    self.interrupted = errno == Errno::EINTR;
                    return Some(self.wait(Awaiting::Connection));
                }
                Err(errno) if self.fresh.is_none() && says_of_the_socket(errno) => {
                    self.dial.abandon(errno);
                    return None;
                }
                result => return self.connect_ended(result),
            }
        }
    }

    /// A TCP connect is over, one way or the other.
    fn connect_ended(&mut self, result: Result<(), Errno>) -> Option<Progress> {
        self.awaiting = Awaiting::Nothing;
        self.opened = result.is_ok();
        match result {
            Ok(()) if self.direct => Some(Progress::Finished(Ok(()))),
            Ok(()) => {
                self.dial.connected(sys::now());
                None
            }
            Err(errno) => self.connect_next(errno),
        }
    }

    /// Make the socket fit for a connect to `address`.
    fn prepare(&mut self, address: Reach) -> Result<SockAddr, Errno> {
        // Of the socket that was tried before, which may be another one.
        self.put_limit_back();
        let address = match self.spare_mapped(address) {
            Reach::Own(address) => {
                drop(self.take_fresh());
                if self.used {
                    sys::disconnect(self.own)?;
                }
                self.used = true;
                address
            }
            Reach::Fresh(family, address) => {
                let mut fresh = fresh::like(self.own, family)?;
                if self.mode == Mode::NonBlocking {
                    fresh = sys::RaisedLimit::as_it_is().raise(fresh);
                    sys::set_nonblocking(fresh.fd(), true)?;
                }
                self.announce(fresh.fd());
                self.fresh = Some(fresh);
                address
            }
        };
        Ok(address)
    }

    /// What takes another socket once the program's own was mapped; see [`Driver::mapped`].
    fn spare_mapped(&mut self, address: Reach) -> Reach {
        let Reach::Own(own) = address else {
            return address;
        };
        let Some(IpAddr::V6(ip)) = own.inet().map(|inet| inet.ip()) else {
            return address;
        };
        if ip.to_ipv4_mapped().is_some() {
            self.mapped = true;
            return address;
        }
        match self.mapped {
            true => Reach::Fresh(libc::AF_INET6, own),
            false => address,
        }
    }

    fn connect(&mut self, address: &SockAddr) -> Result<(), Errno> {
        let fd = self.fd();
        match self.connect_once(fd, address) {
            // What is left of a connect that failed before: the kernel tells once, and then starts afresh.
            Err(Errno::ECONNABORTED) => self.connect_once(fd, address),
            result => result,
        }
    }

    fn connect_once(&mut self, fd: Fd, address: &SockAddr) -> Result<(), Errno> {
        let Mode::Blocking(own_limit) = self.mode else {
            return sys::connect(fd, address);
        };
        // SO_SNDTIMEO rather than O_NONBLOCK and poll: one system call less.
        let left = self.dial.deadline().saturating_sub(sys::now());
        if own_limit.is_some_and(|own| own <= left) {
            return sys::connect(fd, address);
        }
        sys::set_send_timeout(fd, Some(left.max(Duration::from_millis(1))))?;
        let result = sys::connect(fd, address);
        if result.is_ok() {
            self.limited = Some(fd);
        } else {
            sys::set_send_timeout(fd, own_limit)?;
        }
        match result {
            // The time is over.
            Err(Errno::EINPROGRESS) => Err(Errno::ETIMEDOUT),
            result => result,
        }
    }
}

/// Errors of connect(2) that are about the program's socket and what it did with it before, not about the
/// proxy: another proxy would not help, and the socket must be left as it is.
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
