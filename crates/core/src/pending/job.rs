//! What the helper has to do: plain data, which a helper that is put aside leaves in the table.

use super::placeholder::WakeEnd;
use crate::dial::driver::{Driver, Progress};
use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sys::Fd;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Who is told of a connect, before its program can know. `socket` is an fd of ours.
pub trait ConnectObserver: Sync {
    /// The socket is connected to a first proxy, which is at its answer. Told again where another proxy is tried.
    fn opened(&self, socket: Fd, dialled: SocketAddr);

    /// The tunnel stands, or nothing came of it.
    fn ended(&self, socket: Fd, dialled: SocketAddr, result: Result<(), Errno>);
}

/// One tunnel that the helper is to make.
pub struct Job {
    pub id: u64,
    pub socket: Arc<RegisteredFd>,
    /// The wake end of the placeholder: deserted when the program has closed its last fd.
    pub wake_end: Arc<WakeEnd>,
    pub driver: Driver<'static>,
    /// Where the driver stands; `None` when it has not begun.
    pub progress: Option<Progress>,
    pub dialled: SocketAddr,
    pub observer: &'static dyn ConnectObserver,
    /// The program ended it, by shutdown(2).
    pub aborted: bool,
}

/// All jobs of the helper, and the fds that it waits with.
pub struct Workload {
    pub epoll: RegisteredFd,
    pub wake: RegisteredFd,
    pub jobs: BTreeMap<u64, (Job, Duration)>,
    pub deadlines: BTreeSet<(Duration, u64)>,
}

impl Workload {
    pub fn remove(&mut self, id: u64) -> Option<Job> {
        let (job, deadline) = self.jobs.remove(&id)?;
        self.deadlines.remove(&(deadline, id));
        Some(job)
    }
}
