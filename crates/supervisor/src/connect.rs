//! connect(2): from a program's call to the route that the router decides.

#![forbid(unsafe_code)]

use crate::borrowed::{is_internet, Borrowed};
use crate::caller::Caller;
use crate::job::{is_nonblocking, AtFd, Engine};
use crate::listener::{Call, Reply};
use crate::start_connect::new_job;
use crate::supervisor::{Supervisor, UntakenResult, OWN_FDS};
use std::net::SocketAddr;
use tailchain_core::dial::blocking::Blocking;
use tailchain_core::dial::driver::{Driver, Mode};
use tailchain_core::dial::Dial;
use tailchain_core::errno::Errno;
use tailchain_core::host::{Host, Target};
use tailchain_core::route;
use tailchain_core::router::connect::{
    forget_association, is_tcp_or_unknown, kind_of, unconnectable_address, Decision, Kind,
};
use tailchain_core::sys::{self, SockAddr};

impl Supervisor {
    pub fn connect(&mut self, call: &Call) -> Reply {
        let of = match self.borrow(call) {
            Ok(of) => of,
            Err(Errno::ENOTSOCK) => return not_a_socket(call),
            Err(errno) => return Reply::Fail(errno),
        };
        let cookie = of.cookie;
        let reply = match self.lost.take_undelivered(call, cookie) {
            Some(reply) => reply,
            None => self.connect_socket(call, of),
        };
        if let Some(lost) = self.lost.take_lost(call, cookie, reply) {
            if !self.listener.answer(call.id, lost) {
                self.lost.note_undelivered(call, cookie, lost);
            }
            return Reply::Later;
        }
        self.answer_connect(call, cookie, reply)
    }

    fn connect_socket(&mut self, call: &Call, of: Borrowed) -> Reply {
        let known = self.by_cookie.get(&of.cookie).copied();
        if known.is_none() && !is_internet(of.socket.fd()) {
            return Reply::Pass;
        }
        let address = of
            .caller
            .read_address(call.pointer(1), call.argument(2))
            .and_then(|address| match address.as_bytes().len() >= 2 {
                true => Ok(address),
                false => Err(Errno::EINVAL),
            });
        if !self.listener.is_waiting(call.id) {
            return Reply::Later;
        }
        let address = match address {
            Ok(address) => address,
            Err(errno) => return Reply::Fail(errno),
        };
        match known {
            Some(id) => self.connect_again(id, call, of, &address),
            None if !is_tcp_or_unknown(of.socket.fd()) => self.connect_datagram(call, of, &address),
            None => self.connect_tcp(call, of, &address),
        }
    }

    fn connect_tcp(&mut self, call: &Call, of: Borrowed, address: &SockAddr) -> Reply {
        let untaken = self.untaken.remove(&of.cookie);
        if address.family() == libc::AF_UNSPEC {
            return sys::connect(of.socket.fd(), address).into();
        }
        match untaken {
            // The call was interrupted and restarted, or this is a second connect.
            Some(UntakenResult { result: Ok(()), .. }) => return Reply::Value(0),
            Some(UntakenResult {
                result: Err(errno),
                by_program: false,
            }) => {
                forget_association(of.socket.fd(), errno);
                if !self.listener.answer(call.id, Reply::Fail(errno)) {
                    self.store_result(of.cookie, Err(errno), false);
                }
                return Reply::Later;
            }
            _ => {}
        }
        let Some(dialled) = address.inet() else {
            // Let the kernel reject it.
            return self.connect_directly(call, of, *address, None);
        };
        let kind = kind_of(of.socket.fd());
        let length = address.as_bytes().len() as libc::socklen_t;
        match self.router.decide(of.socket.fd(), kind, dialled, length) {
            // The socket would send DNS queries that bypass the name table.
            Decision::Real | Decision::Dnat(_) if self.answerer.is_for(dialled) => {
                self.connect_resolver(call, of, dialled)
            }
            Decision::Tunnel(
                dialled,
                Target {
                    host: Host::Ip(_), ..
                },
            ) if self.answerer.is_for(dialled) => self.connect_resolver(call, of, dialled),
            Decision::Real => self.connect_directly(call, of, *address, Some(dialled)),
            Decision::Dnat(to) => self.connect_directly(call, of, to, Some(dialled)),
            Decision::Refused(errno) | Decision::Fails(errno) => Reply::Fail(errno),
            Decision::InUse => sys::connect(of.socket.fd(), &unconnectable_address()).into(),
            Decision::Tunnel(dialled, target) => self
                .connect_through(call, of, dialled, target)
                .unwrap_or_else(Reply::Fail),
        }
    }

    /// DNS over TCP goes to the answerer.
    fn connect_resolver(&mut self, call: &Call, of: Borrowed, server: SocketAddr) -> Reply {
        match self.answerer.stream_for(server) {
            Ok(address) => self.connect_directly(call, of, address, Some(server)),
            Err(_) => Reply::Fail(route::RAW_DNS_ERROR),
        }
    }

    /// Makes the kernel's connect in the supervisor, so that the address cannot change any more.
    fn connect_directly(
        &mut self,
        call: &Call,
        of: Borrowed,
        address: SockAddr,
        dialled: Option<SocketAddr>,
    ) -> Reply {
        let socket = of.socket.fd();
        let blocks = !is_nonblocking(socket);
        if !blocks || kind_of(socket) == Kind::NotTcp {
            return sys::connect(socket, &address).into();
        }
        let flags = match sys::status_flags(socket) {
            Ok(flags) => flags,
            Err(errno) => return Reply::Fail(errno),
        };
        let begun = sys::set_status_flags(socket, flags | libc::O_NONBLOCK)
            .and_then(|()| sys::connect(socket, &address));
        let _ = sys::set_status_flags(socket, flags);
        let (Err(Errno::EINPROGRESS | Errno::EALREADY), Some(dialled)) = (begun, dialled) else {
            return begun.into();
        };
        let now = sys::now();
        let limit = sys::send_timeout(socket).unwrap_or(None);
        let engine = Engine::Kernel {
            until: limit.map(|limit| now + limit),
        };
        let job = new_job(call, of, dialled, engine, AtFd::Blocking);
        self.start_blocking(job)
    }

    fn connect_through(
        &mut self,
        call: &Call,
        of: Borrowed,
        dialled: SocketAddr,
        target: Target,
    ) -> Result<Reply, Errno> {
        let (socket, now) = (of.socket.fd(), sys::now());
        let flags = sys::status_flags(socket)?;
        let family = self.router.family(socket, dialled)?;
        let seed = self.router.chain_seed();
        let dial = Dial::new(&self.router.config, target, seed, self.router, now);
        if flags & libc::O_NONBLOCK == 0 {
            let driver = Driver::new(
                dial,
                socket,
                family,
                Mode::Blocking(flags),
                self.proxy_names,
                &OWN_FDS,
            );
            let engine = Engine::Blocking(Box::new(Blocking::new(driver, socket, now)));
            return self.start_behind_placeholder(call, of, dialled, engine);
        }
        let is_go = self.programs.is_go(call.thread);
        // Behind a placeholder the state of the socket is not visible.
        let mode = match is_go {
            true => Mode::NonBlocking,
            false => Mode::Waiting,
        };
        let driver = Driver::new(dial, socket, family, mode, self.proxy_names, &OWN_FDS);
        let engine = Engine::Background(Box::new(driver));
        match is_go {
            true => {
                let job = new_job(call, of, dialled, engine, AtFd::NonBlocking);
                Ok(self.start_nonblocking(call, job))
            }
            false => self.start_behind_placeholder(call, of, dialled, engine),
        }
    }

    /// A signal does not interrupt a non-blocking connect in the kernel, and the kernel restarts an interrupted
    /// blocking one. So a reply that a signal prevented is kept for the restarted call.
    pub fn answer_connect(&mut self, call: &Call, cookie: u64, reply: Reply) -> Reply {
        let result = match reply {
            Reply::Value(_) => Ok(()),
            Reply::Fail(Errno::EINPROGRESS) => Err(Errno::EINPROGRESS),
            reply => return reply,
        };
        match self.listener.answer(call.id, reply) {
            true => self.lost.note_sent(call, cookie, result),
            false => self.lost.note_undelivered(call, cookie, reply),
        }
        Reply::Later
    }
}

/// The kernel checks the address before the type of the fd.
fn not_a_socket(call: &Call) -> Reply {
    let address = Caller::open(call.thread)
        .and_then(|caller| caller.read_address(call.pointer(1), call.argument(2)));
    Reply::Fail(address.err().unwrap_or(Errno::ENOTSOCK))
}
