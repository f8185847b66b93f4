//! The placeholder: the file under the program's fd while its socket is being connected.
//!
//! To the program it must look like a connecting TCP socket: neither readable nor writable, with EAGAIN on a premature
//! read or write. A unix stream socket whose send buffer is full has all these properties, so no data call needs a
//! hook.

use crate::errno::Errno;
use crate::own_fds::{OwnFds, RegisteredFd};
use crate::sys::{self, Fd, FileId, NofileGuard, OwnFd, SignalsBlocked, SockAddr};
use std::sync::Arc;
use std::time::Duration;

pub struct Placeholder {
    /// The end under the program's fd.
    pub app_end: OwnFd,
    /// The end that wakes the program.
    pub wake_end: WakeEnd,
    pub id: FileId,
}

/// The library's end of a placeholder.
pub struct WakeEnd(RegisteredFd);

impl Placeholder {
    /// The limit stays raised: the caller creates another fd.
    pub fn new(
        limit: &NofileGuard,
        signals: &SignalsBlocked,
        own_fds: &'static OwnFds,
    ) -> Result<Placeholder, Errno> {
        let (app_end, wake_end) = sys::stream_pair()?;
        // The kernel raises it to its minimum, about 4.5 KiB: the memory cost of a pending connect.
        sys::set_option(app_end.fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, &1)?;
        // One call fills the buffer: the kernel takes as much as it can.
        sys::send(app_end.fd(), &[0; 16 * 1024])?;
        let id = sys::file_id(app_end.fd())?;
        limit.raise();
        Ok(Placeholder {
            app_end,
            wake_end: WakeEnd(own_fds.adopt(signals, limit.move_high(wake_end))),
            id,
        })
    }
}

impl WakeEnd {
    pub fn fd(&self) -> Fd {
        self.0.fd()
    }

    /// Wakes threads that sleep in poll(2) or select(2) for writing, after the socket is back under its fd. They look
    /// the fd up again and see the socket. A write that began before must fail rather than be lost in the placeholder.
    pub fn wake_writers(&self) {
        let _ = sys::shutdown(self.fd(), libc::SHUT_RD);
        let mut buffer = [0; 8 * 1024];
        // Less than there is room for: that was all.
        while sys::receive(self.fd(), &mut buffer, false) == Ok(buffer.len()) {}
    }

    /// As [`RegisteredFd::close_last`].
    pub fn close_last(shared: Arc<WakeEnd>, signals: &SignalsBlocked) {
        if let Some(WakeEnd(last)) = Arc::into_inner(shared) {
            last.close(signals);
        }
    }

    /// Publishes the result for forked children, whose copies of the fd still refer to the placeholder. 0 is success.
    ///
    /// The status is encoded in the wake end's socket name, which getpeername(2) returns at the app end. A program
    /// would read it if it were sent as data.
    pub fn publish(&self, errno: i32) {
        if let Some(name) = SockAddr::unix_abstract(&self.status_name(errno)) {
            let _ = sys::bind(self.fd(), &name);
        }
    }

    /// Unix socket names are unique within a network namespace (unix(7)), and so are cookies.
    fn status_name(&self, errno: i32) -> [u8; 12] {
        let mut word = [0; 12];
        let (cookie, fd) = word.split_at_mut(8);
        cookie.copy_from_slice(&sys::cookie(self.fd()).unwrap_or(0).to_ne_bytes());
        fd.copy_from_slice(&errno.to_ne_bytes());
        word
    }

    /// Whether nothing refers to the app end any more: no sleeping thread, no child, no fd.
    pub fn peer_closed(&self) -> bool {
        // No event is requested: POLLHUP is always reported.
        matches!(sys::poll_one(self.fd(), 0, Some(Duration::ZERO)), Ok(true))
    }
}

/// What a forked child can learn from its copy of a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentStatus {
    Dialling,
    Ended(Result<(), Errno>),
    /// The parent ended without publishing a status.
    Gone,
}

/// Reads the status that the wake end published.
pub fn parent_status(app_end: Fd) -> ParentStatus {
    for _ in 0..STATUS_POLLS {
        // Polled before the name is read: the status may be published in between.
        let is_over = sys::poll_one(app_end, libc::POLLOUT, Some(Duration::ZERO)) != Ok(false);
        let name = sys::peer_address(app_end).ok();
        let word = name.as_ref().and_then(SockAddr::abstract_name);
        if let Some([.., a, b, c, d]) = word {
            return ParentStatus::Ended(match i32::from_ne_bytes([*a, *b, *c, *d]) {
                0 => Ok(()),
                errno => Err(Errno::from_raw(errno)),
            });
        }
        if !is_over {
            return ParentStatus::Dialling;
        }
        if sys::receive(app_end, &mut [0], true) != Err(Errno::EAGAIN) {
            return ParentStatus::Gone;
        }
        // A parent that did not know of this child finds out just after it has woken the sleepers.
        sys::pause(Duration::from_millis(1));
    }
    ParentStatus::Gone
}

/// Whether the caller is the first of the parent's children to claim its orphaned connect: a unix socket can be bound
/// only once, and all children have this one.
pub fn claim(app_end: Fd) -> bool {
    let cookie = sys::cookie(app_end).unwrap_or(0).to_ne_bytes();
    let name = SockAddr::unix_abstract(&cookie);
    name.is_some_and(|name| sys::bind(app_end, &name).is_ok())
}

/// How often to look for the status once the placeholder is writable, a millisecond apart.
const STATUS_POLLS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    static OWN_FDS: OwnFds = OwnFds::new();

    fn placeholder() -> Placeholder {
        Placeholder::new(&NofileGuard::new(), &SignalsBlocked::new(), &OWN_FDS).unwrap()
    }

    #[test]
    fn a_child_is_told_without_a_byte_of_data() {
        for (errno, ended) in [(0, Ok(())), (libc::EACCES, Err(Errno::EACCES))] {
            let Placeholder {
                app_end, wake_end, ..
            } = placeholder();
            assert_eq!(parent_status(app_end.fd()), ParentStatus::Dialling);
            wake_end.publish(errno);
            assert_eq!(parent_status(app_end.fd()), ParentStatus::Ended(ended));
            assert_eq!(
                sys::receive(app_end.fd(), &mut [0], false),
                Err(Errno::EAGAIN)
            );
            drop(wake_end);
            assert_eq!(parent_status(app_end.fd()), ParentStatus::Ended(ended));
        }
    }

    #[test]
    fn one_child_alone_claims_an_orphan() {
        let (one, two) = (placeholder(), placeholder());
        assert!(claim(one.app_end.fd()) && claim(two.app_end.fd()));
        assert!(!claim(one.app_end.fd()));
    }

    #[test]
    fn a_parent_that_is_gone_without_a_status_is_noticed() {
        let Placeholder {
            app_end, wake_end, ..
        } = placeholder();
        drop(wake_end);
        assert_eq!(parent_status(app_end.fd()), ParentStatus::Gone);
    }
}
