//! The helper's work: plain data, which a parked helper leaves in the table.

use super::placeholder::WakeEnd;
use crate::dial::driver::{Driver, Wait};
use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sys::Fd;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Observes connects before their program can know the result. `socket` is an own fd.
pub trait ConnectObserver: Sync {
    /// The socket is connected to the first proxy, and the handshake begins. Called again if another proxy is tried.
    fn opened(&self, socket: Fd, dialled: SocketAddr);

    /// The tunnel is established, or the dial failed.
    fn ended(&self, socket: Fd, dialled: SocketAddr, result: Result<(), Errno>);
}

/// One dial for the helper.
pub struct Job {
    pub id: u64,
    pub socket: Arc<RegisteredFd>,
    /// The wake end of the placeholder. Its peer is closed when the program has closed the last fd.
    pub wake_end: Arc<WakeEnd>,
    pub driver: Driver<'static>,
    /// What the driver waits for; `None` before its first step.
    pub wait: Option<Wait>,
    pub dialled: SocketAddr,
    pub observer: &'static dyn ConnectObserver,
    /// The program aborted it, by shutdown(2).
    pub aborted: bool,
}

/// A job that waits, and what for.
pub struct Running {
    pub job: Job,
    pub deadline: Duration,
    /// The fd that is in the epoll instance for it, unless it was closed since.
    pub watched: Option<Fd>,
}

/// All jobs of the helper, and the fds it waits with.
pub struct Workload {
    pub epoll: RegisteredFd,
    pub wake: RegisteredFd,
    pub jobs: BTreeMap<u64, Running>,
    pub deadlines: BTreeSet<(Duration, u64)>,
}

impl Workload {
    pub fn remove(&mut self, id: u64) -> Option<Job> {
        let Running { job, deadline, .. } = self.jobs.remove(&id)?;
        self.deadlines.remove(&(deadline, id));
        Some(job)
    }
}
