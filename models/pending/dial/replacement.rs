//! Never used: in these models sockets and proxies have the same family.

use crate::errno::Errno;
use crate::sys::Fd;

pub fn copy_options(_: Fd, _: Fd) -> Result<(), Errno> {
    Ok(())
}
