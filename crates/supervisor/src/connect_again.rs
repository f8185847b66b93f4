//! connect(2) of a socket whose earlier connect is pending, or has a result that was not taken yet.

#![forbid(unsafe_code)]

use crate::borrowed::Borrowed;
use crate::job::{is_nonblocking, AtFd, Engine};
use crate::listener::{Call, Reply};
use crate::put_back::{Back, Taken};
use crate::supervisor::Supervisor;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::unconnectable_address;
use tailchain_core::sys::{self, SockAddr};

impl Supervisor {
    /// A connect of a socket whose earlier connect is pending, or has a result that was not taken yet.
    pub fn connect_again(
        &mut self,
        id: u64,
        call: &Call,
        of: Borrowed,
        address: &SockAddr,
    ) -> Reply {
        let Some(job) = self.jobs.get_mut(&id) else {
            return Reply::Fail(Errno::EIO);
        };
        if address.family() == libc::AF_UNSPEC {
            return self.dissolve(id, call, of);
        }
        if job.end.is_some() {
            return self.connect_ended(id, call, of);
        }
        if is_nonblocking(of.socket.fd()) {
            // A signal may have prevented the first reply.
            if job.in_progress_delivered {
                return Reply::Fail(Errno::EALREADY);
            }
            let socket = job.socket.fd();
            if self.any_duplicates && of.cookie != job.cookie {
                self.replace_duplicates(call, socket, of.socket.fd());
            }
            return self.in_progress(id, call);
        }
        let listener = &self.listener;
        let before = job.waiters.len();
        job.waiters.retain(|waiter| listener.is_waiting(waiter.id));
        if sys::send_timeout(job.socket.fd()) != Ok(None) {
            if job.waiters.len() < before {
                // The kernel does not restart a connect with SO_SNDTIMEO, as it restarts an interrupted notification.
                return Reply::Fail(Errno::EINTR);
            }
            // The supervisor keeps no timer for a further wait.
            if !job.waiters.is_empty() || matches!(job.engine, Engine::Background(_)) {
                return Reply::Fail(Errno::EALREADY);
            }
        }
        job.waiters.push(*call);
        Reply::Later
    }

    fn connect_ended(&mut self, id: u64, call: &Call, of: Borrowed) -> Reply {
        let fd = of.fd;
        let is_aborted = self.jobs.get(&id).is_some_and(|job| job.is_aborted);
        match self.take_end(id, call, of) {
            Ok(Taken::Back(Back {
                caller,
                end: Ok(()),
                cookie,
            })) => {
                if let Ok(socket) = caller.borrow(fd) {
                    // Takes the kernel's own result, which it reports to one connect(2); the next returns EISCONN.
                    let _ = sys::connect(socket.fd(), &unconnectable_address());
                }
                self.answer_connect(call, cookie, Reply::Value(0))
            }
            // The kernel clears the state that shutdown(2) has left, and the connect starts anew.
            Ok(Taken::Back(_)) if is_aborted => self.connect(call),
            Ok(Taken::Back(Back { cookie, end, .. })) => {
                if !self.listener.answer(call.id, end.into()) {
                    self.store_result(cookie, end, false);
                }
                Reply::Later
            }
            Ok(Taken::Kept(..)) => self.jobs.get(&id).map_or(Reply::Fail(Errno::EIO), |job| {
                sys::connect(job.final_socket(), &unconnectable_address()).into()
            }),
            Err(reply) => reply,
        }
    }

    fn dissolve(&mut self, id: u64, call: &Call, of: Borrowed) -> Reply {
        let Some(mut job) = self.remove(id) else {
            return Reply::Fail(Errno::EIO);
        };
        for waiter in job.waiters.drain(..) {
            self.listener
                .answer(waiter.id, Reply::Fail(Errno::ECONNABORTED));
        }
        job.replacement = None;
        let _ = sys::disconnect(job.socket.fd());
        match job.at_fd {
            AtFd::Placeholder(_) => self.put_back(call, &job, of).map(drop).into(),
            _ => Reply::Value(0),
        }
    }
}
