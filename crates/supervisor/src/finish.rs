//! The end of a connect: its waiters get the result, or are woken.

#![forbid(unsafe_code)]

use crate::caller;
use crate::job::{is_nonblocking, AtFd, Job};
use crate::listener::Reply;
use crate::supervisor::Supervisor;
use tailchain_core::dial::driver::Outcome;
use tailchain_core::dial::error_socket;
use tailchain_core::errno::Errno;
use tailchain_core::own_fds::RegisteredFd;
use tailchain_core::router::connect::{forget_association, unconnectable_address};
use tailchain_core::sys;

impl Supervisor {
    /// Ends a job with a result.
    pub fn finish(&mut self, id: u64, outcome: Outcome) {
        let Some(mut job) = self.remove(id) else {
            return;
        };
        let result = job.take_outcome(outcome);
        match &mut job.at_fd {
            AtFd::Blocking => self.finish_blocking(job, result),
            AtFd::NonBlocking { .. } => self.finish_nonblocking(id, job, result),
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

    pub fn finish_blocking(&mut self, mut job: Job, result: Result<(), Errno>) {
        let mut cookie = job.cookie;
        let result = match (result, job.replacement.take()) {
            (Ok(()), Some(replacement)) => {
                cookie = sys::cookie(replacement.fd()).unwrap_or(cookie);
                self.replace(&mut job, replacement)
            }
            (Ok(()), None) => {
                // Takes the kernel's own result, which it reports to one connect(2).
                let _ = sys::connect(job.socket.fd(), &unconnectable_address());
                Ok(())
            }
            (Err(errno), _) => {
                forget_association(job.socket.fd(), errno);
                Err(errno)
            }
        };
        let mut reply = Reply::from(result);
        let mut is_told = false;
        for waiter in job.waiters.drain(..) {
            if self.listener.answer(waiter.id, reply) {
                is_told = true;
                if reply == Reply::Value(0) {
                    self.lost.note_sent(&waiter, cookie, Ok(()));
                    // A second thread that waited for the same socket.
                    reply = Reply::Fail(Errno::EISCONN);
                }
            }
        }
        if !is_told {
            // Interrupted: the call will be restarted.
            self.store_result(job.cookie, result, false);
        }
    }

    /// Installs another socket in place of the program's.
    fn replace(&mut self, job: &mut Job, replacement: RegisteredFd) -> Result<(), Errno> {
        let nonblocking = is_nonblocking(job.socket.fd());
        sys::set_nonblocking(replacement.fd(), nonblocking)?;
        let is_installed = job.waiters.iter().any(|waiter| {
            self.listener
                .install(
                    waiter.id,
                    replacement.fd(),
                    waiter.fd(),
                    caller::closes_on_exec(waiter.thread, waiter.fd()),
                )
                .is_ok()
        });
        is_installed.then_some(()).ok_or(Errno::ECONNABORTED)
    }
}
