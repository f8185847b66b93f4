//! A connect in progress.

#![forbid(unsafe_code)]

use crate::caller::Caller;
use crate::listener::Call;
use crate::placeholder::Placeholder;
use libc::{c_int, c_short, pid_t};
use std::net::SocketAddr;
use std::time::Duration;
use tailchain_core::dial::blocking::{Blocking, Sleep, Step};
use tailchain_core::dial::driver::{Driver, Outcome, Progress, Wait};
use tailchain_core::dial::replacement;
use tailchain_core::errno::Errno;
use tailchain_core::own_fds::RegisteredFd;
use tailchain_core::router::connect::unconnectable_address;
use tailchain_core::sys::{self, Fd, OwnFd};

/// What is at the program's fd until the connect ends.
pub enum AtFd {
    /// The program's own socket, connected by the kernel; its thread waits.
    Blocking,
    /// The socket of a Go program: SO_ERROR reports EINPROGRESS until the tunnel is established, which makes Go wait
    /// again.
    NonBlocking,
    Placeholder(Placeholder),
}

/// What drives the connect.
pub enum Engine {
    /// A dial for a thread that waits.
    Blocking(Box<Blocking<'static>>),
    /// A dial without a waiting thread.
    Background(Box<Driver<'static>>),
    /// The kernel's connect, for a thread that waits.
    Kernel { until: Option<Duration> },
}

/// The state of a job after a step.
pub enum JobState {
    /// [`Progress::Opened`]; call [`Job::advance`].
    Opened(Fd),
    Wait {
        fd: Fd,
        events: c_short,
        deadline: Duration,
    },
    /// The caller's own timeout (SO_SNDTIMEO) has expired.
    TimedOut,
    Finished(Outcome),
}

impl JobState {
    /// Waits until another part of the supervisor resumes it.
    pub const DELAYED: JobState = JobState::Wait {
        fd: -1,
        events: 0,
        deadline: NEVER,
    };
}

pub struct Job {
    pub socket: OwnFd,
    pub cookie: u64,
    /// The address that the program dialled.
    pub dialled: SocketAddr,
    pub engine: Engine,
    pub at_fd: AtFd,
    /// The calls of connect(2) that wait for the result.
    pub waiters: Vec<Call>,
    /// Not started yet: the address of a proxy is still being resolved.
    pub is_delayed: bool,
    /// The call has returned EINPROGRESS to the program.
    pub in_progress_delivered: bool,
    pub end: Option<Result<(), Errno>>,
    /// The program aborted it, by shutdown(2).
    pub is_aborted: bool,
    /// The socket that replaces the program's, if the families differ.
    pub replacement: Option<RegisteredFd>,
    /// The thread that called connect: to check whether the program still holds the socket.
    pub thread: pid_t,
    /// Another than the main thread called it, and may have ended since.
    pub by_other_thread: bool,
    pub fd: Fd,
    pub began: Duration,
}

/// Later than any deadline.
pub const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

impl Job {
    /// Begin, or continue after anything but a wait.
    pub fn advance(&mut self) -> JobState {
        match &mut self.engine {
            Engine::Blocking(blocking) => blocking.advance().into(),
            Engine::Background(driver) => driver.advance().into(),
            Engine::Kernel { until } => JobState::Wait {
                fd: self.socket.fd(),
                events: libc::POLLOUT,
                deadline: until.unwrap_or(NEVER),
            },
        }
    }

    pub fn on_ready(&mut self) -> JobState {
        match &mut self.engine {
            Engine::Blocking(blocking) => blocking.on_ready().into(),
            Engine::Background(driver) => driver.on_ready().into(),
            Engine::Kernel { .. } => JobState::Finished(Outcome {
                result: self.ask_kernel(),
                replacement: None,
            }),
        }
    }

    pub fn expired(&mut self) -> JobState {
        match &mut self.engine {
            Engine::Blocking(blocking) => blocking.time_over().into(),
            Engine::Background(driver) => driver.on_timeout().into(),
            Engine::Kernel { .. } => JobState::TimedOut,
        }
    }

    /// The result of the kernel's connect, which connect(2) reports once.
    fn ask_kernel(&self) -> Result<(), Errno> {
        match sys::connect(self.socket.fd(), &unconnectable_address()) {
            Err(Errno::EISCONN) => Ok(()),
            result => result,
        }
    }

    /// The driver of the tunnel.
    pub fn driver(&mut self) -> Option<&mut Driver<'static>> {
        match &mut self.engine {
            Engine::Blocking(blocking) => Some(&mut blocking.driver),
            Engine::Background(driver) => Some(driver),
            Engine::Kernel { .. } => None,
        }
    }

    /// Keeps the socket with the tunnel, and returns how the dial ended.
    pub fn take_outcome(&mut self, outcome: Outcome) -> Result<(), Errno> {
        self.replacement = outcome.replacement;
        if let Some(replacement) = &self.replacement {
            // Options that the program has set meanwhile.
            let _ = replacement::copy_options(self.socket.fd(), replacement.fd());
        }
        outcome.result
    }

    /// Continues without a waiting thread.
    pub fn into_background(self) -> Job {
        let engine = match self.engine {
            Engine::Blocking(blocking) => {
                let mut driver = blocking.driver;
                driver.hand_over(self.socket.fd());
                Engine::Background(Box::new(driver))
            }
            engine => engine,
        };
        Job { engine, ..self }
    }

    pub fn placeholder(&mut self) -> Option<&mut Placeholder> {
        match &mut self.at_fd {
            AtFd::Placeholder(placeholder) => Some(placeholder),
            _ => None,
        }
    }

    /// SO_COOKIE of what the program's fd refers to meanwhile.
    pub fn cookie_under_fd(&self) -> u64 {
        match &self.at_fd {
            AtFd::Placeholder(placeholder) => placeholder.cookie,
            _ => self.cookie,
        }
    }

    /// Whether an event is reported when no fd refers to its placeholder any more.
    pub fn is_watched_by_placeholder(&self) -> bool {
        matches!(&self.at_fd, AtFd::Placeholder(placeholder) if placeholder.wake_fd().is_some())
    }

    /// Borrows the program's end of the placeholder, from the fd that it connected.
    ///
    /// # Errors
    /// The fd refers to something else by now, or the thread is gone.
    pub fn program_end(&self) -> Result<OwnFd, Errno> {
        let AtFd::Placeholder(placeholder) = &self.at_fd else {
            return Err(Errno::EBADF);
        };
        let file = Caller::open(self.thread)?.borrow(self.fd)?;
        match sys::cookie(file.fd()) == Some(placeholder.cookie) {
            true => Ok(file),
            false => Err(Errno::EBADF),
        }
    }

    /// The socket that the program gets in the end.
    pub fn final_socket(&self) -> Fd {
        let replacement = self.replacement.as_ref().map(RegisteredFd::fd);
        replacement.unwrap_or(self.socket.fd())
    }
}

impl From<Wait> for JobState {
    fn from(wait: Wait) -> JobState {
        JobState::Wait {
            fd: wait.fd,
            events: wait.events,
            deadline: wait.deadline,
        }
    }
}

impl From<Progress> for JobState {
    fn from(progress: Progress) -> JobState {
        match progress {
            Progress::Opened(socket) => JobState::Opened(socket),
            Progress::Wait(wait) => wait.into(),
            Progress::Finished(outcome) => JobState::Finished(outcome),
        }
    }
}

impl From<Step> for JobState {
    fn from(step: Step) -> JobState {
        match step {
            Step::Opened(socket) => JobState::Opened(socket),
            Step::Sleep(Sleep { fd, events, until }) => JobState::Wait {
                fd,
                events,
                deadline: until,
            },
            Step::LimitOver => JobState::TimedOut,
            Step::Finished(outcome) => JobState::Finished(outcome),
        }
    }
}

/// O_NONBLOCK of an open file.
pub fn is_nonblocking(fd: Fd) -> bool {
    sys::status_flags(fd).is_ok_and(|flags: c_int| flags & libc::O_NONBLOCK != 0)
}
