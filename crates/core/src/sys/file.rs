//! Files: the log, and what proc(5) tells about this process.

use super::fd::is_socket;
use super::{errno, Fd, OwnFd};
use crate::errno::Errno;

/// The number of a directory entry of /proc/self/fd, getdents(2): its name is at byte 19, after a record length
/// at byte 16.
fn entry(record: &[u8]) -> Option<(usize, Option<Fd>)> {
    let length = usize::from(u16::from_ne_bytes([*record.get(16)?, *record.get(17)?]));
    let name = record.get(19..length)?.split(|&byte| byte == 0).next()?;
    let number = core::str::from_utf8(name).ok()?.parse().ok();
    Some((length, number))
}

/// The descriptors of this process that are open now.
pub fn descriptors() -> Result<Vec<Fd>, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let path = c"/proc/self/fd".as_ptr();
    let folder = OwnFd::adopt(syscall!(SYS_openat, libc::AT_FDCWD, path, flags)? as Fd);
    let mut found = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let length = syscall!(
            SYS_getdents64,
            folder.fd(),
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

/// Whether readlink(2) of /proc/self/fd/FD gives exactly this.
///
/// A socket is passed by after an fstat(2): this is asked of all descriptors in turn, most of many are sockets, and a
/// readlink(2) takes ten times as long.
pub fn names_file(fd: Fd, expected: &[u8]) -> bool {
    if is_socket(fd) {
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
