//! The event loop: calls of the programs, and the connects in progress.

#![forbid(unsafe_code)]

use crate::answerer::Answerer;
use crate::caller::{self, Callers, Programs};
use crate::job::{Job, JobState};
use crate::listener::{Call, Listener, Reply};
use crate::lost_replies::LostReplies;
use crate::proxy_names::ProxyNames;
use crate::registrations::Registrations;
use crate::relay::Flow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;
use tailchain_core::dial::driver::Outcome;
use tailchain_core::errno::Errno;
use tailchain_core::router::Router;
use tailchain_core::sys::{self, Fd, OwnFd};

/// How many events to take at once.
const BATCH: usize = 64;

/// How often to check whether programs still hold the sockets that are being connected.
const LOOK: Duration = Duration::from_millis(500);

/// The events of a relay. Edge-triggered: data that is ready but cannot be moved causes no further event.
const ALL: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;

/// SO_SNDBUF for a program that writes to its placeholder.
const ROOM: i32 = 128 * 1024;

/// The subject of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Listener,
    /// The DNS server.
    Answerer,
    /// The pidfd of the program that was started.
    Program,
    /// A finished lookup of a proxy's name.
    ProxyNames,
    /// The socket of a job.
    Socket(u64),
    /// The wake end of its placeholder.
    Placeholder(u64),
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Token::Listener => 0,
            Token::Answerer => 4,
            Token::Program => 8,
            Token::ProxyNames => 12,
            Token::Socket(id) => id << 2 | 1,
            Token::Placeholder(id) => id << 2 | 2,
        }
    }

    fn unpack(word: u64) -> Token {
        match (word & 3, word) {
            (1, _) => Token::Socket(word >> 2),
            (2, _) => Token::Placeholder(word >> 2),
            (_, 4) => Token::Answerer,
            (_, 8) => Token::Program,
            (_, 12) => Token::ProxyNames,
            _ => Token::Listener,
        }
    }
}

pub struct Supervisor {
    pub router: &'static Router,
    pub listener: Listener,
    pub answerer: Answerer,
    pub programs: Programs,
    pub callers: Callers,
    pub registrations: Registrations,
    pub proxy_names: &'static ProxyNames,
    pub jobs: BTreeMap<u64, Job>,
    /// Jobs by the SO_COOKIE of their socket and of their placeholder.
    pub by_cookie: HashMap<u64, u64>,
    /// Results of connects that were not taken yet, by SO_COOKIE.
    pub untaken: HashMap<u64, UntakenResult>,
    pub lost: LostReplies,
    /// Placeholders of failed connects, by SO_COOKIE: forked children may have copies.
    pub failed: HashMap<u64, Errno>,
    pub failed_until: Duration,
    /// Whether a socket was ever duplicated that was then connected, or was connecting.
    pub any_duplicates: bool,
    deadlines: BTreeSet<(Duration, u64)>,
    next_job: u64,
    epoll: OwnFd,
    /// pidfd of the program that was started.
    program: OwnFd,
    next_look: Duration,
}

/// A job that ended as soon as it was started.
pub struct EndedAtStart {
    pub job: Job,
    pub result: Result<(), Errno>,
}

impl EndedAtStart {
    fn new(mut job: Job, outcome: Outcome) -> Box<EndedAtStart> {
        let result = job.take_outcome(outcome);
        Box::new(EndedAtStart { job, result })
    }
}

/// How long SO_ERROR of a placeholder's copy reports the failed connect. Afterwards reads and writes still fail.
const FAILED: Duration = Duration::from_secs(60);

/// The result of a connect.
#[derive(Clone, Copy, Debug)]
pub struct UntakenResult {
    pub result: Result<(), Errno>,
    /// Caused by shutdown(2): SO_ERROR reports it, but the next connect(2) ignores it and starts anew.
    pub by_program: bool,
}

/// More results than ever wait to be taken.
const MAX_UNTAKEN: usize = 4096;

impl Supervisor {
    pub fn new(
        router: &'static Router,
        listener: Listener,
        program: OwnFd,
    ) -> Result<Supervisor, Errno> {
        let epoll = sys::epoll()?;
        let answerer = Answerer::new(router)?;
        let proxy_names = ProxyNames::new(&router.config)?;
        // Start the lookups before the first connect needs the addresses.
        proxy_names.are_known();
        let input = libc::EPOLLIN as u32;
        for (fd, token) in [
            (listener.fd(), Token::Listener),
            (answerer.epoll(), Token::Answerer),
            (program.fd(), Token::Program),
            (proxy_names.event(), Token::ProxyNames),
        ] {
            sys::epoll_set(epoll.fd(), libc::EPOLL_CTL_ADD, fd, input, token.pack())?;
        }
        Ok(Supervisor {
            router,
            listener,
            answerer,
            programs: Programs::default(),
            callers: Callers::default(),
            registrations: Registrations::default(),
            proxy_names,
            jobs: BTreeMap::new(),
            by_cookie: HashMap::new(),
            untaken: HashMap::new(),
            lost: LostReplies::default(),
            failed: HashMap::new(),
            failed_until: Duration::ZERO,
            any_duplicates: false,
            deadlines: BTreeSet::new(),
            next_job: 1,
            epoll,
            program,
            next_look: Duration::ZERO,
        })
    }

    /// Runs until the last process that has the filter has ended.
    pub fn run(mut self) {
        while self.turn() {}
    }

    fn turn(&mut self) -> bool {
        let mut next = self.deadlines.first().map(|(deadline, _)| *deadline);
        if !self.jobs.is_empty() {
            next = Some(next.map_or(self.next_look, |next| next.min(self.next_look)));
        }
        if let Some(answerer) = self.answerer.deadline() {
            next = Some(next.map_or(answerer, |next| next.min(answerer)));
        }
        let timeout = next.map(|next| next.saturating_sub(sys::now()));
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let ready = match sys::epoll_wait(self.epoll.fd(), &mut events, timeout) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(_) => return false,
        };
        for event in events.iter().take(ready) {
            let token = Token::unpack(event.u64);
            if token == Token::Listener && event.events & libc::EPOLLIN as u32 == 0 {
                // EPOLLHUP: no process has the filter any more.
                return false;
            }
            let handled = catch_unwind(AssertUnwindSafe(|| self.event(token)));
            if handled.is_err() {
                self.router.log.message("bug in tailchain, a call fails");
            }
        }
        self.timers();
        true
    }

    fn timers(&mut self) {
        let now = sys::now();
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.remove(&(deadline, id));
            match self.has_ended(id) {
                true => self.begin_relay(id),
                false => self.step(id, Job::expired),
            }
        }
        self.answerer.expire(now);
        if !self.jobs.is_empty() && self.next_look <= now {
            self.next_look = now + LOOK;
            self.drop_unwanted(now);
        }
    }

    fn event(&mut self, token: Token) {
        match token {
            Token::Listener => self.call(),
            Token::Answerer => self.answerer.on_ready(),
            Token::Program => {
                // A parent that waits for end-of-file on its stderr need not wait for background processes of the
                // program.
                crate::sys::silence(libc::STDERR_FILENO);
                let _ = sys::epoll_remove(self.epoll.fd(), self.program.fd());
            }
            Token::ProxyNames => {
                self.proxy_names.clear_event();
                self.begin_delayed();
            }
            Token::Socket(id) if self.has_ended(id) => self.relay(id),
            Token::Socket(id) => self.step(id, Job::on_ready),
            Token::Placeholder(id) if self.has_ended(id) => self.relay(id),
            // No fd refers to the placeholder any more.
            Token::Placeholder(id) => drop(self.remove(id)),
        }
    }

    fn has_ended(&self, id: u64) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.end.is_some())
    }

    /// Schedules a relay: the tunnel is established and the program was woken. A program that asks for the result gets
    /// its socket back first; any other one is served on the placeholder.
    pub fn relay_soon(&mut self, id: u64) {
        const MOMENT: Duration = Duration::from_millis(1);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.deadline = sys::now() + MOMENT;
            self.deadlines.insert((job.deadline, id));
        }
    }

    /// Starts to move data between a placeholder and its socket.
    pub fn begin_relay(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let socket = job.final_socket();
        let Some(wake) = job
            .placeholder()
            .and_then(|placeholder| placeholder.wake_fd())
        else {
            return;
        };
        if job
            .placeholder()
            .is_some_and(|placeholder| placeholder.is_left())
            && caller::has_threads(job.thread)
        {
            // A thread may sleep on the placeholder.
            if let Some(placeholder) = job.placeholder() {
                placeholder.wake_readers();
            }
        }
        let watched = job.watched.replace(socket);
        if let Some(other) = watched.filter(|other| *other != socket) {
            let _ = sys::epoll_remove(self.epoll.fd(), other);
        }
        // The placeholder's small buffer is full; give the program a larger one.
        if let Ok(program) = job.program_end() {
            let _ = sys::set_option(program.fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, &ROOM);
        }
        self.watch(socket, ALL, Token::Socket(id), true);
        self.watch(wake, ALL, Token::Placeholder(id), false);
    }

    fn relay(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let socket = job.final_socket();
        let Some(placeholder) = job.placeholder() else {
            return;
        };
        match placeholder.relay(socket) {
            Flow::Wait => {}
            // The edge-triggered events are reported again.
            Flow::Continue => self.watch(socket, ALL, Token::Socket(id), false),
            Flow::Done => drop(self.remove(id)),
            Flow::Reset => {
                let program = job.program_end();
                if let (Ok(program), Some(placeholder)) = (program, job.placeholder()) {
                    placeholder.signal_reset(program.fd());
                }
            }
        }
    }

    fn call(&mut self) {
        let Ok(call) = self.listener.next() else {
            return;
        };
        let handled = catch_unwind(AssertUnwindSafe(|| self.handle(&call)));
        let reply = handled.unwrap_or_else(|_| {
            self.router.log.message("bug in tailchain, a call fails");
            Reply::Fail(Errno::EIO)
        });
        self.listener.answer(call.id, reply);
    }

    fn handle(&mut self, call: &Call) -> Reply {
        match call.number {
            libc::SYS_connect => self.connect(call),
            libc::SYS_getsockopt => self.get_option(call),
            libc::SYS_setsockopt => self.set_option(call),
            libc::SYS_getpeername => self.peer_name(call),
            libc::SYS_getsockname => self.local_name(call),
            libc::SYS_shutdown => self.shut_down(call),
            libc::SYS_fcntl if call.argument(1) == libc::F_SETFL => self.set_flags(call),
            libc::SYS_fcntl | libc::SYS_dup | libc::SYS_dup3 => self.duplicate(call),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_dup2 => self.duplicate(call),
            libc::SYS_ioctl => self.control(call),
            libc::SYS_sendto => self.send_to(call),
            libc::SYS_recvfrom => self.receive_from(call),
            libc::SYS_recvmsg => self.receive_message(call),
            libc::SYS_sendmsg => self.send_message(call),
            libc::SYS_sendmmsg => self.send_messages(call),
            libc::SYS_epoll_create1 => self.epoll_is_made(),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_create => self.epoll_is_made(),
            _ => Reply::Fail(Errno::ENOSYS),
        }
    }

    fn epoll_is_made(&mut self) -> Reply {
        self.registrations.epoll_is_made();
        Reply::Pass
    }

    /// Starts a job.
    pub fn start(&mut self, mut job: Job) -> Result<u64, Box<EndedAtStart>> {
        job.is_delayed = job.driver().is_some() && !self.proxy_names.are_known();
        let mut state = match job.is_delayed {
            true => JobState::DELAYED,
            false => job.advance(),
        };
        while let JobState::Opened(socket) = state {
            let _ = self.router.remember_peer(socket, job.dialled);
            state = job.advance();
        }
        let state = match state {
            JobState::Finished(outcome) => return Err(EndedAtStart::new(job, outcome)),
            JobState::TimedOut => {
                return Err(EndedAtStart::new(job, Errno::EINPROGRESS.into()));
            }
            state => state,
        };
        let id = self.next_job;
        self.next_job += 1;
        if self.jobs.is_empty() {
            self.next_look = sys::now() + LOOK;
        }
        self.by_cookie.insert(job.cookie, id);
        self.jobs.insert(id, job);
        self.settle(id, state);
        Ok(id)
    }

    /// Starts the jobs that waited for the addresses of the proxies.
    fn begin_delayed(&mut self) {
        let delayed = self.jobs.iter().filter(|(_, job)| job.is_delayed);
        let delayed: Vec<u64> = delayed.map(|(id, _)| *id).collect();
        if delayed.is_empty() || !self.proxy_names.are_known() {
            return;
        }
        for id in delayed {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.is_delayed = false;
            }
            self.step(id, Job::advance);
        }
    }

    /// Watches the placeholder of a job.
    pub fn watch_placeholder(&mut self, id: u64, cookie: u64, wake: Fd) {
        self.by_cookie.insert(cookie, id);
        let _ = sys::epoll_set(
            self.epoll.fd(),
            libc::EPOLL_CTL_ADD,
            wake,
            0,
            Token::Placeholder(id).pack(),
        );
    }

    /// Lets a job take a step.
    pub fn step(&mut self, id: u64, how: impl FnOnce(&mut Job) -> JobState) {
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        self.deadlines.remove(&(job.deadline, id));
        let state = how(&mut job);
        if let JobState::Opened(socket) = state {
            let _ = self.router.remember_peer(socket, job.dialled);
        }
        self.jobs.insert(id, job);
        self.settle(id, state);
    }

    fn settle(&mut self, id: u64, state: JobState) {
        match state {
            JobState::Wait {
                fd,
                events,
                deadline,
            } => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.deadline = deadline;
                    self.deadlines.insert((deadline, id));
                    let watched = (events != 0).then_some(fd);
                    let is_new = job.watched != watched;
                    if is_new {
                        if let Some(before) = job.watched {
                            let _ = sys::epoll_remove(self.epoll.fd(), before);
                        }
                        job.watched = watched;
                    }
                    if events != 0 {
                        let events = events as u32 | libc::EPOLLONESHOT as u32;
                        self.watch(fd, events, Token::Socket(id), is_new);
                    }
                }
            }
            JobState::Opened(_) => self.step(id, Job::advance),
            JobState::TimedOut => self.on_caller_timeout(id),
            JobState::Finished(outcome) => self.finish(id, outcome),
        }
    }

    /// `is_new`: the fd is not watched yet, as far as is known.
    fn watch(&self, fd: Fd, events: u32, token: Token, is_new: bool) {
        let set = |operation| sys::epoll_set(self.epoll.fd(), operation, fd, events, token.pack());
        let (first, other) = match is_new {
            true => (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD),
            false => (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD),
        };
        if matches!(set(first), Err(Errno::ENOENT | Errno::EEXIST)) {
            let _ = set(other);
        }
    }

    /// The caller's timeout has expired: its call returns, and further connect(2) calls return EALREADY.
    fn on_caller_timeout(&mut self, id: u64) {
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        let result = Err(Errno::EINPROGRESS);
        for waiter in job.waiters.drain(..) {
            if self.listener.answer(waiter.id, result.into()) {
                self.lost.note_sent(&waiter, job.cookie, result);
            }
        }
        job.in_progress_delivered = true;
        let is_kernels = matches!(job.engine, crate::job::Engine::Kernel { .. });
        self.jobs.insert(id, job);
        if is_kernels {
            // The kernel's connect continues by itself.
            drop(self.remove(id));
            return;
        }
        if let Some(job) = self.jobs.remove(&id) {
            let mut job = job.into_background();
            let waiting = job.driver().map(|driver| driver.waiting());
            self.jobs.insert(id, job);
            if let Some(wait) = waiting {
                self.settle(id, wait.into());
            }
        }
    }

    /// Removes a job from all tables.
    pub fn remove(&mut self, id: u64) -> Option<Job> {
        let mut job = self.jobs.remove(&id)?;
        self.deadlines.remove(&(job.deadline, id));
        let placeholder = job.placeholder().map(|placeholder| placeholder.cookie);
        for cookie in [Some(job.cookie), placeholder].into_iter().flatten() {
            if self.by_cookie.get(&cookie) == Some(&id) {
                self.by_cookie.remove(&cookie);
            }
        }
        if let Some(fd) = job.watched.take() {
            let _ = sys::epoll_remove(self.epoll.fd(), fd);
        }
        Some(job)
    }

    /// Stores the result for the next call that asks about the socket with this cookie.
    pub fn store_result(&mut self, cookie: u64, result: Result<(), Errno>, by_program: bool) {
        if self.untaken.len() >= MAX_UNTAKEN {
            self.untaken.clear();
        }
        self.untaken
            .insert(cookie, UntakenResult { result, by_program });
    }

    /// Remembers that the connect of this placeholder failed, after the socket was put back.
    pub fn leave_failed(&mut self, placeholder: u64, errno: Errno) {
        self.failed_until = sys::now() + FAILED;
        if self.failed.len() >= MAX_UNTAKEN {
            self.failed.clear();
        }
        self.failed.insert(placeholder, errno);
    }

    /// Removes jobs without a waiting program: it has closed the socket, or is gone.
    fn drop_unwanted(&mut self, now: Duration) {
        let old = self
            .jobs
            .iter()
            .filter(|(_, job)| now.saturating_sub(job.began) >= LOOK);
        let unwanted: Vec<u64> = old
            .filter(|(_, job)| !self.is_wanted(job))
            .map(|(id, _)| *id)
            .collect();
        for id in unwanted {
            drop(self.remove(id));
        }
    }

    fn is_wanted(&self, job: &Job) -> bool {
        // The wake end of a placeholder reports that itself.
        if job.is_watched_by_placeholder() {
            return true;
        }
        let waits = |waiter: &Call| self.listener.is_waiting(waiter.id);
        job.waiters.iter().any(waits) || crate::held::is_held(job)
    }
}
