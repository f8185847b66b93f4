//! Files: the log, and what proc(5) reports about this process.

use super::fd::is_socket;
use super::{errno, Fd, OwnFd};
use crate::errno::Errno;
use core::ffi::{c_int, CStr};
use core::mem::MaybeUninit;

/// If the fd table is no larger than this, every fd is tried.
const FEW: Fd = 4096;

/// The fds that may be open in this process: a superset of those that are.
///
/// Trying an fd takes a twentieth of the time of listing an open one in /proc/self/fd, for which the kernel creates an
/// inode each. But the fd table may have a million entries, or a thousand for ten open fds one of which is high.
pub fn descriptors() -> Result<Vec<Fd>, Errno> {
    const COST_OF_LISTING_ONE: i64 = 20;
    let status = read_all(c"/proc/self/status")?;
    match fd_table_size(&status) {
        Some(room) if open_fds().is_some_and(|open| open * COST_OF_LISTING_ONE < room.into()) => {
            listed_descriptors()
        }
        Some(room) if room <= FEW => Ok((0..room).collect()),
        _ => listed_descriptors(),
    }
}

/// How many fds are open: the size of /proc/self/fd, proc(5). `None` before Linux 6.2, which gives 0.
fn open_fds() -> Option<i64> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let path = c"/proc/self/fd".as_ptr();
    syscall!(SYS_newfstatat, libc::AT_FDCWD, path, stat.as_mut_ptr(), 0).ok()?;
    // SAFETY: the kernel filled it, and all zeroes is a valid stat too.
    let size = unsafe { stat.assume_init() }.st_size;
    (size > 0).then_some(size)
}

fn listed_descriptors() -> Result<Vec<Fd>, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let path = c"/proc/self/fd".as_ptr();
    let directory = OwnFd::adopt(syscall!(SYS_openat, libc::AT_FDCWD, path, flags)? as Fd);
    let mut found = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let length = syscall!(
            SYS_getdents64,
            directory.fd(),
            buffer.as_mut_ptr(),
            buffer.len()
        )?;
        let mut rest = buffer.get(..length as usize).unwrap_or_default();
        if rest.is_empty() {
            return Ok(found);
        }
        while let Some((length, number)) = entry(rest) {
            found.extend(number);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// The fd that a directory entry of /proc/self/fd names, getdents(2): its name is at byte 19, after a record length
/// at byte 16.
fn entry(record: &[u8]) -> Option<(usize, Option<Fd>)> {
    let length = usize::from(u16::from_ne_bytes([*record.get(16)?, *record.get(17)?]));
    let name = record.get(19..length)?.split(|&byte| byte == 0).next()?;
    let number = core::str::from_utf8(name).ok()?.parse().ok();
    Some((length, number))
}

/// FDSize of proc_pid_status(5): all open fds are lower.
fn fd_table_size(status: &[u8]) -> Option<Fd> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let size = lines.find_map(|line| line.strip_prefix(b"FDSize:"))?;
    core::str::from_utf8(size).ok()?.trim().parse().ok()
}

/// Whether readlink(2) of /proc/self/fd/FD returns exactly this.
///
/// Sockets and closed fds are ruled out by fstat(2) first: this is called for every fd, most are of these, and readlink(2)
/// takes ten times as long.
pub fn names_file(fd: Fd, expected: &[u8]) -> bool {
    if is_socket(fd) != Ok(false) {
        return false;
    }
    let Ok(path) = std::ffi::CString::new(format!("/proc/self/fd/{fd}")) else {
        return false;
    };
    let mut buffer = [0u8; 64];
    let length = syscall!(
        SYS_readlinkat,
        libc::AT_FDCWD,
        path.as_ptr(),
        buffer.as_mut_ptr(),
        buffer.len()
    );
    length.is_ok_and(|length| buffer.get(..length as usize) == Some(expected))
}

/// The contents of a file of /proc, whose size is unknown beforehand.
pub fn read_all(path: &CStr) -> Result<Vec<u8>, Errno> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let file = OwnFd::adopt(syscall!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)? as Fd);
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let length = syscall!(SYS_read, file.fd(), buffer.as_mut_ptr(), buffer.len())?;
        match buffer.get(..length as usize) {
            Some(more) if !more.is_empty() => text.extend_from_slice(more),
            _ => return Ok(text),
        }
    }
}

/// open(2) for appending, created with mode 0600. A FIFO without a reader gives ENXIO instead of blocking.
///
/// A symbolic link is followed only if it belongs to this user or root (/dev/stderr is one). In a directory that others can
/// write to, such as /tmp, a link of theirs could lead to any file of the user: ELOOP.
pub fn open_append(path: &CStr) -> Result<OwnFd, Errno> {
    const FLAGS: c_int = libc::O_WRONLY
        | libc::O_APPEND
        | libc::O_CREAT
        | libc::O_CLOEXEC
        | libc::O_NOCTTY
        | libc::O_NONBLOCK;
    let open = |flags: c_int| {
        let fd = syscall!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600)?;
        Ok(OwnFd::adopt(fd as Fd))
    };
    match open(FLAGS | libc::O_NOFOLLOW) {
        Err(Errno::ELOOP) if is_own_link(path) => open(FLAGS),
        opened => opened,
    }
}

/// fstatat(2) with AT_SYMLINK_NOFOLLOW: whether the entry itself belongs to this user or root.
fn is_own_link(path: &CStr) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    let path = path.as_ptr();
    if syscall!(
        SYS_newfstatat,
        libc::AT_FDCWD,
        path,
        stat.as_mut_ptr(),
        flags
    )
    .is_err()
    {
        return false;
    }
    // SAFETY: the kernel filled it, and all zeroes is a valid stat too.
    let owner = unsafe { stat.assume_init() }.st_uid;
    const ROOT: libc::uid_t = 0;
    owner == ROOT || syscall!(SYS_geteuid) == Ok(owner.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn the_size_of_the_fd_table_is_a_line_of_the_status() {
        let status = b"Name:\tx\nFDSize:\t256\nGroups:\t\n";
        assert_eq!(fd_table_size(status), Some(256));
        assert_eq!(fd_table_size(b"Name:\tFDSize: 3\n"), None);
        assert_eq!(fd_table_size(b"FDSize:\n"), None);
    }

    #[test]
    fn every_open_descriptor_is_found_either_way_and_its_file_is_told_from_others() {
        let expected = b"anon_inode:[eventpoll]";
        let epoll = sys::NofileGuard::new().move_high(sys::epoll().unwrap());
        let (socket, _other) = sys::stream_pair().unwrap();
        for found in [descriptors().unwrap(), listed_descriptors().unwrap()] {
            assert!(found.contains(&epoll.fd()) && found.contains(&socket.fd()));
        }
        assert!(names_file(epoll.fd(), expected));
        assert!(!names_file(epoll.fd(), b"anon_inode:[io_uring]"));
        assert!(!names_file(socket.fd(), expected));
        let closed = epoll.fd();
        drop(epoll);
        assert!(!names_file(closed, expected));
    }
}
