//! Writes messages to the program's stderr without harming the program: no signal, no blocking, no byte in a stream that
//! carries data.

use super::{errno, get_option, poll_one, Fd, FileId, OwnFd};
use crate::errno::Errno;
use core::ffi::{c_int, c_long};
use core::mem::size_of;
use std::ffi::CString;
use std::time::Duration;

const STDIN: Fd = 0;
const STDERR: Fd = 2;

/// fd 2 as it was when the program began: a file that the program later opened as fd 2 gets none of our messages.
#[derive(Clone, Copy, Debug)]
pub struct Stderr {
    id: FileId,
    kind: Kind,
}

/// The kind of file of fd 2, which decides how to write to it without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A regular file or a block device: write(2) does not wait for a reader.
    File,
    /// A pipe, a terminal, a device.
    Stream,
    Socket,
}

impl Stderr {
    /// `None` if fd 2 is closed, or a socket that may carry data.
    ///
    /// A unix socket is accepted: journald, Node and others pass one to their children as stderr. An inetd-style service has
    /// its client's connection as fd 0, 1 and 2, where a line of ours would break the protocol: so a socket that is also
    /// fd 0 is not accepted, nor is a socket of another family, whose peer may be another machine.
    pub fn at_start() -> Option<Stderr> {
        let stat = super::fd::stat(STDERR).ok()?;
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFBLK => Kind::File,
            libc::S_IFSOCK => Kind::Socket,
            _ => Kind::Stream,
        };
        let id = FileId::of(&stat);
        let is_for_messages = || {
            let domain = get_option::<c_int>(STDERR, libc::SOL_SOCKET, libc::SO_DOMAIN);
            domain == Ok(libc::AF_UNIX) && super::file_id(STDIN) != Ok(id)
        };
        (kind != Kind::Socket || is_for_messages()).then_some(Stderr { id, kind })
    }

    /// Write one line in one call. If that would block, or there is no reader, the line is dropped.
    pub fn write(self, line: &[u8]) {
        if super::file_id(STDERR) != Ok(self.id) {
            return;
        }
        let _ = match self.kind {
            Kind::File => unharmed(|| write(STDERR, line)),
            Kind::Socket => send(STDERR, line),
            Kind::Stream => write_to_stream(STDERR, line),
        };
    }
}

/// Append a line to a file that [`super::open_append`] opened. Does not block: the file has O_NONBLOCK.
pub fn append_line(file: &OwnFd, line: &[u8]) {
    let _ = unharmed(|| write(file.fd(), line));
}

type Written = Result<c_long, Errno>;

fn write(fd: Fd, line: &[u8]) -> Written {
    syscall!(SYS_write, fd, line.as_ptr(), line.len())
}

/// send(2).
fn send(fd: Fd, line: &[u8]) -> Written {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let none = core::ptr::null::<libc::sockaddr>();
    syscall!(
        SYS_sendto,
        fd,
        line.as_ptr(),
        line.len(),
        flags,
        none,
        0usize
    )
}

/// O_NONBLOCK belongs to the open file description, which the program, its parent and a terminal's shell share. So it is
/// left alone.
fn write_to_stream(fd: Fd, line: &[u8]) -> Written {
    match write_at_once(fd, line) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {
            unharmed(|| write_without_flag(fd, line))
        }
        written => written,
    }
}

/// pwritev2(2) with flags for neither blocking nor SIGPIPE. Since Linux 6.18 pipes of pipe(2) and null devices support
/// them, but neither terminals nor pipes that were opened by name.
fn write_at_once(fd: Fd, line: &[u8]) -> Written {
    /// linux/fs.h
    const RWF_NOSIGNAL: c_long = 0x100;
    /// Use the file's own offset.
    const AS_WRITE: c_long = -1;
    let part = libc::iovec {
        iov_base: line.as_ptr().cast_mut().cast(),
        iov_len: line.len(),
    };
    // Whole registers: the last one is on the stack, where valgrind would see the other half of an int.
    let flags = c_long::from(libc::RWF_NOWAIT) | RWF_NOSIGNAL;
    let count = 1usize;
    syscall!(
        SYS_pwritev2,
        fd,
        &raw const part,
        count,
        AS_WRITE,
        AS_WRITE,
        flags
    )
}

/// Open the same pipe or terminal again, with O_NONBLOCK for this description alone. If it cannot be opened (it belongs to
/// another user, there is no /proc), poll for room first; if another process fills it in between, this blocks.
fn write_without_flag(fd: Fd, line: &[u8]) -> Written {
    match reopened(fd) {
        Ok(own) => write(own.fd(), line),
        // No reader: fifo(7).
        Err(Errno::ENXIO) => Err(Errno::EPIPE),
        Err(_) => match poll_one(fd, libc::POLLOUT, Some(Duration::ZERO))? {
            true => write(fd, line),
            false => Err(Errno::EAGAIN),
        },
    }
}

fn reopened(fd: Fd) -> Result<OwnFd, Errno> {
    let path = CString::new(format!("/proc/thread-self/fd/{fd}")).map_err(|_| Errno::ENOENT)?;
    let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let fd = syscall!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)?;
    Ok(OwnFd::adopt(fd as Fd))
}

/// The signals that a write can raise in the calling thread: SIGPIPE (no reader), SIGXFSZ (the file size limit of
/// setrlimit(2)), SIGTTOU (a background process of the terminal; not sent where it is blocked). By default the first two
/// kill and the third stops the process.
const RAISED: u64 = bit(libc::SIGPIPE) | bit(libc::SIGXFSZ) | bit(libc::SIGTTOU);

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Run `write` so that none of these signals reaches the program: they are blocked meanwhile, and one that the write raised
/// is consumed. It is directed at this thread (pipe(7)), so no other thread can receive it.
fn unharmed(write: impl FnOnce() -> Written) -> Written {
    let before = set_mask(libc::SIG_BLOCK, RAISED)?;
    // A signal that was already pending is the program's; it must have been blocked.
    let pending = match before & RAISED {
        0 => 0,
        _ => pending_signals(),
    };
    let written = write();
    let raised = match written {
        Err(Errno::EPIPE) => bit(libc::SIGPIPE),
        Err(Errno::EFBIG) => bit(libc::SIGXFSZ),
        _ => 0,
    };
    if raised & !pending != 0 {
        take_signal(raised);
    }
    let _ = set_mask(libc::SIG_SETMASK, before);
    written
}

/// The kernel's sigset_t, not libc's.
const SET_SIZE: usize = size_of::<u64>();

/// rt_sigprocmask(2); returns the previous mask.
fn set_mask(how: c_int, set: u64) -> Result<u64, Errno> {
    let mut before = 0u64;
    syscall!(
        SYS_rt_sigprocmask,
        how,
        &raw const set,
        &raw mut before,
        SET_SIZE
    )?;
    Ok(before)
}

/// rt_sigpending(2).
fn pending_signals() -> u64 {
    let mut set = 0u64;
    let _ = syscall!(SYS_rt_sigpending, &raw mut set, SET_SIZE);
    set
}

/// rt_sigtimedwait(2) without waiting.
fn take_signal(set: u64) {
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let no_details = core::ptr::null_mut::<libc::siginfo_t>();
    let _ = syscall!(
        SYS_rt_sigtimedwait,
        &raw const set,
        no_details,
        &raw const at_once,
        SET_SIZE
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::FromRawFd;

    fn pipe() -> (File, OwnFd) {
        let mut ends = [0; 2];
        // SAFETY: room for two; the ends are new and belong to this test.
        let read = unsafe {
            assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
            File::from_raw_fd(ends[0])
        };
        (read, OwnFd::adopt(ends[1]))
    }

    type Way = fn(Fd, &[u8]) -> Written;
    const WAYS: [Way; 2] = [write_to_stream, |fd, line| {
        unharmed(|| write_without_flag(fd, line))
    }];

    #[test]
    fn a_line_arrives_and_the_pipe_keeps_its_flags() {
        for way in WAYS {
            let (mut read, write) = pipe();
            assert_eq!(way(write.fd(), b"a line\n"), Ok(7));
            assert_eq!(super::super::status_flags(write.fd()), Ok(libc::O_WRONLY));
            drop(write);
            let mut text = String::new();
            read.read_to_string(&mut text).unwrap();
            assert_eq!(text, "a line\n");
        }
    }

    #[test]
    fn a_full_pipe_is_not_waited_for() {
        for way in WAYS {
            let (_read, write) = pipe();
            while way(write.fd(), b"a line\n").is_ok() {}
            assert_eq!(way(write.fd(), b"a line\n"), Err(Errno::EAGAIN));
        }
    }

    #[test]
    fn without_a_reader_nothing_is_raised_nor_left_pending() {
        for way in WAYS {
            let (read, write) = pipe();
            drop(read);
            // The test runner ignores SIGPIPE; a blocked one becomes pending nevertheless.
            let before = set_mask(libc::SIG_BLOCK, RAISED).unwrap();
            assert_eq!(way(write.fd(), b"a line\n"), Err(Errno::EPIPE));
            assert_eq!(pending_signals() & RAISED, 0);
            set_mask(libc::SIG_SETMASK, before).unwrap();
        }
    }

    #[test]
    fn a_signal_that_was_pending_before_stays() {
        let (read, write) = pipe();
        drop(read);
        let before = set_mask(libc::SIG_BLOCK, RAISED).unwrap();
        // SAFETY: for this thread, which blocks it.
        unsafe { libc::raise(libc::SIGPIPE) };
        assert_eq!(
            unharmed(|| super::write(write.fd(), b"x")),
            Err(Errno::EPIPE)
        );
        assert_eq!(pending_signals() & RAISED, bit(libc::SIGPIPE));
        take_signal(RAISED);
        set_mask(libc::SIG_SETMASK, before).unwrap();
    }
}
