//! Never used: in these models sockets and proxies have the same family, and no connect is inherited.

use crate::errno::Errno;
use crate::sys::{Fd, OwnFd};

pub fn copy_options(_: Fd, _: Fd) -> Result<(), Errno> {
    Ok(())
}

pub fn new_like(_: Fd, _: i32) -> Result<OwnFd, Errno> {
    Err(Errno::ENFILE)
}
