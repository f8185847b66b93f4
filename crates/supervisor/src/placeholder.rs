//! The file under the program's fd while its socket is being connected: a unix stream that is neither readable nor
//! writable. For preloaded programs `tailchain_core::pending` has an equivalent.

#![forbid(unsafe_code)]

use crate::relay::{Flow, Relay};
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd, FileId, OwnFd};

/// The supervisor's part. Only the program holds the app end.
pub struct Placeholder {
    /// The wake end. `None` once the connect has failed.
    wake: Option<OwnFd>,
    pub cookie: u64,
    pub file: FileId,
    /// How many bytes fill the send buffer.
    filling: usize,
    relay: Relay,
}

impl Placeholder {
    /// Returns the app end, too.
    pub fn new() -> Result<(Placeholder, OwnFd), Errno> {
        let (app_end, wake) = sys::stream_pair()?;
        // The kernel raises it to its minimum, and accepts one write beyond it.
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

    /// Makes the app end writable, as a connected socket is.
    pub fn signal_success(&mut self) {
        let Some(wake) = &self.wake else {
            return;
        };
        let mut buffer = [0; 8 * 1024];
        // A thread that makes its socket blocking may write at once; the loop takes no byte more than the filling.
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

    /// Causes POLLERR and POLLHUP: closing an end with unread data resets the other (unix(7)).
    pub fn signal_failure(&mut self) {
        self.wake = None;
    }

    /// Relays data between the program and `socket`.
    pub fn relay(&mut self, socket: Fd) -> Flow {
        match &self.wake {
            Some(wake) => self.relay.run(wake.fd(), socket),
            None => Flow::Wait,
        }
    }

    /// Prepares for putting `socket` back under the fds of `program`, the app end. Returns whether that is possible.
    pub fn settle(&mut self, program: Fd, socket: Fd) -> bool {
        match &self.wake {
            Some(wake) => self.relay.settle(wake.fd(), program, socket),
            None => true,
        }
    }

    /// The socket was put back before any of the program's threads was woken.
    pub fn leave(&mut self) {
        self.signal_success();
        self.relay.leave();
    }

    /// To be called if the socket was not put back after all.
    pub fn go_on(&mut self) {
        self.relay.go_on();
    }

    /// Whether the program that connected has its socket back.
    pub fn is_left(&self) -> bool {
        self.relay.is_left()
    }

    /// Wakes threads that sleep in a read and do not know that the socket is back.
    pub fn wake_readers(&self) {
        if let Some(wake) = &self.wake {
            let _ = sys::shutdown(wake.fd(), libc::SHUT_WR);
        }
    }

    /// Reports a reset to the program, after the data received before it. `program` is the app end.
    pub fn signal_reset(&mut self, program: Fd) {
        let _ = sys::send(program, &[0]);
        self.wake = None;
    }
}
