//! The event loop: calls of the programs, and the connects in progress.

#![forbid(unsafe_code)]

use crate::job::Job;
use crate::listener::{Call, Reply};
use crate::supervisor::{Supervisor, Token, LOOK};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;
use tailchain_core::dial::poller::Event;
use tailchain_core::errno::Errno;
use tailchain_core::sys;

impl Supervisor {
    /// Runs until the last process that has the filter has ended.
    pub fn run(mut self) {
        while self.turn() {}
    }

    fn turn(&mut self) -> bool {
        let look = (!self.jobs.is_empty()).then_some(self.next_look);
        let until = look.into_iter().chain(self.answerer.deadline()).min();
        let Ok(mut batch) = self.poller.sleep(until) else {
            return false;
        };
        while let Some(event) = self.poller.next(&mut batch) {
            if let Event::Watched(token, events) = event {
                if Token::unpack(token) == Token::Listener && events & libc::EPOLLIN as u32 == 0 {
                    // EPOLLHUP: no process has the filter any more.
                    return false;
                }
            }
            self.guarded(|this| match event {
                Event::Ready(id) if this.has_ended(id) => this.relay(id),
                Event::Ready(id) => this.step(id, Job::on_ready),
                Event::TimedOut(id) if this.has_ended(id) => this.begin_relay(id),
                Event::TimedOut(id) => this.step(id, Job::expired),
                Event::Watched(token, _) => this.event(Token::unpack(token)),
            });
        }
        self.guarded(Supervisor::timers);
        true
    }

    /// A defect that a call or a job shows must not end the others.
    fn guarded(&mut self, work: impl FnOnce(&mut Supervisor)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.router.log.message("bug in tailchain, a call fails");
        }
    }

    fn timers(&mut self) {
        let now = sys::now();
        self.answerer.expire(now);
        if !self.jobs.is_empty() && self.next_look <= now {
            self.next_look = now + LOOK;
            self.drop_unwanted(now);
        }
    }

    fn event(&mut self, token: Token) {
        match token {
            Token::Listener => self.call(),
            Token::Answerer => self.answerer.on_ready(),
            Token::Program => {
                // A parent that waits for end-of-file on its stderr need not wait for background processes of the
                // program.
                crate::sys::silence(libc::STDERR_FILENO);
                self.poller.remove(self.program.fd());
            }
            Token::ProxyNames => {
                self.proxy_names.clear_event();
                self.begin_delayed();
            }
            Token::Placeholder(id) if self.has_ended(id) => self.relay(id),
            Token::Placeholder(id) => self.on_placeholder_closed(id),
        }
    }

    fn call(&mut self) {
        let Ok(call) = self.listener.next() else {
            return;
        };
        let handled = catch_unwind(AssertUnwindSafe(|| self.handle(&call)));
        let reply = handled.unwrap_or_else(|_| {
            self.router.log.message("bug in tailchain, a call fails");
            Reply::Fail(Errno::EIO)
        });
        self.listener.answer(call.id, reply);
    }

    fn handle(&mut self, call: &Call) -> Reply {
        match call.number {
            libc::SYS_connect => self.connect(call),
            libc::SYS_getsockopt => self.get_option(call),
            libc::SYS_setsockopt => self.set_option(call),
            libc::SYS_getpeername => self.peer_name(call),
            libc::SYS_getsockname => self.local_name(call),
            libc::SYS_shutdown => self.shut_down(call),
            libc::SYS_fcntl if call.argument(1) == libc::F_SETFL => self.set_flags(call),
            libc::SYS_fcntl | libc::SYS_dup | libc::SYS_dup3 => self.duplicate(call),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_dup2 => self.duplicate(call),
            libc::SYS_ioctl => self.control(call),
            libc::SYS_sendto => self.send_to(call),
            libc::SYS_recvfrom => self.receive_from(call),
            libc::SYS_recvmsg => self.receive_message(call),
            libc::SYS_sendmsg => self.send_message(call),
            libc::SYS_sendmmsg => self.send_messages(call),
            libc::SYS_epoll_create1 => self.epoll_is_made(),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_create => self.epoll_is_made(),
            _ => Reply::Fail(Errno::ENOSYS),
        }
    }

    fn epoll_is_made(&mut self) -> Reply {
        self.registrations.epoll_is_made();
        Reply::Pass
    }

    /// Starts the jobs that waited for the addresses of the proxies.
    fn begin_delayed(&mut self) {
        let delayed = self.jobs.iter().filter(|(_, job)| job.is_delayed);
        let delayed: Vec<u64> = delayed.map(|(id, _)| *id).collect();
        if delayed.is_empty() || !self.proxy_names.are_known() {
            return;
        }
        for id in delayed {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.is_delayed = false;
            }
            self.step(id, Job::advance);
        }
    }

    /// Removes jobs without a waiting program: it has closed the socket, or is gone.
    fn drop_unwanted(&mut self, now: Duration) {
        let old = self
            .jobs
            .iter()
            .filter(|(_, job)| now.saturating_sub(job.began) >= LOOK);
        let unwanted: Vec<u64> = old
            .filter(|(_, job)| !self.is_wanted(job))
            .map(|(id, _)| *id)
            .collect();
        for id in unwanted {
            self.abandon(id);
        }
    }

    fn is_wanted(&self, job: &Job) -> bool {
        // The wake end of a placeholder reports that itself.
        if job.is_watched_by_placeholder() {
            return true;
        }
        let waits = |waiter: &Call| self.listener.is_waiting(waiter.id);
        job.waiters.iter().any(waits) || crate::held::is_held(job)
    }
}
