//! Waits until one of several fds is readable.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until one of `fds` is readable, and says which are. None is if `limit` has passed or a signal arrived.
///
/// # Errors
///
/// As poll(2).
pub fn readable(fds: &[BorrowedFd<'_>], limit: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut asked: Vec<libc::pollfd> = fds
        .iter()
        .map(|fd| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // Round up: a wait of 0 ms before the deadline would be a busy loop.
    let limit = match limit {
        None => -1,
        Some(limit) => limit
            .as_micros()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(libc::c_int::MAX),
    };
    let count = libc::nfds_t::try_from(asked.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the array holds `count` entries.
    match unsafe { libc::poll(asked.as_mut_ptr(), count, limit) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; fds.len()]),
            error => Err(error),
        },
        _ => Ok(asked.iter().map(|one| one.revents != 0).collect()),
    }
}
