//! Starts a supervised program: this process becomes the program, and a child of it the supervisor.
//!
//! The program keeps the launcher's process, and with it the parent, process group, terminal and exit status. The
//! supervisor is a child that wait(2) does not report, in a session of its own, and exits with the last process that
//! has the filter.
//!
//! Every operation that may be forbidden is tried before any step that cannot be undone; see [`Obstacle`].

#![forbid(unsafe_code)]

use crate::filter::{self, Extent};
use crate::listener::Listener;
use crate::supervisor::Supervisor;
use crate::sys::{self as own_sys, Fork};
use core::fmt;
use libc::pid_t;
use tailchain_core::config::Config;
use tailchain_core::errno::Errno;
use tailchain_core::router::Router;
use tailchain_core::supervised::Pass;
use tailchain_core::sys::{self, OwnFd};

/// Why programs cannot be supervised here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub step: Step,
    pub errno: Errno,
}

/// The steps, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Starting a process for the supervisor.
    Start,
    /// pidfd_open(2), pidfd_getfd(2).
    BorrowFd,
    /// process_vm_readv(2).
    ReadMemory,
    /// seccomp(2) with a listener.
    Filter,
    /// Handing the listener over to the supervisor.
    HandOver,
}

impl Step {
    const ALL: [Step; 5] = [
        Step::Start,
        Step::BorrowFd,
        Step::ReadMemory,
        Step::Filter,
        Step::HandOver,
    ];
}

impl Obstacle {
    /// Whether the kernel refused a second listener in a process tree.
    pub fn is_another_supervisor(self) -> bool {
        self.step == Step::Filter && self.errno == Errno::EBUSY
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = self.errno;
        match (self.step, errno) {
            (Step::Start, _) => write!(f, "no process for a supervisor ({errno})"),
            (Step::BorrowFd, Errno::ENOSYS) => f.write_str("this kernel has no pidfd_getfd (Linux 5.6)"),
            (Step::BorrowFd, _) => write!(
                f,
                "pidfd_getfd is not permitted ({errno}): a container's seccomp profile, or Yama (ptrace_scope)"
            ),
            (Step::ReadMemory, _) => write!(
                f,
                "process_vm_readv is not permitted ({errno}): a container's seccomp profile, or Yama (ptrace_scope)"
            ),
            (Step::Filter, Errno::EBUSY) => f.write_str("another supervisor has these processes (EBUSY)"),
            (Step::Filter, Errno::EINVAL | Errno::ENOSYS) => {
                write!(f, "this kernel has no seccomp user notification ({errno}); gVisor has none")
            }
            (Step::Filter, _) => write!(f, "a seccomp filter is not permitted ({errno})"),
            (Step::HandOver, _) => write!(f, "the supervisor did not get its listener ({errno})"),
        }
    }
}

/// Why the start failed.
#[derive(Debug)]
pub enum Failure {
    /// Nothing has changed; the program may run unsupervised.
    NotPossible(Obstacle),
    /// The filter is installed and has no supervisor: this process must exit.
    Lost(Obstacle),
}

/// Puts this process, which must be single-threaded, and its descendants under a supervisor. The process is to exec the
/// program next. Preloaded programs among the descendants connect with the pass.
///
/// # Errors
/// See [`Failure`].
pub fn start(
    config: &Config,
    env: fn(&str) -> Option<std::ffi::OsString>,
    extent: Extent,
) -> Result<Pass, Failure> {
    let pass = Pass::new();
    let not_possible = |step, errno| Failure::NotPossible(Obstacle { step, errno });
    let (ours, theirs) = own_sys::channel().map_err(|errno| not_possible(Step::Start, errno))?;
    let child = match own_sys::fork_unseen().map_err(|errno| not_possible(Step::Start, errno))? {
        Fork::Child => {
            drop(ours);
            supervise(config, env, &theirs);
            own_sys::end();
        }
        Fork::Parent(child) => child,
    };
    drop(theirs);
    own_sys::allow_tracer(child);
    if let Err((step, errno)) = request(&ours, PROBE) {
        // Closing the channel ends the supervisor.
        drop(ours);
        own_sys::reap(child);
        return Err(not_possible(step, errno));
    }
    let listener = match own_sys::install_filter(&filter::program(extent, pass)) {
        Ok(listener) => listener,
        Err(errno) => {
            drop(ours);
            own_sys::reap(child);
            return Err(not_possible(Step::Filter, errno));
        }
    };
    request(&ours, listener.fd())
        .map_err(|(step, errno)| Failure::Lost(Obstacle { step, errno }))?;
    Ok(pass)
}

/// Tries all steps in a child: whether programs can be supervised here.
///
/// # Errors
/// The step that failed.
pub fn check(config: &Config, env: fn(&str) -> Option<std::ffi::OsString>) -> Result<(), Obstacle> {
    let obstacle = |(step, errno)| Obstacle { step, errno };
    let not_started = |errno| obstacle((Step::Start, errno));
    let (ours, theirs) = own_sys::channel().map_err(not_started)?;
    match own_sys::fork_unseen().map_err(not_started)? {
        Fork::Child => {
            drop(ours);
            let result = start(config, env, Extent::Any).map_err(|failure| match failure {
                Failure::NotPossible(why) | Failure::Lost(why) => (why.step, why.errno),
            });
            let _ = send_result(&theirs, result.map(drop));
            own_sys::end();
        }
        Fork::Parent(child) => {
            drop(theirs);
            let result = receive_result(&ours);
            own_sys::reap(child);
            result.map_err(obstacle)
        }
    }
}

/// A request in place of a listener's fd: try the steps.
const PROBE: i32 = -1;

/// Sends a request to the supervisor; a result of 0 is success.
fn request(channel: &OwnFd, what: i32) -> Result<(), (Step, Errno)> {
    own_sys::send_int(channel, what).map_err(|errno| (Step::HandOver, errno))?;
    receive_result(channel)
}

/// Receives the result that [`send_result`] sends.
fn receive_result(channel: &OwnFd) -> Result<(), (Step, Errno)> {
    let lost = |errno| (Step::HandOver, errno);
    let step = own_sys::receive_int(channel).map_err(lost)?;
    let errno = own_sys::receive_int(channel).map_err(lost)?;
    match (
        usize::try_from(step)
            .ok()
            .and_then(|step| Step::ALL.get(step)),
        errno,
    ) {
        (_, 0) => Ok(()),
        (Some(step), errno) => Err((*step, Errno::from_raw(errno))),
        (None, _) => Err(lost(Errno::EPROTO)),
    }
}

fn send_result(channel: &OwnFd, result: Result<(), (Step, Errno)>) -> Result<(), Errno> {
    let (step, errno) = match result {
        Ok(()) => (0, 0),
        Err((step, errno)) => (step as i32, errno.raw()),
    };
    own_sys::send_int(channel, step)?;
    own_sys::send_int(channel, errno)
}

/// The body of the supervisor process.
fn supervise(config: &Config, env: fn(&str) -> Option<std::ffi::OsString>, channel: &OwnFd) {
    let program = own_sys::parent();
    own_sys::detach();
    own_sys::raise_open_files();
    own_sys::silence(libc::STDIN_FILENO);
    own_sys::silence(libc::STDOUT_FILENO);
    let Ok(channel) = keep_only(channel) else {
        return;
    };
    let mut probed = None;
    if own_sys::receive_int(&channel) != Ok(PROBE) {
        return;
    }
    let result = probe(program).map(|process| probed = Some(process));
    if send_result(&channel, result).is_err() {
        return;
    }
    let (Some(process), Ok(listener)) = (probed, own_sys::receive_int(&channel)) else {
        return;
    };
    let hand_over = |errno| (Step::HandOver, errno);
    let supervisor = own_sys::borrow_fd(&process, listener)
        .and_then(Listener::new)
        .and_then(|listener| {
            let router: &'static Router = Box::leak(Box::new(Router::new(config.clone(), env)));
            // Opened now, since the location depends on the program's environment.
            router.names();
            Supervisor::new(router, listener, process)
        });
    let (supervisor, result) = match supervisor {
        Ok(supervisor) => (Some(supervisor), Ok(())),
        Err(errno) => (None, Err(hand_over(errno))),
    };
    if send_result(&channel, result).is_err() {
        return;
    }
    drop(channel);
    if let Some(supervisor) = supervisor {
        supervisor.run();
    }
}

/// Closes all fds except the standard ones and the channel.
fn keep_only(channel: &OwnFd) -> Result<OwnFd, Errno> {
    const FIRST: sys::Fd = 3;
    if channel.fd() != FIRST {
        sys::replace(channel.fd(), FIRST, true)?;
    }
    sys::close_range(FIRST as u32 + 1, u32::MAX, 0)?;
    Ok(OwnFd::adopt(FIRST))
}

/// Tries the operations that will be needed on the process that is to become the program.
fn probe(program: pid_t) -> Result<OwnFd, (Step, Errno)> {
    static WORD: u32 = 0x7461_696c;
    let process = own_sys::open_process(program).map_err(|errno| (Step::BorrowFd, errno))?;
    // The standard fds may be closed; EBADF still shows that the call is permitted.
    match own_sys::borrow_fd(&process, libc::STDERR_FILENO) {
        Ok(_) | Err(Errno::EBADF) => {}
        Err(errno) => return Err((Step::BorrowFd, errno)),
    }
    let mut bytes = [0; 4];
    own_sys::read_memory(program, (&raw const WORD).addr() as u64, &mut bytes)
        .map_err(|errno| (Step::ReadMemory, errno))?;
    Ok(process)
}
