//! Registrations made without epoll_ctl(3): libuv, and uvloop on top of it, submit them by io_uring where possible. The
//! kernel lists them in /proc/self/fdinfo, proc_pid_fdinfo(5).
//!
//! Reading that file takes time in proportion to the number of registrations. So it is read only for epoll instances of
//! a process that had an io_uring when one of its connects first became pending: libuv creates both together.

use super::registration::Registration;
use crate::lock::Lock;
use crate::sys::{self, Fd};
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::BTreeSet;
use std::ffi::CString;

/// The epoll instances that an io_uring may serve.
pub struct IoUrings {
    suspects: Lock<Suspects>,
    any: AtomicBool,
}

pub(super) struct Suspects {
    /// Created since the process was last checked.
    unseen: BTreeSet<Fd>,
    /// The process had an io_uring when they were checked.
    served: BTreeSet<Fd>,
}

impl Suspects {
    pub const fn new() -> Suspects {
        Suspects {
            unseen: BTreeSet::new(),
            served: BTreeSet::new(),
        }
    }
}

/// One line of /proc/self/fdinfo/EPOLL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    fd: Fd,
    events: u32,
    data: u64,
    inode: u64,
}

impl Default for IoUrings {
    fn default() -> IoUrings {
        IoUrings::new()
    }
}

impl IoUrings {
    pub const fn new() -> IoUrings {
        IoUrings {
            suspects: Lock::new(Suspects::new()),
            any: AtomicBool::new(false),
        }
    }

    /// Records that the program created an epoll instance.
    pub fn epoll_made(&self, epoll: Fd) {
        let mut suspects = self.suspects.lock();
        suspects.served.remove(&epoll);
        suspects.unseen.insert(epoll);
        self.any.store(true, Ordering::Release);
    }

    /// Checks the process for an io_uring if it has created epoll instances since the last check. Best called while the
    /// library has no own fds, whose high numbers make the directory scan longer.
    pub(super) fn refresh(&self) {
        let _ = self.instances();
    }

    /// The instances that an io_uring may serve. Cheap if there are none.
    pub(super) fn instances(&self) -> Vec<Fd> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut suspects = self.suspects.lock();
        let unseen = std::mem::take(&mut suspects.unseen);
        if !unseen.is_empty() && has_io_uring() {
            suspects.served.extend(unseen);
        }
        self.any
            .store(!suspects.served.is_empty(), Ordering::Release);
        suspects.served.iter().copied().collect()
    }

    /// The lock, for the fork handlers.
    pub(super) fn lock(&self) -> &Lock<Suspects> {
        &self.suspects
    }
}

/// The registrations of `fd` in these instances, for the open file with this inode.
pub(super) fn registered(instances: &[Fd], fd: Fd, inode: u64) -> Vec<Registration> {
    let mut found = Vec::new();
    for &epoll in instances {
        let Ok(path) = CString::new(format!("/proc/self/fdinfo/{epoll}")) else {
            continue;
        };
        let text = sys::read_all(&path).unwrap_or_default();
        let lines = text.split(|&byte| byte == b'\n').filter_map(parse);
        let of_this = lines.filter(|line| (line.fd, line.inode) == (fd, inode));
        found.extend(of_this.map(|line| Registration {
            epoll,
            fd,
            events: line.events,
            data: line.data,
        }));
    }
    found
}

/// `tfd: N events: HEX data: HEX pos:N ino:HEX sdev:HEX`, with blanks after some of the colons.
fn parse(line: &[u8]) -> Option<Line> {
    let text = core::str::from_utf8(line).ok()?;
    let field = |name: &str| {
        let (_, rest) = text.split_once(name)?;
        rest.split_ascii_whitespace().next()
    };
    let hex = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    text.starts_with("tfd:").then_some(())?;
    Some(Line {
        fd: field("tfd:")?.parse().ok()?,
        events: u32::from_str_radix(field("events:")?, 16).ok()?,
        data: hex("data:")?,
        inode: hex("ino:")?,
    })
}

fn has_io_uring() -> bool {
    sys::descriptors().is_ok_and(|all| {
        all.into_iter()
            .any(|fd| sys::names_file(fd, b"anon_inode:[io_uring]"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_understood() {
        let line =
            b"tfd:        7 events:       19 data:         1000000a  pos:0 ino:11e87b sdev:f";
        let expected = Line {
            fd: 7,
            events: 0x19,
            data: 0x1000_000a,
            inode: 0x11_e87b,
        };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse(b"flags:\t02"), None);
        assert_eq!(parse(b"tfd: x"), None);
    }

    #[test]
    fn what_is_registered_can_be_read_back() {
        let epoll = sys::epoll().unwrap();
        let (near, wake_end) = sys::stream_pair().unwrap();
        sys::epoll_set(
            epoll.fd(),
            libc::EPOLL_CTL_ADD,
            near.fd(),
            libc::EPOLLIN as u32,
            u64::MAX,
        )
        .unwrap();
        let inode = |fd: &sys::OwnFd| sys::file_id(fd.fd()).unwrap().inode();
        let found = registered(&[epoll.fd()], near.fd(), inode(&near));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].fd, found[0].data), (near.fd(), u64::MAX));
        assert_eq!(found[0].events & libc::EPOLLIN as u32, libc::EPOLLIN as u32);
        assert_eq!(
            registered(&[epoll.fd()], near.fd(), inode(&wake_end)),
            [],
            "another file"
        );
    }

    #[test]
    fn a_process_without_an_io_uring_is_not_looked_at_again() {
        let rings = IoUrings::new();
        let epoll = sys::epoll().unwrap();
        rings.epoll_made(epoll.fd());
        assert_eq!(rings.instances(), []);
        assert!(!rings.any.load(Ordering::Acquire));
    }
}
