//! One connect that is being made.

#![forbid(unsafe_code)]

use crate::caller::Caller;
use crate::placeholder::Placeholder;
use libc::{c_int, c_short, pid_t};
use std::net::SocketAddr;
use std::time::Duration;
use tailchain_core::dial::blocking::{Blocking, Sleep, Step};
use tailchain_core::dial::driver::{Driver, Progress};
use tailchain_core::errno::Errno;
use tailchain_core::own_fds::RegisteredFd;
use tailchain_core::router::connect::nowhere;
use tailchain_core::sys::{self, Fd, OwnFd};

/// A call of connect(2) that waits for the end.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    pub call: u64,
    pub fd: Fd,
    pub thread: pid_t,
}

/// What the program has under its fd meanwhile.
pub enum Face {
    /// Its own socket, and its thread waits.
    Own,
    /// Its own socket. `is_go`: SO_ERROR says EINPROGRESS until the tunnel is established, and Go waits on.
    Gate {
        is_go: bool,
    },
    Placeholder(Placeholder),
}

/// Who makes the connection.
pub enum Engine {
    /// A tunnel, for a thread that waits.
    Waited(Box<Blocking<'static>>),
    /// A tunnel, which nobody waits for.
    Meanwhile(Box<Driver<'static>>),
    /// The kernel, for a thread that waits.
    Kernel { until: Option<Duration> },
}

/// Where a job stands.
pub enum Stand {
    Wait {
        fd: Fd,
        events: c_short,
        deadline: Duration,
    },
    /// The caller's own time limit (SO_SNDTIMEO) is over.
    LimitOver,
    Finished(Result<(), Errno>),
}

impl Stand {
    /// Until somebody else has done something.
    pub const DELAYED: Stand = Stand::Wait {
        fd: -1,
        events: 0,
        deadline: NEVER,
    };
}

pub struct Job {
    pub socket: OwnFd,
    pub cookie: u64,
    /// As the program dialled it.
    pub dialled: SocketAddr,
    pub engine: Engine,
    pub face: Face,
    pub waiters: Vec<Waiter>,
    /// It has not begun: the address of a proxy is yet to be found.
    pub is_delayed: bool,
    /// The program was told that it is in progress.
    pub told: bool,
    pub deadline: Duration,
    /// What is watched for it.
    pub watched: Option<Fd>,
    pub end: Option<Result<(), Errno>>,
    /// The program ended it, by shutdown(2).
    pub is_cut_short: bool,
    /// The socket that takes the place of the program's, where families differ.
    pub replacement: Option<RegisteredFd>,
    /// Where the connect was called, to see whether anybody still wants it.
    pub thread: pid_t,
    pub fd: Fd,
    pub began: Duration,
}

/// Later than anybody waits.
pub const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

impl Job {
    pub fn begin(&mut self) -> Stand {
        match &mut self.engine {
            Engine::Waited(blocking) => of_step(blocking.begin()),
            Engine::Meanwhile(driver) => of_progress(driver.advance()),
            Engine::Kernel { until } => Stand::Wait {
                fd: self.socket.fd(),
                events: libc::POLLOUT,
                deadline: until.unwrap_or(NEVER),
            },
        }
    }

    pub fn on_ready(&mut self) -> Stand {
        match &mut self.engine {
            Engine::Waited(blocking) => of_step(blocking.on_ready()),
            Engine::Meanwhile(driver) => of_progress(driver.on_ready()),
            Engine::Kernel { .. } => Stand::Finished(self.ask_kernel()),
        }
    }

    pub fn expired(&mut self) -> Stand {
        match &mut self.engine {
            Engine::Waited(blocking) => of_step(blocking.time_over()),
            Engine::Meanwhile(driver) => of_progress(driver.on_timeout()),
            Engine::Kernel { .. } => Stand::LimitOver,
        }
    }

    /// How the kernel's connect ended. connect(2) says so, once.
    fn ask_kernel(&self) -> Result<(), Errno> {
        match sys::connect(self.socket.fd(), &nowhere()) {
            Err(Errno::EISCONN) => Ok(()),
            result => result,
        }
    }

    /// The tunnel's driver.
    pub fn driver(&mut self) -> Option<&mut Driver<'static>> {
        match &mut self.engine {
            Engine::Waited(blocking) => Some(&mut blocking.driver),
            Engine::Meanwhile(driver) => Some(driver),
            Engine::Kernel { .. } => None,
        }
    }

    /// Nobody waits for it any more.
    pub fn go_on_meanwhile(self) -> Job {
        let engine = match self.engine {
            Engine::Waited(blocking) => {
                let mut driver = blocking.driver;
                driver.hand_over(self.socket.fd());
                Engine::Meanwhile(Box::new(driver))
            }
            engine => engine,
        };
        let face = match self.face {
            Face::Own => Face::Gate { is_go: false },
            face => face,
        };
        Job {
            engine,
            face,
            ..self
        }
    }

    pub fn placeholder(&mut self) -> Option<&mut Placeholder> {
        match &mut self.face {
            Face::Placeholder(placeholder) => Some(placeholder),
            _ => None,
        }
    }

    /// Whether an event comes when nobody has its placeholder any more.
    pub fn is_watched_by_placeholder(&self) -> bool {
        matches!(&self.face, Face::Placeholder(placeholder) if placeholder.wake_fd().is_some())
    }

    /// The program's end of its placeholder, as the program has it under the fd that it connected.
    ///
    /// # Errors
    /// It has something else there by now, or is gone.
    pub fn program_end(&self) -> Result<OwnFd, Errno> {
        let Face::Placeholder(placeholder) = &self.face else {
            return Err(Errno::EBADF);
        };
        let file = Caller::open(self.thread)?.borrow(self.fd)?;
        match sys::cookie(file.fd()) == Some(placeholder.cookie) {
            true => Ok(file),
            false => Err(Errno::EBADF),
        }
    }

    /// The socket that the program gets.
    pub fn final_socket(&self) -> Fd {
        let replacement = self.replacement.as_ref().map(RegisteredFd::fd);
        replacement.unwrap_or(self.socket.fd())
    }
}

pub fn of_progress(progress: Progress) -> Stand {
    match progress {
        Progress::Wait {
            fd,
            events,
            deadline,
        } => Stand::Wait {
            fd,
            events,
            deadline,
        },
        Progress::Finished(result) => Stand::Finished(result),
    }
}

fn of_step(step: Step) -> Stand {
    match step {
        Step::Sleep(Sleep { fd, events, until }) => Stand::Wait {
            fd,
            events,
            deadline: until,
        },
        Step::LimitOver => Stand::LimitOver,
        Step::Finished(result) => Stand::Finished(result),
    }
}

/// O_NONBLOCK of an open file.
pub fn is_nonblocking(fd: Fd) -> bool {
    sys::status_flags(fd).is_ok_and(|flags: c_int| flags & libc::O_NONBLOCK != 0)
}
