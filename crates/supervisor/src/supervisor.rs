//! The state of the supervisor: the connects in progress, and the results that were not taken yet.

#![forbid(unsafe_code)]

use crate::answerer::Answerer;
use crate::caller::{Callers, Programs};
use crate::job::{AtFd, Job, JobState};
use crate::listener::Listener;
use crate::lost_replies::LostReplies;
use crate::proxy_names::ProxyNames;
use crate::registrations::Registrations;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tailchain_core::dial::driver::Outcome;
use tailchain_core::dial::poller::Poller;
use tailchain_core::errno::Errno;
use tailchain_core::own_fds::OwnFds;
use tailchain_core::router::Router;
use tailchain_core::sys::{self, Fd, OwnFd};

/// All fds here are the supervisor's own: no program code opens or closes any.
pub static OWN_FDS: OwnFds = OwnFds::new();

/// How often to check whether programs still hold the sockets that are being connected.
pub const LOOK: Duration = Duration::from_millis(500);

/// What is watched besides the sockets of the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Listener,
    /// The DNS server.
    Answerer,
    /// The pidfd of the program that was started.
    Program,
    /// A finished lookup of a proxy's name.
    ProxyNames,
    /// The wake end of a job's placeholder.
    Placeholder(u64),
}

impl Token {
    pub fn pack(self) -> u64 {
        match self {
            Token::Listener => 0,
            Token::Answerer => 2,
            Token::Program => 4,
            Token::ProxyNames => 6,
            Token::Placeholder(id) => id << 1 | 1,
        }
    }

    pub fn unpack(word: u64) -> Token {
        match (word & 1, word) {
            (1, _) => Token::Placeholder(word >> 1),
            (_, 2) => Token::Answerer,
            (_, 4) => Token::Program,
            (_, 6) => Token::ProxyNames,
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
    pub poller: Poller,
    pub next_job: u64,
    /// pidfd of the program that was started.
    pub program: OwnFd,
    pub next_look: Duration,
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
        let poller = Poller::new(OWN_FDS.make(sys::epoll)?);
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
            poller.add(fd, input, token.pack())?;
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
            poller,
            next_job: 1,
            program,
            next_look: Duration::ZERO,
        })
    }

    pub fn has_ended(&self, id: u64) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.end.is_some())
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

    /// Watches the placeholder of a job.
    pub fn watch_placeholder(&mut self, id: u64, cookie: u64, wake: Fd) {
        self.by_cookie.insert(cookie, id);
        let _ = self.poller.add(wake, 0, Token::Placeholder(id).pack());
    }

    /// Lets a job take a step.
    pub fn step(&mut self, id: u64, how: impl FnOnce(&mut Job) -> JobState) {
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        let state = how(&mut job);
        if let JobState::Opened(socket) = state {
            let _ = self.router.remember_peer(socket, job.dialled);
        }
        self.jobs.insert(id, job);
        self.settle(id, state);
    }

    pub fn settle(&mut self, id: u64, state: JobState) {
        match state {
            JobState::Wait {
                fd,
                events,
                deadline,
            } => self.poller.wait(id, fd, events, deadline),
            JobState::Opened(_) => self.step(id, Job::advance),
            JobState::TimedOut => self.on_caller_timeout(id),
            JobState::Finished(outcome) => self.finish(id, outcome),
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
        self.poller.forget(id);
        let mut job = self.jobs.remove(&id)?;
        let placeholder = job.placeholder().map(|placeholder| placeholder.cookie);
        for cookie in [Some(job.cookie), placeholder].into_iter().flatten() {
            if self.by_cookie.get(&cookie) == Some(&id) {
                self.by_cookie.remove(&cookie);
            }
        }
        Some(job)
    }

    pub fn keep(&mut self, id: u64, job: Job) {
        self.by_cookie.insert(job.cookie, id);
        if let AtFd::Placeholder(placeholder) = &job.at_fd {
            self.by_cookie.insert(placeholder.cookie, id);
        }
        self.jobs.insert(id, job);
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
}
