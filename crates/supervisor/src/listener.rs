//! The supervisor's end of the filter: it receives the system calls that wait for an answer (seccomp_unotify(2)).

#![forbid(unsafe_code)]

use crate::sys;
use libc::{c_int, c_long, pid_t};
use tailchain_core::errno::Errno;
use tailchain_core::sys::{Fd, OwnFd};

/// A system call of a program, which waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub id: u64,
    pub thread: pid_t,
    pub number: c_long,
    pub arguments: [u64; 6],
}

impl Call {
    /// The first argument, as an fd.
    pub fn fd(&self) -> Fd {
        self.argument(0)
    }

    /// An argument as an int.
    pub fn argument(&self, index: usize) -> c_int {
        self.pointer(index) as c_int
    }

    /// An argument as a pointer.
    pub fn pointer(&self, index: usize) -> u64 {
        self.arguments.get(index).copied().unwrap_or(0)
    }
}

/// The reply to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Value(i64),
    Fail(Errno),
    /// The call continues in the kernel. Only if the fd alone decided that: memory that was read may have changed.
    Pass,
    /// No reply now: it follows later, or the call no longer waits.
    Later,
}

impl From<Result<(), Errno>> for Reply {
    fn from(result: Result<(), Errno>) -> Reply {
        match result {
            Ok(()) => Reply::Value(0),
            Err(errno) => Reply::Fail(errno),
        }
    }
}

pub struct Listener {
    fd: OwnFd,
    buffer: Vec<u64>,
}

impl Listener {
    pub fn new(fd: OwnFd) -> Result<Listener, Errno> {
        let size = sys::notification_size()?;
        sys::wake_on_same_cpu(fd.fd());
        Ok(Listener {
            fd,
            buffer: vec![0; size.div_ceil(size_of::<u64>())],
        })
    }

    pub fn fd(&self) -> Fd {
        self.fd.fd()
    }

    /// Receives the next call. ENOENT: its caller was interrupted or has ended; there may be another call.
    pub fn next(&mut self) -> Result<Call, Errno> {
        let call = sys::receive(self.fd.fd(), &mut self.buffer)?;
        Ok(Call {
            id: call.id,
            thread: call.pid as pid_t,
            number: c_long::from(call.data.nr),
            arguments: call.data.args,
        })
    }

    /// Whether the call still waits. If so, everything read about its caller before was really the caller's.
    pub fn is_waiting(&self, id: u64) -> bool {
        sys::is_waiting(self.fd.fd(), id)
    }

    /// Sends the answer. Returns whether it arrived.
    pub fn answer(&self, id: u64, reply: Reply) -> bool {
        let (val, error, flags) = match reply {
            Reply::Value(value) => (value, 0, 0),
            Reply::Fail(errno) => (0, -errno.raw(), 0),
            Reply::Pass => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
            Reply::Later => return false,
        };
        let mut answer = libc::seccomp_notif_resp {
            id,
            val,
            error,
            flags,
        };
        sys::answer(self.fd.fd(), &mut answer).is_ok()
    }

    /// Installs `socket` under the caller's `fd`, replacing what is there (dup3(2)).
    ///
    /// # Errors
    /// ENOENT: the caller was interrupted or is gone.
    pub fn install(&self, id: u64, socket: Fd, fd: Fd, close_on_exec: bool) -> Result<(), Errno> {
        let mut request = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            srcfd: socket as u32,
            newfd: fd as u32,
            newfd_flags: if close_on_exec {
                libc::O_CLOEXEC as u32
            } else {
                0
            },
        };
        match sys::add_fd(self.fd.fd(), &mut request) {
            Ok(_) => Ok(()),
            // The call was interrupted meanwhile.
            Err(Errno::ESRCH | Errno::EINPROGRESS) => Err(Errno::ENOENT),
            Err(errno) => Err(errno),
        }
    }
}
