//! Whether a program still holds the socket that a connect is made for.

#![forbid(unsafe_code)]

use crate::caller::Caller;
use crate::job::{AtFd, Job};
use libc::pid_t;
use std::fs;
use std::path::Path;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd, FileId};

/// Whether the program of the job holds its socket or its placeholder. True also if that cannot be determined.
pub fn is_held(job: &Job) -> bool {
    let caller = match Caller::open(job.thread) {
        Ok(caller) => caller,
        // The thread has ended; other threads of its process may wait.
        Err(Errno::ESRCH) => return false,
        Err(_) => return true,
    };
    let is_there = caller
        .borrow(job.fd)
        .is_ok_and(|file| sys::cookie(file.fd()) == Some(job.cookie_under_fd()));
    is_there || has_other_fd(job)
}

/// Checks all fds of the process.
fn has_other_fd(job: &Job) -> bool {
    let file = match &job.at_fd {
        AtFd::Placeholder(placeholder) => Ok(placeholder.file),
        _ => sys::file_id(job.socket.fd()),
    };
    let Ok(file) = file else {
        return true;
    };
    !fds_of(job.thread, file).is_empty()
}

/// The fds of a thread's process that refer to a socket.
pub fn fds_of(thread: pid_t, socket: FileId) -> Vec<Fd> {
    let name = format!("socket:[{}]", socket.inode());
    let Ok(fds) = fs::read_dir(format!("/proc/{thread}/fd")) else {
        return Vec::new();
    };
    fds.flatten()
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|link| link == Path::new(&name)))
        .filter_map(|fd| fd.file_name().to_str()?.parse().ok())
        .collect()
}
