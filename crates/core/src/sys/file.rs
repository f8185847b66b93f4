//! Files: the log, and what proc(5) tells about this process.

use super::fd::is_socket;
use super::{errno, Fd, OwnFd};
use crate::errno::Errno;

/// A number above all descriptors that are open: how many the kernel has room for now, proc_pid_status(5).
///
/// To ask each of these numbers takes a fraction of what to list /proc/self/fd takes, for which the kernel makes a file
/// of each descriptor.
pub fn above_descriptors() -> Result<Fd, Errno> {
    let status = read_all(c"/proc/self/status")?;
    room_for_descriptors(&status).ok_or(Errno::ENOENT)
}

fn room_for_descriptors(status: &[u8]) -> Option<Fd> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let size = lines.find_map(|line| line.strip_prefix(b"FDSize:"))?;
    core::str::from_utf8(size).ok()?.trim().parse().ok()
}

/// Whether readlink(2) of /proc/self/fd/FD gives exactly this.
///
/// A socket, or a number that is not open, is passed by after an fstat(2): this is asked of all in turn, most of many
/// are of these, and a readlink(2) takes ten times as long.
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

/// A whole file of /proc, whose size is not known before.
pub fn read_all(path: &core::ffi::CStr) -> Result<Vec<u8>, Errno> {
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

/// write(2) of a whole line; whatever goes wrong is nobody's business.
pub fn write_line(fd: Fd, line: &[u8]) {
    let _ = syscall!(SYS_write, fd, line.as_ptr(), line.len());
}

/// open(2) for appending, created with mode 0600.
pub fn open_append(path: &core::ffi::CStr) -> Result<OwnFd, Errno> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY;
    let fd = syscall!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600)?;
    Ok(OwnFd::adopt(fd as Fd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn the_room_for_descriptors_is_a_line_of_the_status() {
        let status = b"Name:\tx\nFDSize:\t256\nGroups:\t\n";
        assert_eq!(room_for_descriptors(status), Some(256));
        assert_eq!(room_for_descriptors(b"Name:\tFDSize: 3\n"), None);
        assert_eq!(room_for_descriptors(b"FDSize:\n"), None);
    }

    #[test]
    fn every_open_descriptor_is_below_and_its_file_is_told_from_others() {
        let expected = b"anon_inode:[eventpoll]";
        let epoll = sys::RaisedLimit::new().raise(sys::epoll().unwrap());
        let (socket, _other) = sys::stream_pair().unwrap();
        assert!(epoll.fd() < above_descriptors().unwrap());
        assert!(names_file(epoll.fd(), expected));
        assert!(!names_file(epoll.fd(), b"anon_inode:[io_uring]"));
        assert!(!names_file(socket.fd(), expected));
        let closed = epoll.fd();
        drop(epoll);
        assert!(!names_file(closed, expected));
    }
}
