//! The end of a connect: its waiters get the result, or are woken.

#![forbid(unsafe_code)]

use crate::job::{AtFd, Engine, Job};
use crate::listener::Call;
use crate::supervisor::Supervisor;
use tailchain_core::dial::driver::Outcome;
use tailchain_core::dial::error_socket;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::{forget_association, unconnectable_address};
use tailchain_core::sys;

impl Supervisor {
    /// Ends a job with a result.
    pub fn finish(&mut self, id: u64, outcome: Outcome) {
        let Some(mut job) = self.remove(id) else {
            return;
        };
        let result = job.take_outcome(outcome);
        if matches!(job.at_fd, AtFd::Placeholder(_)) && self.is_awaited(&job) {
            return self.finish_awaited(id, job, result);
        }
        match &mut job.at_fd {
            AtFd::Blocking => self.finish_blocking(job, result),
            AtFd::NonBlocking => self.finish_nonblocking(id, job, result),
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

    /// Whether a thread waits in connect(2).
    fn is_awaited(&self, job: &Job) -> bool {
        let waits = |waiter: &Call| self.listener.is_waiting(waiter.id);
        job.waiters.iter().any(waits)
    }

    /// Puts the socket back under the fds of the program whose threads wait, and gives them the result.
    fn finish_awaited(&mut self, id: u64, mut job: Job, result: Result<(), Errno>) {
        if let Err(errno) = result {
            forget_association(job.socket.fd(), errno);
        }
        let cookie = sys::cookie(job.final_socket()).unwrap_or(job.cookie);
        let waiters = std::mem::take(&mut job.waiters);
        let is_back = waiters.iter().any(|waiter| self.is_put_back(waiter, &job));
        if is_back && result.is_ok() {
            // Takes the kernel's own result, which it reports to one connect(2).
            let _ = sys::connect(job.final_socket(), &unconnectable_address());
        }
        let mut is_told = false;
        for waiter in &waiters {
            let result = match is_told {
                // The first has taken the socket's error.
                true => result.map_err(|_| Errno::EPIPE),
                false => result,
            };
            if self.listener.answer(waiter.id, result.into()) {
                is_told = true;
                if result.is_ok() {
                    self.lost.note_sent(waiter, cookie, result);
                }
            }
        }
        job.end = Some(result);
        match (is_back, &mut job.at_fd) {
            (true, AtFd::Placeholder(placeholder)) => {
                if !is_told {
                    // A signal came between: the call will be restarted.
                    self.store_result(cookie, result, false);
                }
                if result.is_ok() {
                    placeholder.leave();
                    self.leave_to_others(id, job);
                }
            }
            // Another thread has closed the fd, or a signal has interrupted all calls.
            (_, AtFd::Placeholder(placeholder)) => {
                match result {
                    Ok(()) => placeholder.signal_success(),
                    Err(_) => placeholder.signal_failure(),
                }
                self.keep(id, job);
                self.relay_soon(id);
            }
            _ => {}
        }
    }

    /// Puts the socket back under the fd of a waiting call, and its duplicates.
    fn is_put_back(&mut self, waiter: &Call, job: &Job) -> bool {
        let Ok(of) = self.borrow(waiter) else {
            return false;
        };
        of.cookie == job.cookie_under_fd() && self.put_back(waiter, job, of).is_ok()
    }

    /// No fd refers to the placeholder any more. Who waits in connect(2) still gets its result.
    pub fn on_placeholder_closed(&mut self, id: u64) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        match (self.is_awaited(job), &job.at_fd) {
            (true, AtFd::Placeholder(placeholder)) => {
                if let Some(wake) = placeholder.wake_fd() {
                    self.poller.remove(wake);
                }
            }
            _ => self.abandon(id),
        }
    }

    /// Drops a connect that nobody waits for any more. A process that has shared the socket since before the connect
    /// must not find it connected to the proxy.
    pub fn abandon(&mut self, id: u64) {
        let Some(job) = self.remove(id) else {
            return;
        };
        if job.end.is_none() && !matches!(job.engine, Engine::Kernel { .. }) {
            let _ = sys::disconnect(job.socket.fd());
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

    /// Ends the kernel's own connect.
    pub fn finish_blocking(&mut self, mut job: Job, result: Result<(), Errno>) {
        if let Err(errno) = result {
            forget_association(job.socket.fd(), errno);
        }
        let mut is_told = false;
        for waiter in job.waiters.drain(..) {
            if self.listener.answer(waiter.id, result.into()) {
                is_told = true;
                if result.is_ok() {
                    self.lost.note_sent(&waiter, job.cookie, result);
                }
            }
        }
        if !is_told {
            // Interrupted: the call will be restarted.
            self.store_result(job.cookie, result, false);
        }
    }
}
