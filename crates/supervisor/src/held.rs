//! Whether a program still has the socket that a connection is made for.

#![forbid(unsafe_code)]

use crate::caller::Caller;
use crate::job::{Face, Job};
use std::fs;
use std::path::Path;
use tailchain_core::errno::Errno;
use tailchain_core::sys;

/// Whether the program of the job holds its socket, or its placeholder. True also where it cannot be told.
pub fn is_held(job: &Job) -> bool {
    let caller = match Caller::open(job.thread) {
        Ok(caller) => caller,
        // The thread is gone; others of its process may wait.
        Err(Errno::ESRCH) => return false,
        Err(_) => return true,
    };
    let cookie = match &job.face {
        Face::Placeholder(placeholder) => placeholder.cookie,
        _ => job.cookie,
    };
    let is_there = caller
        .borrow(job.fd)
        .is_ok_and(|file| sys::cookie(file.fd()) == Some(cookie));
    is_there || has_other_fd(job)
}

/// Look at all fds of the process.
fn has_other_fd(job: &Job) -> bool {
    let file = match &job.face {
        Face::Placeholder(placeholder) => Ok(placeholder.file),
        _ => sys::file_id(job.socket.fd()),
    };
    let Ok(file) = file else {
        return true;
    };
    let name = format!("socket:[{}]", file.inode());
    let Ok(fds) = fs::read_dir(format!("/proc/{}/fd", job.thread)) else {
        return false;
    };
    fds.flatten()
        .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link == Path::new(&name)))
}
