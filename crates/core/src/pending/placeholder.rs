//! The placeholder: what stands under the program's number while its socket is being connected.
//!
//! To the program it must look like a connecting TCP socket: a socket, neither readable nor writable, on which
//! a premature write or read gives EAGAIN. A unix stream whose send buffer is full is all that, and no hook on
//! any data call is needed.

use crate::errno::Errno;
use crate::own_fds::{OwnFds, RegisteredFd};
use crate::sys::{self, Fd, FileId, OwnFd, RaisedLimit, SockAddr};
use std::time::Duration;

pub struct Placeholder {
    /// The end that the program sees.
    pub near: OwnFd,
    /// The end that wakes it.
    pub far: FarEnd,
    pub id: FileId,
}

/// Our end of a placeholder.
pub struct FarEnd(RegisteredFd);

impl Placeholder {
    /// The limit stays raised: the caller has a number to make as well.
    pub fn new(limit: &RaisedLimit, own_fds: &'static OwnFds) -> Result<Placeholder, Errno> {
        let (near, far) = sys::stream_pair()?;
        // The kernel raises it to its minimum, about 4.5 KiB: what a pending connect costs.
        sys::set_option(near.fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, &1)?;
        // One call fills it: the kernel takes what it can.
        sys::send(near.fd(), &[0; 16 * 1024])?;
        let id = sys::file_id(near.fd())?;
        limit.lift();
        Ok(Placeholder {
            near,
            far: FarEnd(own_fds.adopt(limit.raise(far))),
            id,
        })
    }
}

impl FarEnd {
    pub fn fd(&self) -> Fd {
        self.0.fd()
    }

    /// The socket is back under its number: wake who sleeps in poll(2) or select(2) for writing. They look
    /// the number up again and see it. A write that began before that must fail rather than get lost here.
    pub fn wake_writers(&self) {
        let _ = sys::shutdown(self.fd(), libc::SHUT_RD);
        let mut buffer = [0; 8 * 1024];
        while matches!(sys::receive(self.fd(), &mut buffer, false), Ok(1..)) {}
    }

    /// Tell forked children how it ended: their copies of the number still refer to the placeholder. 0 is success.
    ///
    /// The word is the far end's own name, which getpeername(2) gives at the near end: what was sent as data, a
    /// program would read.
    pub fn tell(&self, errno: i32) {
        if let Some(name) = SockAddr::unix_abstract(&self.word(errno)) {
            let _ = sys::bind(self.fd(), &name);
        }
    }

    /// Names of unix sockets are unique on a machine (unix(7)), and so are cookies.
    fn word(&self, errno: i32) -> [u8; 12] {
        let mut word = [0; 12];
        let (cookie, number) = word.split_at_mut(8);
        cookie.copy_from_slice(&sys::cookie(self.fd()).unwrap_or(0).to_ne_bytes());
        number.copy_from_slice(&errno.to_ne_bytes());
        word
    }

    /// Whether nobody refers to the near end any more: no sleeper, no child, no other number.
    pub fn is_deserted(&self) -> bool {
        // No event is asked for: POLLHUP is always told.
        matches!(sys::poll_one(self.fd(), 0, Some(Duration::ZERO)), Ok(true))
    }
}

/// What a child that was forked meanwhile can learn from its copy of a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    NotYet,
    Ended(Result<(), Errno>),
    /// The parent is gone without a word.
    Nothing,
}

/// Look at what the far end said.
pub fn told(near: Fd) -> Told {
    for _ in 0..WORD_LOOKS {
        // Asked in this order: the word may come in between.
        let is_over = sys::poll_one(near, libc::POLLOUT, Some(Duration::ZERO)) != Ok(false);
        let name = sys::peer_address(near).ok();
        let word = name.as_ref().and_then(SockAddr::abstract_name);
        if let Some([.., a, b, c, d]) = word {
            return Told::Ended(match i32::from_ne_bytes([*a, *b, *c, *d]) {
                0 => Ok(()),
                errno => Err(Errno::from_raw(errno)),
            });
        }
        if !is_over {
            return Told::NotYet;
        }
        if sys::receive(near, &mut [0], true) != Err(Errno::EAGAIN) {
            return Told::Nothing;
        }
        // A parent that did not know of this child finds out just after it has woken everybody.
        sys::pause(Duration::from_millis(1));
    }
    Told::Nothing
}

/// Looks for the word once the placeholder is writable, a millisecond apart.
const WORD_LOOKS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    static OWN_FDS: OwnFds = OwnFds::new();

    fn placeholder() -> Placeholder {
        Placeholder::new(&RaisedLimit::new(), &OWN_FDS).unwrap()
    }

    #[test]
    fn a_child_is_told_without_a_byte_of_data() {
        for (errno, ended) in [(0, Ok(())), (libc::EACCES, Err(Errno::EACCES))] {
            let Placeholder { near, far, .. } = placeholder();
            assert_eq!(told(near.fd()), Told::NotYet);
            far.tell(errno);
            assert_eq!(told(near.fd()), Told::Ended(ended));
            assert_eq!(sys::receive(near.fd(), &mut [0], false), Err(Errno::EAGAIN));
            drop(far);
            assert_eq!(told(near.fd()), Told::Ended(ended));
        }
    }

    #[test]
    fn a_parent_that_is_gone_without_a_word_is_noticed() {
        let Placeholder { near, far, .. } = placeholder();
        drop(far);
        assert_eq!(told(near.fd()), Told::Nothing);
    }
}
