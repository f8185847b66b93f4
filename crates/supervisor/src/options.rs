//! What a program asks of a socket while its connect is pending: the answers of a connecting socket, and the end of it.

#![forbid(unsafe_code)]

use crate::connect::Borrowed;
use crate::job::{Face, Job, Stand};
use crate::listener::{Call, Reply};
use crate::supervisor::Supervisor;
use libc::c_int;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::forget_association;
use tailchain_core::sys::{self, SockAddr};

/// Options are short; a filter (SO_ATTACH_FILTER) holds pointers and is not for a pending socket.
const LONGEST_OPTION: usize = 1024;

/// What a call is about.
enum About {
    /// A pending connect.
    Pending(u64, Borrowed),
    /// A connect that is over, whose end is to be taken.
    Ended(u64, Borrowed),
    /// Another socket.
    Other(Borrowed),
}

impl Supervisor {
    fn about(&self, call: &Call) -> Result<About, Errno> {
        let of = self.borrow(call)?;
        let id = self.by_cookie.get(&of.cookie).copied();
        let job = id.and_then(|id| Some((id, self.jobs.get(&id)?)));
        Ok(match job {
            None => About::Other(of),
            Some((id, job)) if job.end.is_some() => About::Ended(id, of),
            Some((id, _)) => About::Pending(id, of),
        })
    }

    /// Nothing is pending, nothing is to be told.
    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.untold.is_empty()
    }

    pub fn get_option(&mut self, call: &Call) -> Reply {
        if self.is_idle() {
            return Reply::Pass;
        }
        let is_error = call.argument(1) == libc::SOL_SOCKET && call.argument(2) == libc::SO_ERROR;
        match self.about(call) {
            Err(_) => Reply::Pass,
            Ok(About::Ended(id, of)) => match self.take_end(id, call, of.fd) {
                Ok(_) if !is_error => Reply::Pass,
                Ok(end) => tell_error(call, &of, end.err().map_or(0, Errno::raw)),
                Err(reply) => reply,
            },
            Ok(About::Pending(id, of)) if is_error => self.error_of_pending(id, call, &of),
            Ok(About::Pending(id, of)) => match self.jobs.get(&id) {
                Some(job) if is_behind_placeholder(job) => get_on_socket(call, &of, job),
                _ => Reply::Pass,
            },
            Ok(About::Other(of)) => match self.untold.get(&of.cookie).copied() {
                Some(end) if is_error => {
                    self.untold.remove(&of.cookie);
                    // What the kernel has to say of it is less exact.
                    let _ =
                        sys::get_option::<c_int>(of.socket.fd(), libc::SOL_SOCKET, libc::SO_ERROR);
                    if let Err(errno) = end {
                        forget_association(of.socket.fd(), errno);
                    }
                    tell_error(call, &of, end.err().map_or(0, Errno::raw))
                }
                _ => Reply::Pass,
            },
        }
    }

    /// A connecting socket has no error. To Go it is told that it still connects: it waits again.
    fn error_of_pending(&mut self, id: u64, call: &Call, of: &Borrowed) -> Reply {
        // The last answer of the proxy may be there: there will be no event after it.
        self.step(id, step_if_ready);
        let Some(job) = self.jobs.get(&id) else {
            // It ended just now.
            return self.get_option(call);
        };
        if job.end.is_some() {
            return self.get_option(call);
        }
        match &job.face {
            Face::Gate { is_go: true } => tell_error(call, of, libc::EINPROGRESS),
            _ => tell_error(call, of, 0),
        }
    }

    pub fn set_option(&mut self, call: &Call) -> Reply {
        if self.is_idle() {
            return Reply::Pass;
        }
        match self.about(call) {
            Ok(About::Ended(id, of)) => match self.take_end_for_later(id, call, &of) {
                Ok(()) => Reply::Pass,
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
            Ok(About::Pending(..)) => return Reply::Fail(Errno::ENOTCONN),
            Ok(About::Ended(id, of)) => match self.take_end_for_later(id, call, &of) {
                Ok(()) => match self.borrow(call) {
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
            Ok(About::Ended(id, of)) => match self.take_end_for_later(id, call, &of) {
                Ok(()) => Reply::Pass,
                Err(reply) => reply,
            },
            Ok(About::Pending(id, of)) => match self.jobs.get(&id) {
                Some(job) if is_behind_placeholder(job) => {
                    match sys::local_address(job.socket.fd()) {
                        Ok(address) => tell_address(call, &of, &address),
                        Err(errno) => Reply::Fail(errno),
                    }
                }
                _ => Reply::Pass,
            },
            _ => Reply::Pass,
        }
    }

    /// The program has its socket back, and is yet to be told how the connect ended.
    fn take_end_for_later(&mut self, id: u64, call: &Call, of: &Borrowed) -> Result<(), Reply> {
        let cookie = self
            .jobs
            .get(&id)
            .and_then(|job| sys::cookie(job.final_socket()));
        let end = self.take_end(id, call, of.fd)?;
        if let (Err(_), Some(cookie)) = (end, cookie) {
            self.leave_untold(cookie, end);
        }
        Ok(())
    }
}

fn step_if_ready(job: &mut Job) -> Stand {
    let waiting = match job.driver() {
        Some(driver) => driver.waiting(),
        None => return job.begin(),
    };
    let stand = crate::job::of_progress(waiting);
    match stand {
        Stand::Wait { fd, events, .. } if events != 0 => {
            match sys::poll_one(fd, events, Some(core::time::Duration::ZERO)) {
                Ok(true) => job.on_ready(),
                _ => stand,
            }
        }
        stand => stand,
    }
}

fn is_behind_placeholder(job: &Job) -> bool {
    matches!(job.face, Face::Placeholder(_))
}

fn tell_error(call: &Call, of: &Borrowed, errno: c_int) -> Reply {
    of.caller
        .write_sized(call.pointer(3), call.pointer(4), &errno.to_ne_bytes())
        .into()
}

fn tell_address(call: &Call, of: &Borrowed, address: &SockAddr) -> Reply {
    of.caller
        .write_sized(call.pointer(1), call.pointer(2), address.as_bytes())
        .into()
}

fn get_on_socket(call: &Call, of: &Borrowed, job: &Job) -> Reply {
    let asked = || {
        let room =
            usize::try_from(of.caller.read_int(call.pointer(4))?).map_err(|_| Errno::EINVAL)?;
        let mut value = vec![0; room.min(LONGEST_OPTION)];
        let (level, name) = (call.argument(1), call.argument(2));
        let length = crate::sys::get_option(job.socket.fd(), level, name, &mut value)?;
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
        crate::sys::set_option(job.socket.fd(), call.argument(1), call.argument(2), &value)
    };
    set().into()
}
