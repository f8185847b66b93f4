//! connect(2): from a program's call to a connection on its own socket.

#![forbid(unsafe_code)]

use crate::caller::{self, Caller};
use crate::held;
use crate::job::{is_nonblocking, AtFd, Engine, Job};
use crate::listener::{Call, Reply};
use crate::placeholder::Placeholder;
use crate::supervisor::{EndedAtStart, Supervisor, UntakenResult};
use std::net::SocketAddr;
use tailchain_core::dial::blocking::Blocking;
use tailchain_core::dial::driver::{Driver, Mode, Outcome};
use tailchain_core::dial::error_socket;
use tailchain_core::dial::Dial;
use tailchain_core::errno::Errno;
use tailchain_core::host::{Host, Target};
use tailchain_core::own_fds::{OwnFds, RegisteredFd};
use tailchain_core::route;
use tailchain_core::router::connect::{
    forget_association, is_tcp_or_unknown, kind_of, unconnectable_address, Decision, Kind,
};
use tailchain_core::sys::{self, Fd, OwnFd, SockAddr};

/// All fds here are the supervisor's own: no program code opens or closes any.
static OWN_FDS: OwnFds = OwnFds::new();

/// A socket of a program, and the thread it was borrowed from.
pub struct Borrowed {
    pub caller: Caller,
    pub fd: Fd,
    pub socket: OwnFd,
    pub cookie: u64,
}

/// The result of a connect that has ended, as the program gets it.
pub enum Taken {
    Back(Back),
    /// The program keeps its placeholder.
    Kept(Borrowed),
}

/// The program has its socket back.
pub struct Back {
    pub caller: Caller,
    pub cookie: u64,
    pub end: Result<(), Errno>,
}

impl Supervisor {
    /// Borrows the socket that a call refers to.
    pub fn borrow(&self, call: &Call) -> Result<Borrowed, Errno> {
        let fd = call.fd();
        let (caller, socket) = self.callers.borrow(call.thread, fd)?;
        let cookie = sys::cookie(socket.fd()).ok_or(Errno::ENOTSOCK)?;
        Ok(Borrowed {
            caller,
            fd,
            socket,
            cookie,
        })
    }

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

    /// A signal does not interrupt a non-blocking connect in the kernel, and the kernel restarts an interrupted
    /// blocking one. So a reply that a signal prevented is kept for the restarted call.
    fn answer_connect(&mut self, call: &Call, cookie: u64, reply: Reply) -> Reply {
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
            let job = new_job(call, of, dialled, engine, AtFd::Blocking);
            return Ok(self.start_blocking(job));
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
                let job = new_job(call, of, dialled, engine, AtFd::NonBlocking { is_go: true });
                Ok(self.start_nonblocking(call, job))
            }
            false => self.start_behind_placeholder(call, of, dialled, engine),
        }
    }

    /// Starts a job whose caller gets the result when it ends.
    fn start_blocking(&mut self, job: Job) -> Reply {
        match self.start(job) {
            Ok(_) => Reply::Later,
            Err(ended) => {
                self.finish_blocking(ended.job, ended.result);
                Reply::Later
            }
        }
    }

    /// Starts a job for Go, whose own socket stays under its fd.
    fn start_nonblocking(&mut self, call: &Call, job: Job) -> Reply {
        match self.start(job) {
            Ok(id) => self.in_progress(id, call),
            Err(ended) => {
                let EndedAtStart { job, result } = *ended;
                match (result, &job.replacement) {
                    (Err(errno), _) => {
                        forget_association(job.socket.fd(), errno);
                        Reply::Fail(errno)
                    }
                    (Ok(()), None) => Reply::Value(0),
                    (Ok(()), Some(_)) => match self.borrow(call) {
                        Ok(of) => self.put_back(call, &job, of).map(drop).into(),
                        Err(errno) => Reply::Fail(errno),
                    },
                }
            }
        }
    }

    /// Replies EINPROGRESS. If the call was interrupted, the next call replies it.
    fn in_progress(&mut self, id: u64, call: &Call) -> Reply {
        let result = Err(Errno::EINPROGRESS);
        let delivered = self.listener.answer(call.id, result.into());
        if let Some(job) = self.jobs.get_mut(&id) {
            job.in_progress_delivered = delivered;
            if delivered {
                self.lost.note_sent(call, job.cookie_under_fd(), result);
            }
        }
        Reply::Later
    }

    fn start_behind_placeholder(
        &mut self,
        call: &Call,
        of: Borrowed,
        dialled: SocketAddr,
        engine: Engine,
    ) -> Result<Reply, Errno> {
        let (placeholder, app_end) = Placeholder::new()?;
        let close_on_exec = caller::closes_on_exec(call.thread, of.fd);
        let (thread, fd) = (call.thread, of.fd);
        let process = of.caller.process();
        let found = self.registrations.take(thread, fd, of.socket.fd());
        let installed = self
            .listener
            .install(call.id, app_end.fd(), fd, close_on_exec);
        if let Err(errno) = installed {
            self.registrations.put(thread, fd, &found);
            // ENOENT: the call was interrupted, and will be restarted.
            return match errno {
                Errno::ENOENT => Ok(Reply::Later),
                errno => Err(errno),
            };
        }
        self.registrations.put(thread, fd, &found);
        if self.any_duplicates {
            self.replace_duplicates(call, of.socket.fd(), app_end.fd());
        }
        drop(app_end);
        let (cookie, wake) = (placeholder.cookie, placeholder.wake_fd());
        let mut job = new_job(call, of, dialled, engine, AtFd::Placeholder(placeholder));
        job.thread = process;
        match self.start(job) {
            Ok(id) => {
                if let Some(wake) = wake {
                    self.watch_placeholder(id, cookie, wake);
                }
                Ok(self.in_progress(id, call))
            }
            Err(ended) => {
                let EndedAtStart { job, result } = *ended;
                if let Err(errno) = result {
                    forget_association(job.socket.fd(), errno);
                }
                let of = self.borrow(call)?;
                self.put_back(call, &job, of)?;
                Ok(result.into())
            }
        }
    }

    /// Installs the same placeholder under the other fds of a socket. If a signal interrupts this, the restarted call
    /// completes it.
    fn replace_duplicates(&mut self, call: &Call, socket: Fd, app_end: Fd) {
        let Ok(file) = sys::file_id(socket) else {
            return;
        };
        for dup in held::fds_of(call.thread, file) {
            let found = self.registrations.take(call.thread, dup, socket);
            let close_on_exec = caller::closes_on_exec(call.thread, dup);
            let _ = self.listener.install(call.id, app_end, dup, close_on_exec);
            self.registrations.put(call.thread, dup, &found);
        }
    }

    /// Puts the socket back under each fd of the program that refers to its placeholder, with the flags that the
    /// program has set meanwhile. The supervisor must not hold the program's end any longer than this call, or the end
    /// of the last reference would go unnoticed.
    fn put_back(&mut self, call: &Call, job: &Job, of: Borrowed) -> Result<Caller, Errno> {
        let Borrowed {
            caller, fd, socket, ..
        } = of;
        self.put_back_one(call, job, fd, socket)?;
        if let AtFd::Placeholder(placeholder) = &job.at_fd {
            if self.any_duplicates {
                for dup in held::fds_of(call.thread, placeholder.file) {
                    if let Ok(file) = caller.borrow(dup) {
                        let _ = self.put_back_one(call, job, dup, file);
                    }
                }
            }
        }
        Ok(caller)
    }

    /// `now` is the file under `fd`.
    fn put_back_one(&mut self, call: &Call, job: &Job, fd: Fd, now: OwnFd) -> Result<(), Errno> {
        let socket = job.final_socket();
        sys::set_nonblocking(socket, is_nonblocking(now.fd()))?;
        let found = self.registrations.take(call.thread, fd, now.fd());
        drop(now);
        let close_on_exec = caller::closes_on_exec(call.thread, fd);
        let installed = self.listener.install(call.id, socket, fd, close_on_exec);
        self.registrations.put(call.thread, fd, &found);
        installed
    }

    /// A connect of a socket whose earlier connect is pending, or has a result that was not taken yet.
    fn connect_again(&mut self, id: u64, call: &Call, of: Borrowed, address: &SockAddr) -> Reply {
        let Some(job) = self.jobs.get_mut(&id) else {
            return Reply::Fail(Errno::EIO);
        };
        if address.family() == libc::AF_UNSPEC {
            return self.dissolve(id, call, of);
        }
        if job.end.is_some() {
            return self.connect_ended(id, call, of);
        }
        if is_nonblocking(of.socket.fd()) {
            // A signal may have prevented the first reply.
            if job.in_progress_delivered {
                return Reply::Fail(Errno::EALREADY);
            }
            let socket = job.socket.fd();
            if self.any_duplicates && of.cookie != job.cookie {
                self.replace_duplicates(call, socket, of.socket.fd());
            }
            return self.in_progress(id, call);
        }
        if !job.waiters.is_empty() || !matches!(job.at_fd, AtFd::Blocking) {
            // The supervisor keeps no timer for a further wait.
            if sys::send_timeout(job.socket.fd()) != Ok(None) {
                return Reply::Fail(Errno::EALREADY);
            }
        }
        job.waiters.push(*call);
        Reply::Later
    }

    fn connect_ended(&mut self, id: u64, call: &Call, of: Borrowed) -> Reply {
        let fd = of.fd;
        let is_aborted = self.jobs.get(&id).is_some_and(|job| job.is_aborted);
        match self.take_end(id, call, of) {
            Ok(Taken::Back(Back {
                caller,
                end: Ok(()),
                cookie,
            })) => {
                if let Ok(socket) = caller.borrow(fd) {
                    // Takes the kernel's own result, which it reports to one connect(2); the next returns EISCONN.
                    let _ = sys::connect(socket.fd(), &unconnectable_address());
                }
                self.answer_connect(call, cookie, Reply::Value(0))
            }
            // The kernel clears the state that shutdown(2) has left, and the connect starts anew.
            Ok(Taken::Back(_)) if is_aborted => self.connect(call),
            Ok(Taken::Back(Back { cookie, end, .. })) => {
                if !self.listener.answer(call.id, end.into()) {
                    self.store_result(cookie, end, false);
                }
                Reply::Later
            }
            Ok(Taken::Kept(..)) => self.jobs.get(&id).map_or(Reply::Fail(Errno::EIO), |job| {
                sys::connect(job.final_socket(), &unconnectable_address()).into()
            }),
            Err(reply) => reply,
        }
    }

    /// Takes the result of a job whose caller did not wait, and puts the socket back under its fd.
    ///
    /// # Errors
    /// The reply to the call, if that is not possible.
    pub fn take_end(&mut self, id: u64, call: &Call, of: Borrowed) -> Result<Taken, Reply> {
        if !self.is_to_be_put_back(id, call, &of) {
            return Ok(Taken::Kept(of));
        }
        let Some(mut job) = self.remove(id) else {
            return Err(Reply::Fail(Errno::EIO));
        };
        let end = job.end.unwrap_or(Err(Errno::EIO));
        if let Err(errno) = end {
            forget_association(job.socket.fd(), errno);
        }
        let cookie = match &job.replacement {
            Some(replacement) => sys::cookie(replacement.fd()).unwrap_or(job.cookie),
            None => job.cookie,
        };
        let back = |caller| {
            Taken::Back(Back {
                caller,
                cookie,
                end,
            })
        };
        if !matches!(job.at_fd, AtFd::Placeholder(_)) && job.replacement.is_none() {
            return Ok(back(of.caller));
        }
        match self.put_back(call, &job, of) {
            Ok(caller) => {
                self.leave_to_others(id, job);
                Ok(back(caller))
            }
            // Interrupted: the call is restarted, and finds everything as before.
            Err(Errno::ENOENT) => {
                if let Some(placeholder) = job.placeholder() {
                    placeholder.go_on();
                }
                self.keep(id, job);
                self.relay_soon(id);
                Err(Reply::Later)
            }
            Err(errno) => Err(Reply::Fail(errno)),
        }
    }

    /// Whether to put the socket back. A program that has used its placeholder keeps it while data is in transit, or
    /// while a thread may sleep in a read(2) of it.
    fn is_to_be_put_back(&mut self, id: u64, call: &Call, of: &Borrowed) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else {
            return true;
        };
        let socket = job.final_socket();
        if job.end != Some(Ok(())) {
            return true;
        }
        let Some(placeholder) = job.placeholder() else {
            return true;
        };
        let sleeps = !is_nonblocking(of.socket.fd()) && caller::has_threads(call.thread);
        !sleeps && placeholder.settle(of.socket.fd(), socket)
    }

    /// Keeps a job for forked children, which may have copies of the placeholder, and for threads that may sleep in
    /// poll(2) on it. The connection is not closed before they are done.
    fn leave_to_others(&mut self, id: u64, job: Job) {
        let AtFd::Placeholder(placeholder) = &job.at_fd else {
            return;
        };
        // If this call has the last reference, the loop is notified when the call returns.
        if let Some(Err(errno)) = job.end {
            return self.leave_failed(placeholder.cookie, errno);
        }
        self.by_cookie.insert(placeholder.cookie, id);
        self.jobs.insert(id, job);
        self.relay_soon(id);
    }

    fn keep(&mut self, id: u64, job: Job) {
        self.by_cookie.insert(job.cookie, id);
        if let AtFd::Placeholder(placeholder) = &job.at_fd {
            self.by_cookie.insert(placeholder.cookie, id);
        }
        self.jobs.insert(id, job);
    }

    fn dissolve(&mut self, id: u64, call: &Call, of: Borrowed) -> Reply {
        let Some(mut job) = self.remove(id) else {
            return Reply::Fail(Errno::EIO);
        };
        for waiter in job.waiters.drain(..) {
            self.listener
                .answer(waiter.id, Reply::Fail(Errno::ECONNABORTED));
        }
        job.replacement = None;
        let _ = sys::disconnect(job.socket.fd());
        match job.at_fd {
            AtFd::Placeholder(_) => self.put_back(call, &job, of).map(drop).into(),
            _ => Reply::Value(0),
        }
    }

    /// Ends a job with a result.
    pub fn finish(&mut self, id: u64, outcome: Outcome) {
        let Some(mut job) = self.remove(id) else {
            return;
        };
        let result = job.take_outcome(outcome);
        match &mut job.at_fd {
            AtFd::Blocking => self.finish_blocking(job, result),
            AtFd::NonBlocking { .. } => self.finish_nonblocking(id, job, result),
            AtFd::Placeholder(placeholder) => {
                match result {
                    Ok(()) => placeholder.signal_success(),
                    Err(_) => placeholder.signal_failure(),
                }
                if let Err(errno) = result {
                    forget_association(job.socket.fd(), errno);
                }
                job.end = Some(result);
                self.keep(id, job);
                if result.is_ok() {
                    self.relay_soon(id);
                }
            }
        }
    }

    fn finish_nonblocking(&mut self, id: u64, mut job: Job, result: Result<(), Errno>) {
        match result {
            Ok(()) if job.replacement.is_none() => {}
            Ok(()) => {
                // Wakes a program that waits on its own socket.
                error_socket::make(job.socket.fd());
                job.end = Some(result);
                self.keep(id, job);
            }
            Err(errno) => {
                let is_left_on_socket = error_socket::make(job.socket.fd());
                if !is_left_on_socket || errno != Errno::ECONNREFUSED {
                    self.store_result(job.cookie, result, false);
                }
            }
        }
    }

    fn finish_blocking(&mut self, mut job: Job, result: Result<(), Errno>) {
        let mut cookie = job.cookie;
        let result = match (result, job.replacement.take()) {
            (Ok(()), Some(replacement)) => {
                cookie = sys::cookie(replacement.fd()).unwrap_or(cookie);
                self.replace(&mut job, replacement)
            }
            (Ok(()), None) => {
                // Takes the kernel's own result, which it reports to one connect(2).
                let _ = sys::connect(job.socket.fd(), &unconnectable_address());
                Ok(())
            }
            (Err(errno), _) => {
                forget_association(job.socket.fd(), errno);
                Err(errno)
            }
        };
        let mut reply = Reply::from(result);
        let mut is_told = false;
        for waiter in job.waiters.drain(..) {
            if self.listener.answer(waiter.id, reply) {
                is_told = true;
                if reply == Reply::Value(0) {
                    self.lost.note_sent(&waiter, cookie, Ok(()));
                    // A second thread that waited for the same socket.
                    reply = Reply::Fail(Errno::EISCONN);
                }
            }
        }
        if !is_told {
            // Interrupted: the call will be restarted.
            self.store_result(job.cookie, result, false);
        }
    }

    /// Installs another socket in place of the program's.
    fn replace(&mut self, job: &mut Job, replacement: RegisteredFd) -> Result<(), Errno> {
        let nonblocking = is_nonblocking(job.socket.fd());
        sys::set_nonblocking(replacement.fd(), nonblocking)?;
        let is_installed = job.waiters.iter().any(|waiter| {
            self.listener
                .install(
                    waiter.id,
                    replacement.fd(),
                    waiter.fd(),
                    caller::closes_on_exec(waiter.thread, waiter.fd()),
                )
                .is_ok()
        });
        is_installed.then_some(()).ok_or(Errno::ECONNABORTED)
    }
}

fn new_job(call: &Call, of: Borrowed, dialled: SocketAddr, engine: Engine, at_fd: AtFd) -> Job {
    let waiters = match at_fd {
        AtFd::Blocking => vec![*call],
        _ => Vec::new(),
    };
    Job {
        socket: of.socket,
        cookie: of.cookie,
        dialled,
        engine,
        at_fd,
        waiters,
        is_delayed: false,
        in_progress_delivered: false,
        deadline: crate::job::NEVER,
        watched: None,
        end: None,
        is_aborted: false,
        replacement: None,
        thread: call.thread,
        fd: of.fd,
        began: sys::now(),
    }
}

/// The kernel checks the address before the type of the fd.
fn not_a_socket(call: &Call) -> Reply {
    let address = Caller::open(call.thread)
        .and_then(|caller| caller.read_address(call.pointer(1), call.argument(2)));
    Reply::Fail(address.err().unwrap_or(Errno::ENOTSOCK))
}

/// Whether it is an internet socket. True if getsockopt(2) is not permitted.
fn is_internet(socket: Fd) -> bool {
    match sys::get_option::<i32>(socket, libc::SOL_SOCKET, libc::SO_DOMAIN) {
        Ok(domain) => matches!(domain, libc::AF_INET | libc::AF_INET6),
        Err(_) => true,
    }
}
