//! Anonymous files in memory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// # Errors
///
/// As memfd_create(2).
pub fn with(content: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: the name is a NUL-terminated string that outlives the call.
    let fd = unsafe { libc::memfd_create(c"secret".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the fd is new and has no other owner.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(content)?;
    Ok(file.into())
}

/// Lets the child inherit these fds.
pub fn pass_on(command: &mut Command, fds: Vec<RawFd>) {
    // SAFETY: fcntl is async-signal-safe; nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            for fd in &fds {
                if libc::fcntl(*fd, libc::F_SETFD, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_child_that_is_given_one_reads_it_and_another_does_not() {
        let file = with(b"content").unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let read = |fds: Vec<RawFd>| {
            let mut command = Command::new("cat");
            command.arg(&path);
            pass_on(&mut command, fds);
            command.output().unwrap().stdout
        };
        assert_eq!(read(vec![file.as_raw_fd()]), b"content");
        assert_eq!(read(vec![file.as_raw_fd()]), b"content");
        assert_ne!(read(vec![]), b"content");
    }
}
