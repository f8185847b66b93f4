//! The start of a connect: what its caller is told at once, and what is under its fd meanwhile.

#![forbid(unsafe_code)]

use crate::borrowed::Borrowed;
use crate::caller;
use crate::held;
use crate::job::{AtFd, Engine, Job};
use crate::listener::{Call, Reply};
use crate::placeholder::Placeholder;
use crate::supervisor::{EndedAtStart, Supervisor};
use std::net::SocketAddr;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::forget_association;
use tailchain_core::sys::{self, Fd};

impl Supervisor {
    /// Starts a job whose caller gets the result when it ends.
    pub fn start_blocking(&mut self, job: Job) -> Reply {
        match self.start(job) {
            Ok(_) => Reply::Later,
            Err(ended) => {
                self.finish_blocking(ended.job, ended.result);
                Reply::Later
            }
        }
    }

    /// Starts a job for Go, whose own socket stays under its fd.
    pub fn start_nonblocking(&mut self, call: &Call, job: Job) -> Reply {
        match self.start(job) {
            Ok(id) => self.in_progress(id, call),
            Err(ended) => {
                let EndedAtStart { job, result } = *ended;
                match (result, &job.replacement) {
                    (Err(errno), _) => {
                        forget_association(job.socket.fd(), errno);
                        Reply::Fail(errno)
                    }
                    (Ok(()), None) => Reply::Value(0),
                    (Ok(()), Some(_)) => match self.borrow(call) {
                        Ok(of) => self.put_back(call, &job, of).map(drop).into(),
                        Err(errno) => Reply::Fail(errno),
                    },
                }
            }
        }
    }

    pub fn start_behind_placeholder(
        &mut self,
        call: &Call,
        of: Borrowed,
        dialled: SocketAddr,
        engine: Engine,
    ) -> Result<Reply, Errno> {
        let (placeholder, app_end) = Placeholder::new()?;
        let blocks = matches!(engine, Engine::Blocking(_));
        if blocks {
            sys::set_nonblocking(app_end.fd(), false)?;
        }
        let close_on_exec = caller::closes_on_exec(call.thread, of.fd);
        let (thread, fd) = (call.thread, of.fd);
        let process = of.caller.process();
        let found = self.registrations.take(thread, fd, of.socket.fd());
        let installed = self
            .listener
            .install(call.id, app_end.fd(), fd, close_on_exec);
        if let Err(errno) = installed {
            self.registrations.put(thread, fd, &found);
            // ENOENT: the call was interrupted, and will be restarted.
            return match errno {
                Errno::ENOENT => Ok(Reply::Later),
                errno => Err(errno),
            };
        }
        self.registrations.put(thread, fd, &found);
        if self.any_duplicates {
            self.replace_duplicates(call, of.socket.fd(), app_end.fd());
        }
        drop(app_end);
        let (cookie, wake) = (placeholder.cookie, placeholder.wake_fd());
        let mut job = new_job(call, of, dialled, engine, AtFd::Placeholder(placeholder));
        job.thread = process;
        job.by_other_thread = call.thread != process;
        if blocks {
            job.waiters.push(*call);
            // To a second connect, without O_NONBLOCK or after a signal, the kernel returns EALREADY.
            job.in_progress_delivered = true;
        }
        match self.start(job) {
            Ok(id) => {
                if let Some(wake) = wake {
                    self.watch_placeholder(id, cookie, wake);
                }
                Ok(match blocks {
                    true => Reply::Later,
                    false => self.in_progress(id, call),
                })
            }
            Err(ended) => {
                let EndedAtStart { job, result } = *ended;
                if let Err(errno) = result {
                    forget_association(job.socket.fd(), errno);
                }
                let of = self.borrow(call)?;
                self.put_back(call, &job, of)?;
                Ok(result.into())
            }
        }
    }

    /// Replies EINPROGRESS. If the call was interrupted, the next call replies it.
    pub fn in_progress(&mut self, id: u64, call: &Call) -> Reply {
        let result = Err(Errno::EINPROGRESS);
        let delivered = self.listener.answer(call.id, result.into());
        if let Some(job) = self.jobs.get_mut(&id) {
            job.in_progress_delivered = delivered;
            if delivered {
                self.lost.note_sent(call, job.cookie_under_fd(), result);
            }
        }
        Reply::Later
    }

    /// Installs the same placeholder under the other fds of a socket. If a signal interrupts this, the restarted call
    /// completes it.
    pub fn replace_duplicates(&mut self, call: &Call, socket: Fd, app_end: Fd) {
        let Ok(file) = sys::file_id(socket) else {
            return;
        };
        for dup in held::fds_of(call.thread, file) {
            let found = self.registrations.take(call.thread, dup, socket);
            let close_on_exec = caller::closes_on_exec(call.thread, dup);
            let _ = self.listener.install(call.id, app_end, dup, close_on_exec);
            self.registrations.put(call.thread, dup, &found);
        }
    }
}

pub fn new_job(call: &Call, of: Borrowed, dialled: SocketAddr, engine: Engine, at_fd: AtFd) -> Job {
    let waiters = match at_fd {
        AtFd::Blocking => vec![*call],
        _ => Vec::new(),
    };
    Job {
        socket: of.socket,
        cookie: of.cookie,
        dialled,
        engine,
        at_fd,
        waiters,
        is_delayed: false,
        in_progress_delivered: false,
        end: None,
        is_aborted: false,
        replacement: None,
        thread: call.thread,
        by_other_thread: false,
        fd: of.fd,
        began: sys::now(),
    }
}
