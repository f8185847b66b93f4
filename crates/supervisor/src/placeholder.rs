//! What is under the program's fd while its socket is being connected: a unix stream that is neither readable nor
//! writable. `tailchain_core::pending` has the same for preloaded programs.

#![forbid(unsafe_code)]

use std::time::Duration;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, FileId, OwnFd};

/// The program's end is its own; this is what the supervisor keeps.
pub struct Placeholder {
    /// `None` once the connect has failed.
    wake: Option<OwnFd>,
    pub cookie: u64,
    pub file: FileId,
}

impl Placeholder {
    /// With the end for the program.
    pub fn new() -> Result<(Placeholder, OwnFd), Errno> {
        let (app_end, wake) = sys::stream_pair()?;
        // The kernel raises it to its minimum, and takes one write beyond it.
        sys::set_option(app_end.fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, &1)?;
        sys::send(app_end.fd(), &[0; 16 * 1024])?;
        let placeholder = Placeholder {
            wake: Some(wake),
            cookie: sys::cookie(app_end.fd()).ok_or(Errno::ENOSYS)?,
            file: sys::file_id(app_end.fd())?,
        };
        Ok((placeholder, app_end))
    }

    pub fn wake_fd(&self) -> Option<i32> {
        self.wake.as_ref().map(OwnFd::fd)
    }

    /// Whether no fd leads to it any more. Not to be told once the connect has failed.
    pub fn peer_closed(&self) -> bool {
        // No event is asked for: POLLHUP is always told.
        self.wake
            .as_ref()
            .is_some_and(|wake| sys::poll_one(wake.fd(), 0, Some(Duration::ZERO)) == Ok(true))
    }

    /// Writable from now on, as a connected socket. What is written to it fails rather than be lost.
    pub fn tell_success(&self) {
        if let Some(wake) = &self.wake {
            let _ = sys::shutdown(wake.fd(), libc::SHUT_RD);
            let mut buffer = [0; 8 * 1024];
            while matches!(sys::receive(wake.fd(), &mut buffer, false), Ok(1..)) {}
        }
    }

    /// POLLERR and POLLHUP: an end that is closed with unread data resets the other (unix(7)).
    pub fn tell_failure(&mut self) {
        self.wake = None;
    }
}
