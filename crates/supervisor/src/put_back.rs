//! The result of a connect that has ended: the program's socket is put back where its placeholder was.

#![forbid(unsafe_code)]

use crate::borrowed::Borrowed;
use crate::caller::{self, Caller};
use crate::held;
use crate::job::{is_nonblocking, AtFd, Job};
use crate::listener::{Call, Reply};
use crate::supervisor::Supervisor;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::forget_association;
use tailchain_core::sys::{self, Fd, OwnFd};

/// The result of a connect that has ended, as the program gets it.
pub enum Taken {
    Back(Back),
    /// The program keeps its placeholder.
    Kept(Borrowed),
}

/// The program has its socket back.
pub struct Back {
    pub caller: Caller,
    pub cookie: u64,
    pub end: Result<(), Errno>,
}

impl Supervisor {
    /// Takes the result of a job whose caller did not wait, and puts the socket back under its fd.
    ///
    /// # Errors
    /// The reply to the call, if that is not possible.
    pub fn take_end(&mut self, id: u64, call: &Call, of: Borrowed) -> Result<Taken, Reply> {
        if !self.is_to_be_put_back(id, call, &of) {
            return Ok(Taken::Kept(of));
        }
        let Some(mut job) = self.remove(id) else {
            return Err(Reply::Fail(Errno::EIO));
        };
        let end = job.end.unwrap_or(Err(Errno::EIO));
        if let Err(errno) = end {
            forget_association(job.socket.fd(), errno);
        }
        let cookie = match &job.replacement {
            Some(replacement) => sys::cookie(replacement.fd()).unwrap_or(job.cookie),
            None => job.cookie,
        };
        let back = |caller| {
            Taken::Back(Back {
                caller,
                cookie,
                end,
            })
        };
        if !matches!(job.at_fd, AtFd::Placeholder(_)) && job.replacement.is_none() {
            return Ok(back(of.caller));
        }
        match self.put_back(call, &job, of) {
            Ok(caller) => {
                self.leave_to_others(id, job);
                Ok(back(caller))
            }
            // Interrupted: the call is restarted, and finds everything as before.
            Err(Errno::ENOENT) => {
                if let Some(placeholder) = job.placeholder() {
                    placeholder.go_on();
                }
                self.keep(id, job);
                self.relay_soon(id);
                Err(Reply::Later)
            }
            Err(errno) => Err(Reply::Fail(errno)),
        }
    }

    /// Whether to put the socket back. A program that has used its placeholder keeps it while data is in transit, or
    /// while a thread may sleep in a read(2) of it.
    fn is_to_be_put_back(&mut self, id: u64, call: &Call, of: &Borrowed) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else {
            return true;
        };
        let socket = job.final_socket();
        if job.end != Some(Ok(())) {
            return true;
        }
        let Some(placeholder) = job.placeholder() else {
            return true;
        };
        // A connect itself is answered with the socket.
        let sleeps = call.number != libc::SYS_connect
            && !is_nonblocking(of.socket.fd())
            && caller::has_threads(call.thread);
        !sleeps && placeholder.settle(of.socket.fd(), socket)
    }

    /// Keeps a job for forked children, which may have copies of the placeholder, and for threads that may sleep in
    /// poll(2) on it. The connection is not closed before they are done.
    pub fn leave_to_others(&mut self, id: u64, job: Job) {
        let AtFd::Placeholder(placeholder) = &job.at_fd else {
            return;
        };
        // If this call has the last reference, the loop is notified when the call returns.
        if let Some(Err(errno)) = job.end {
            return self.leave_failed(placeholder.cookie, errno);
        }
        self.by_cookie.insert(placeholder.cookie, id);
        self.jobs.insert(id, job);
        self.relay_soon(id);
    }

    /// Puts the socket back under each fd of the program that refers to its placeholder, with the flags that the
    /// program has set meanwhile. The supervisor must not hold the program's end any longer than this call, or the end
    /// of the last reference would go unnoticed.
    pub fn put_back(&mut self, call: &Call, job: &Job, of: Borrowed) -> Result<Caller, Errno> {
        let Borrowed {
            caller, fd, socket, ..
        } = of;
        self.put_back_one(call, job, fd, socket)?;
        if let AtFd::Placeholder(placeholder) = &job.at_fd {
            if self.any_duplicates {
                for dup in held::fds_of(call.thread, placeholder.file) {
                    if let Ok(file) = caller.borrow(dup) {
                        let _ = self.put_back_one(call, job, dup, file);
                    }
                }
            }
        }
        Ok(caller)
    }

    /// `now` is the file under `fd`.
    fn put_back_one(&mut self, call: &Call, job: &Job, fd: Fd, now: OwnFd) -> Result<(), Errno> {
        let socket = job.final_socket();
        sys::set_nonblocking(socket, is_nonblocking(now.fd()))?;
        let found = self.registrations.take(call.thread, fd, now.fd());
        drop(now);
        let close_on_exec = caller::closes_on_exec(call.thread, fd);
        let installed = self.listener.install(call.id, socket, fd, close_on_exec);
        self.registrations.put(call.thread, fd, &found);
        installed
    }
}
