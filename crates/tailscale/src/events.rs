//! The events that the supervisor waits for: the end of a child, a signal, the end of the watched process.
//!
//! One thread waits in one place. So signals are forwarded and children reaped at once, whatever the caller waits for.

#![forbid(unsafe_code)]

use crate::sigterm_broadcast::SigtermBroadcast;
use crate::sys::poll;
use crate::sys::process::{self, Pid};
use crate::sys::signals::{Received, SignalFd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::time::Instant;

const HANDLED: [libc::c_int; 8] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
];

/// The process that uses Tailscale.
enum Watched {
    /// It has not been started yet.
    Nothing,
    /// A child process; signals are forwarded to it.
    Child(Pid),
    Other(OwnedFd),
}

/// A request to end.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    pub since: Instant,
    pub signal: libc::c_int,
}

pub struct Events {
    signals: SignalFd,
    watched: Watched,
    ended: VecDeque<(Pid, ExitStatus)>,
    stop: Option<Stop>,
    gone: bool,
    /// The exit status of the watched child.
    status: Option<ExitStatus>,
    sigterm: SigtermBroadcast,
}

impl Events {
    /// # Errors
    ///
    /// No fd is left.
    pub fn new() -> io::Result<Events> {
        Ok(Events {
            signals: SignalFd::new(&HANDLED)?,
            watched: Watched::Nothing,
            ended: VecDeque::new(),
            stop: None,
            gone: false,
            status: None,
            sigterm: SigtermBroadcast::default(),
        })
    }

    /// Waits for the end of this child from now on, and forwards signals to it.
    pub fn watch_child(&mut self, pid: Pid) {
        self.watched = Watched::Child(pid);
        self.sigterm = SigtermBroadcast::new();
    }

    /// Waits for the end of this process from now on.
    ///
    /// # Errors
    ///
    /// As pidfd_open(2), e.g. there is no such process.
    pub fn watch(&mut self, pid: Pid) -> io::Result<()> {
        self.watched = Watched::Other(process::pidfd(pid)?);
        Ok(())
    }

    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// The exit status of the watched child, once it has ended.
    pub fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Waits for the next child that ends. `None` if the time is up, or if the result of [`Events::stop`] or
    /// [`Events::is_gone`] has changed.
    ///
    /// # Errors
    ///
    /// As poll(2).
    pub fn next(&mut self, until: Option<Instant>) -> io::Result<Option<(Pid, ExitStatus)>> {
        let before = (self.stop.is_some(), self.gone);
        loop {
            if let Some(ended) = self.ended.pop_front() {
                return Ok(Some(ended));
            }
            let now = Instant::now();
            if self.sigterm.is_due(now) {
                self.pass_on(libc::SIGTERM);
            }
            let until_next = |at: Instant| at.saturating_duration_since(now);
            let left = until.map(until_next);
            if before != (self.stop.is_some(), self.gone) || left.is_some_and(|left| left.is_zero())
            {
                return Ok(None);
            }
            let mut fds = vec![self.signals.as_fd()];
            match &self.watched {
                Watched::Other(fd) if !self.gone => fds.push(fd.as_fd()),
                _ => (),
            }
            let due = self.sigterm.due().map(until_next);
            let ready = poll::readable(&fds, left.into_iter().chain(due).min())?;
            self.gone |= ready.get(1) == Some(&true);
            while let Some(received) = self.signals.next() {
                self.take(received);
            }
        }
    }

    fn take(&mut self, received: Received) {
        if received.number == libc::SIGCHLD {
            while let Some((pid, status)) = process::reap() {
                if matches!(self.watched, Watched::Child(child) if child == pid) {
                    self.gone = true;
                    self.status = Some(status);
                }
                self.sigterm.note_end(pid, status, Instant::now());
                self.ended.push_back((pid, status));
            }
            return;
        }
        let asks_to_end: &[libc::c_int] = match self.watched {
            Watched::Nothing => &[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT],
            Watched::Child(_) if received.by_kernel => &[],
            Watched::Child(_) | Watched::Other(_) => &[libc::SIGTERM, libc::SIGINT],
        };
        if asks_to_end.contains(&received.number) && self.stop.is_none() {
            self.stop = Some(Stop {
                since: Instant::now(),
                signal: received.number,
            });
        }
        let was_sent_to_child = match received.number {
            _ if received.by_kernel => true,
            libc::SIGTERM => !self.sigterm.note_sigterm(Instant::now()),
            _ => false,
        };
        if !was_sent_to_child {
            self.pass_on(received.number);
        }
    }

    fn pass_on(&self, signal: libc::c_int) {
        match self.watched {
            Watched::Child(pid) if !self.gone => process::signal(pid, signal),
            _ => (),
        }
    }
}
