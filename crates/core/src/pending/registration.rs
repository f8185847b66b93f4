//! The registration of an fd in an epoll instance.

use crate::sys::Fd;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    pub epoll: Fd,
    pub fd: Fd,
    pub events: u32,
    pub data: u64,
}
