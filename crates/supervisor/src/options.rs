//! Socket options and related calls while a connect is pending: they are answered as for a connecting socket, or end
//! the connect.

#![forbid(unsafe_code)]

use crate::borrowed::Borrowed;
use crate::caller::Caller;
use crate::filter;
use crate::job::{AtFd, Job, JobState};
use crate::listener::{Call, Reply};
use crate::put_back::Taken;
use crate::supervisor::Supervisor;
use libc::c_int;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::{forget_association, kind_of, Kind};
use tailchain_core::sys::{self, SockAddr};

/// Options are short. (A filter, SO_ATTACH_FILTER, contains pointers, and is not supported on a pending socket.)
const LONGEST_OPTION: usize = 1024;

/// What a call refers to.
enum About {
    /// A pending connect.
    Pending(u64, Borrowed),
    /// A connect that has ended, whose result is to be taken.
    Ended(u64, Borrowed),
    /// A copy of the placeholder of a failed connect, whose result was taken.
    Failed(Errno, Borrowed),
    /// Another socket.
    Other(Borrowed),
}

impl Supervisor {
    fn about(&self, call: &Call) -> Result<About, Errno> {
        let of = self.borrow(call)?;
        let id = self.by_cookie.get(&of.cookie).copied();
        let job = id.and_then(|id| Some((id, self.jobs.get(&id)?)));
        Ok(match job {
            None => match self.failed.get(&of.cookie) {
                Some(errno) => About::Failed(*errno, of),
                None => About::Other(of),
            },
            // A duplicate of the socket from before its connect: its fd was not replaced.
            Some((_, job))
                if job.end.is_some() && is_behind_placeholder(job) && of.cookie == job.cookie =>
            {
                About::Other(of)
            }
            Some((id, job)) if job.end.is_some() => About::Ended(id, of),
            Some((id, _)) => About::Pending(id, of),
        })
    }

    /// Whether no connect is pending and no result is left to take.
    fn is_idle(&mut self) -> bool {
        if !self.failed.is_empty() && sys::now() > self.failed_until {
            self.failed.clear();
        }
        self.jobs.is_empty() && self.untaken.is_empty() && self.failed.is_empty()
    }

    pub fn get_option(&mut self, call: &Call) -> Reply {
        let is_error = call.argument(1) == libc::SOL_SOCKET && call.argument(2) == libc::SO_ERROR;
        if is_error && self.lost.is_repeated(call) {
            if let Some(reply) = self.repeat_so_error(call) {
                return reply;
            }
        }
        if self.is_idle() {
            return Reply::Pass;
        }
        match self.about(call) {
            Err(_) => Reply::Pass,
            Ok(About::Failed(errno, of)) if is_error => tell_error(call, &of.caller, errno.raw()),
            Ok(About::Failed(..)) => Reply::Pass,
            Ok(About::Ended(id, of)) if is_error => match self.take_end(id, call, of) {
                Ok(Taken::Back(back)) => {
                    self.reply_so_error(call, &back.caller, back.cookie, back.end)
                }
                Ok(Taken::Kept(of)) => tell_error(call, &of.caller, 0),
                Err(reply) => reply,
            },
            Ok(About::Ended(id, of)) => match self.take_end_for_later(id, call, of) {
                Ok(Some(of)) => self.on_socket(id, |job| get_on_socket(call, &of, job)),
                Ok(None) => Reply::Pass,
                Err(reply) => reply,
            },
            Ok(About::Pending(id, of)) if is_error => self.error_of_pending(id, call, &of),
            Ok(About::Pending(id, of)) => match self.jobs.get(&id) {
                Some(job) if is_behind_placeholder(job) => get_on_socket(call, &of, job),
                _ => Reply::Pass,
            },
            Ok(About::Other(of)) => {
                match self.untaken.get(&of.cookie).map(|untaken| untaken.result) {
                    Some(end) if is_error => {
                        self.untaken.remove(&of.cookie);
                        // The kernel's own error is less exact.
                        let _ = sys::get_option::<c_int>(
                            of.socket.fd(),
                            libc::SOL_SOCKET,
                            libc::SO_ERROR,
                        );
                        if let Err(errno) = end {
                            forget_association(of.socket.fd(), errno);
                        }
                        self.reply_so_error(call, &of.caller, of.cookie, end)
                    }
                    _ => Reply::Pass,
                }
            }
        }
    }

    /// Returns the result as SO_ERROR, which takes it. If the call was interrupted, it is restarted and asks the
    /// socket.
    fn reply_so_error(
        &mut self,
        call: &Call,
        caller: &Caller,
        cookie: u64,
        end: Result<(), Errno>,
    ) -> Reply {
        let reply = tell_error(call, caller, end.err().map_or(0, Errno::raw));
        let is_delivered = self.listener.answer(call.id, reply);
        match end {
            Err(_) if is_delivered => self.lost.note_sent(call, cookie, end),
            Err(_) => self.store_result(cookie, end, false),
            Ok(()) => {}
        }
        Reply::Later
    }

    fn repeat_so_error(&mut self, call: &Call) -> Option<Reply> {
        let of = self.borrow(call).ok()?;
        let errno = self.lost.take_sent(call, of.cookie)?.err()?;
        let reply = tell_error(call, &of.caller, errno.raw());
        if !self.listener.answer(call.id, reply) {
            self.store_result(of.cookie, Err(errno), false);
        }
        Some(Reply::Later)
    }

    fn on_socket(&self, id: u64, ask: impl FnOnce(&Job) -> Reply) -> Reply {
        self.jobs.get(&id).map_or(Reply::Fail(Errno::EIO), ask)
    }

    /// A connecting socket has no error. Go gets EINPROGRESS, which makes it wait again.
    fn error_of_pending(&mut self, id: u64, call: &Call, of: &Borrowed) -> Reply {
        // The proxy's last reply may have arrived; no further event would follow it.
        self.step(id, step_if_ready);
        let Some(job) = self.jobs.get(&id) else {
            // It has just ended.
            return self.get_option(call);
        };
        if job.end.is_some() {
            return self.get_option(call);
        }
        match &job.at_fd {
            AtFd::NonBlocking => tell_error(call, &of.caller, libc::EINPROGRESS),
            _ => tell_error(call, &of.caller, 0),
        }
    }

    pub fn set_option(&mut self, call: &Call) -> Reply {
        if self.is_idle() {
            return Reply::Pass;
        }
        match self.about(call) {
            Ok(About::Ended(id, of)) => match self.take_end_for_later(id, call, of) {
                Ok(Some(of)) => self.on_socket(id, |job| set_on_socket(call, &of, job)),
                Ok(None) => Reply::Pass,
                Err(reply) => reply,
            },
            Ok(About::Pending(id, of)) => match self.jobs.get(&id) {
                Some(job) if is_behind_placeholder(job) => set_on_socket(call, &of, job),
                _ => Reply::Pass,
            },
            _ => Reply::Pass,
        }
    }

    pub fn peer_name(&mut self, call: &Call) -> Reply {
        let of = match self.about(call) {
            Err(_) => return Reply::Pass,
            Ok(About::Pending(..) | About::Failed(..)) => return Reply::Fail(Errno::ENOTCONN),
            Ok(About::Ended(id, of)) => match self.take_end_for_later(id, call, of) {
                Ok(Some(of)) => {
                    return self.on_socket(id, |job| {
                        tell_address(call, &of, &SockAddr::from(job.dialled))
                    });
                }
                Ok(None) => match self.borrow(call) {
                    Ok(of) => of,
                    Err(errno) => return Reply::Fail(errno),
                },
                Err(reply) => return reply,
            },
            Ok(About::Other(of)) => of,
        };
        let socket = of.socket.fd();
        let server = self.answerer.server_of(of.cookie, socket);
        match server.or_else(|| self.router.dialled_on(socket)) {
            Some(dialled) => tell_address(call, &of, &SockAddr::from(dialled)),
            None => Reply::Pass,
        }
    }

    pub fn local_name(&mut self, call: &Call) -> Reply {
        if self.is_idle() {
            return Reply::Pass;
        }
        match self.about(call) {
            Ok(About::Ended(id, of)) => match self.take_end_for_later(id, call, of) {
                Ok(Some(of)) => self.on_socket(id, |job| tell_local(call, &of, job)),
                Ok(None) => Reply::Pass,
                Err(reply) => reply,
            },
            Ok(About::Pending(id, of)) => match self.jobs.get(&id) {
                Some(job) if is_behind_placeholder(job) => tell_local(call, &of, job),
                _ => Reply::Pass,
            },
            _ => Reply::Pass,
        }
    }

    /// shutdown(2): aborts the dial of a connecting socket; the kernel leaves ECONNRESET.
    pub fn shut_down(&mut self, call: &Call) -> Reply {
        let about = match self.is_idle() {
            true => return Reply::Pass,
            false => self.about(call),
        };
        match about {
            Ok(About::Pending(id, _)) => {
                if !self.jobs.get(&id).is_some_and(is_behind_placeholder) {
                    return Reply::Pass;
                }
                if !matches!(call.argument(1), libc::SHUT_RD..=libc::SHUT_RDWR) {
                    return Reply::Fail(Errno::EINVAL);
                }
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.is_aborted = true;
                }
                self.finish(id, Errno::ECONNRESET.into());
                Reply::Value(0)
            }
            about => self.give_back(call, about),
        }
    }

    /// fcntl(2) with F_SETFL. A program that makes its socket blocking no longer waits in poll(2), and gets the socket
    /// back.
    pub fn set_flags(&mut self, call: &Call) -> Reply {
        if self.is_idle() {
            return Reply::Pass;
        }
        let about = self.about(call);
        self.give_back(call, about)
    }

    /// dup(2) and its variants. If the socket is connected already, it is put back under all its fds.
    pub fn duplicate(&mut self, call: &Call) -> Reply {
        if !self.any_duplicates {
            self.any_duplicates = self.borrow(call).is_ok_and(|of| {
                self.by_cookie.contains_key(&of.cookie)
                    || matches!(kind_of(of.socket.fd()), Kind::Tcp | Kind::TcpUsed)
            });
        }
        Reply::Pass
    }

    /// ioctl(2) of a socket.
    pub fn control(&mut self, call: &Call) -> Reply {
        if self.is_idle() {
            return Reply::Pass;
        }
        match self.about(call) {
            Ok(About::Pending(id, of))
                if call.argument(1) != filter::FIONBIO
                    && self.jobs.get(&id).is_some_and(is_behind_placeholder) =>
            {
                // The bytes queued in a placeholder were not written by the program.
                of.caller.write(call.pointer(2), &0i32.to_ne_bytes()).into()
            }
            about => self.give_back(call, about),
        }
    }

    /// Puts the program's socket back if it is connected. The call continues in the kernel, since no memory was read.
    fn give_back(&mut self, call: &Call, about: Result<About, Errno>) -> Reply {
        match about {
            Ok(About::Ended(id, of)) => match self.take_end_for_later(id, call, of) {
                Ok(_) => Reply::Pass,
                Err(reply) => reply,
            },
            _ => Reply::Pass,
        }
    }

    /// Puts the program's socket back, while the program has yet to ask for the result. `Some`: it keeps its
    /// placeholder.
    fn take_end_for_later(
        &mut self,
        id: u64,
        call: &Call,
        of: Borrowed,
    ) -> Result<Option<Borrowed>, Reply> {
        let by_program = self.jobs.get(&id).is_some_and(|job| job.is_aborted);
        match self.take_end(id, call, of)? {
            Taken::Kept(of) => Ok(Some(of)),
            Taken::Back(back) => {
                if back.end.is_err() {
                    self.store_result(back.cookie, back.end, by_program);
                }
                Ok(None)
            }
        }
    }
}

fn step_if_ready(job: &mut Job) -> JobState {
    if job.is_delayed {
        return JobState::DELAYED;
    }
    let wait = match job.driver() {
        Some(driver) => driver.waiting(),
        None => return job.advance(),
    };
    let is_ready = || sys::poll_one(wait.fd, wait.events, Some(core::time::Duration::ZERO));
    match wait.events != 0 && is_ready() == Ok(true) {
        true => job.on_ready(),
        false => wait.into(),
    }
}

fn is_behind_placeholder(job: &Job) -> bool {
    matches!(job.at_fd, AtFd::Placeholder(_))
}

fn tell_error(call: &Call, caller: &Caller, errno: c_int) -> Reply {
    caller
        .write_sized(call.pointer(3), call.pointer(4), &errno.to_ne_bytes())
        .into()
}

fn tell_address(call: &Call, of: &Borrowed, address: &SockAddr) -> Reply {
    of.caller
        .write_sized(call.pointer(1), call.pointer(2), address.as_bytes())
        .into()
}

fn tell_local(call: &Call, of: &Borrowed, job: &Job) -> Reply {
    match sys::local_address(job.final_socket()) {
        Ok(address) => tell_address(call, of, &address),
        Err(errno) => Reply::Fail(errno),
    }
}

fn get_on_socket(call: &Call, of: &Borrowed, job: &Job) -> Reply {
    let asked = || {
        let room =
            usize::try_from(of.caller.read_int(call.pointer(4))?).map_err(|_| Errno::EINVAL)?;
        let mut value = vec![0; room.min(LONGEST_OPTION)];
        let (level, name) = (call.argument(1), call.argument(2));
        let length = crate::sys::get_option(job.final_socket(), level, name, &mut value)?;
        if (level, name, job.end) == (libc::IPPROTO_TCP, libc::TCP_INFO, None) {
            // Connected to the proxy, while the program's connection is not established. tcpi_state is the first byte.
            if let Some(state) = value.first_mut() {
                *state = sys::TCP_CONNECTING;
            }
        }
        let value = value.get(..length).unwrap_or_default();
        of.caller
            .write_sized(call.pointer(3), call.pointer(4), value)
    };
    asked().into()
}

fn set_on_socket(call: &Call, of: &Borrowed, job: &Job) -> Reply {
    let set = || {
        let length = usize::try_from(call.argument(4)).map_err(|_| Errno::EINVAL)?;
        if length > LONGEST_OPTION {
            return Err(Errno::EINVAL);
        }
        let mut value = vec![0; length];
        if length > 0 {
            of.caller.read(call.pointer(3), &mut value)?;
        }
        crate::sys::set_option(
            job.final_socket(),
            call.argument(1),
            call.argument(2),
            &value,
        )
    };
    set().into()
}
