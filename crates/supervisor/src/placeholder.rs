//! What is under the program's fd while its socket is being connected: a unix stream that is neither readable nor
//! writable. `tailchain_core::pending` has the same for preloaded programs.

#![forbid(unsafe_code)]

use crate::relay::{Flow, Relay};
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd, FileId, OwnFd};

/// The program's end is its own; this is what the supervisor keeps.
pub struct Placeholder {
    /// `None` once the connect has failed.
    wake: Option<OwnFd>,
    pub cookie: u64,
    pub file: FileId,
    /// How many bytes make it full.
    filling: usize,
    relay: Relay,
}

impl Placeholder {
    /// With the end for the program.
    pub fn new() -> Result<(Placeholder, OwnFd), Errno> {
        let (app_end, wake) = sys::stream_pair()?;
        // The kernel raises it to its minimum, and takes one write beyond it.
        sys::set_option(app_end.fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, &1)?;
        let filling = sys::send(app_end.fd(), &[0; 8 * 1024])?;
        let placeholder = Placeholder {
            wake: Some(wake),
            cookie: sys::cookie(app_end.fd()).ok_or(Errno::ENOSYS)?,
            file: sys::file_id(app_end.fd())?,
            filling,
            relay: Relay::default(),
        };
        Ok((placeholder, app_end))
    }

    pub fn wake_fd(&self) -> Option<Fd> {
        self.wake.as_ref().map(OwnFd::fd)
    }

    /// Writable from now on, as a connected socket.
    pub fn tell_success(&mut self) {
        let Some(wake) = &self.wake else {
            return;
        };
        let mut buffer = [0; 8 * 1024];
        // A thread that makes its socket block may write into the room at once: not a byte more is taken.
        while let Some(rest) = buffer
            .get_mut(..self.filling)
            .filter(|rest| !rest.is_empty())
        {
            match sys::receive(wake.fd(), rest, false) {
                Ok(length @ 1..) => self.filling -= length,
                _ => return,
            }
        }
    }

    /// POLLERR and POLLHUP: an end that is closed with unread data resets the other (unix(7)).
    pub fn tell_failure(&mut self) {
        self.wake = None;
    }

    /// Move data between the program and `socket`.
    pub fn relay(&mut self, socket: Fd) -> Flow {
        match &self.wake {
            Some(wake) => self.relay.run(wake.fd(), socket),
            None => Flow::Waits,
        }
    }

    /// Make ready for `socket` to be put back under the fds of `program`, the program's end. Whether that can be done.
    pub fn settle(&mut self, program: Fd, socket: Fd) -> bool {
        match &self.wake {
            Some(wake) => self.relay.settle(wake.fd(), program, socket),
            None => true,
        }
    }

    /// It was not put back after all.
    pub fn go_on(&mut self) {
        self.relay.go_on();
    }

    /// Whether the program that connected has its socket back.
    pub fn is_left(&self) -> bool {
        self.relay.is_left()
    }

    /// Who sleeps for something to read, in a thread that does not know that the socket is back, is to look.
    pub fn wake_readers(&self) {
        if let Some(wake) = &self.wake {
            let _ = sys::shutdown(wake.fd(), libc::SHUT_WR);
        }
    }

    /// The connection was reset: reading tells it, after what came before. `program` is the program's end.
    pub fn tell_reset(&mut self, program: Fd) {
        let _ = sys::send(program, &[0]);
        self.wake = None;
    }
}
