//! The helper's work: plain data, which a parked helper leaves in the table.

use super::placeholder::WakeEnd;
use crate::dial::driver::{Driver, Outcome, Progress, Wait};
use crate::dial::poller::Poller;
use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sys::Fd;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

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

/// All jobs of the helper, and what it waits with.
pub struct Workload {
    pub poller: Poller,
    pub wake: RegisteredFd,
    pub jobs: BTreeMap<u64, Job>,
}

impl Workload {
    pub fn remove(&mut self, id: u64) -> Option<Job> {
        self.poller.forget(id);
        self.jobs.remove(&id)
    }
}

/// Lets the driver take a step, and advance until it waits or has finished.
pub fn step(
    driver: &mut Driver<'static>,
    observer: &dyn ConnectObserver,
    dialled: SocketAddr,
    how: impl FnOnce(&mut Driver<'static>) -> Progress,
) -> Result<Wait, Outcome> {
    let mut progress = how(driver);
    loop {
        match progress {
            Progress::Opened(socket) => {
                observer.opened(socket, dialled);
                progress = driver.advance();
            }
            Progress::Wait(wait) => return Ok(wait),
            Progress::Finished(outcome) => return Err(outcome),
        }
    }
}
