//! Socket options.

use super::{errno, Fd};
use crate::errno::Errno;
use core::ffi::c_int;
use core::mem::{self, MaybeUninit};
use std::time::Duration;

/// The value of a socket option.
///
/// # Safety
/// Any bytes must be a valid value of the type.
pub unsafe trait OptionValue: Copy {}
// SAFETY: integers, and structures of integers without padding that matters.
unsafe impl OptionValue for c_int {}
// SAFETY: as above.
unsafe impl<const N: usize> OptionValue for [u8; N] {}
// SAFETY: as above.
unsafe impl OptionValue for u64 {}
// SAFETY: as above.
unsafe impl OptionValue for libc::timeval {}
// SAFETY: as above.
unsafe impl OptionValue for libc::linger {}

/// getsockopt(2).
pub fn get_option<T: OptionValue>(fd: Fd, level: c_int, name: c_int) -> Result<T, Errno> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = mem::size_of::<T>() as libc::socklen_t;
    syscall!(
        SYS_getsockopt,
        fd,
        level,
        name,
        value.as_mut_ptr(),
        &raw mut length
    )?;
    // SAFETY: zeroed, then at most filled by the kernel; any bytes are valid.
    Ok(unsafe { value.assume_init() })
}

/// setsockopt(2).
pub fn set_option<T: OptionValue>(
    fd: Fd,
    level: c_int,
    name: c_int,
    value: &T,
) -> Result<(), Errno> {
    let length = mem::size_of::<T>() as libc::socklen_t;
    syscall!(SYS_setsockopt, fd, level, name, &raw const *value, length).map(drop)
}

/// getsockopt(2) with a program's own arguments.
///
/// # Safety
/// The pointers are the program's; the kernel checks them.
pub unsafe fn raw_get_option(
    fd: Fd,
    level: c_int,
    name: c_int,
    value: *mut core::ffi::c_void,
    length: *mut libc::socklen_t,
) -> Result<(), Errno> {
    syscall!(SYS_getsockopt, fd, level, name, value, length).map(drop)
}

/// setsockopt(2) with a program's own arguments.
///
/// # Safety
/// The pointers are the program's; the kernel checks them.
pub unsafe fn raw_set_option(
    fd: Fd,
    level: c_int,
    name: c_int,
    value: *const core::ffi::c_void,
    length: libc::socklen_t,
) -> Result<(), Errno> {
    syscall!(SYS_setsockopt, fd, level, name, value, length).map(drop)
}

/// SO_SNDTIMEO; `None`: no timeout, the kernel's 0.
pub fn send_timeout(fd: Fd) -> Result<Option<Duration>, Errno> {
    let time: libc::timeval = get_option(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO)?;
    let time = Duration::new(time.tv_sec.max(0) as u64, time.tv_usec.max(0) as u32 * 1000);
    Ok((!time.is_zero()).then_some(time))
}

/// Whether its protocol is TCP or MPTCP: a TCP socket, or a raw one ([`is_stream`]). An SCTP stream is none.
///
/// # Errors
/// EBADF, ENOTSOCK: not a socket. Anything else: the call is not permitted (seccomp).
pub fn is_tcp(fd: Fd) -> Result<bool, Errno> {
    let protocol: c_int = get_option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)?;
    Ok(matches!(protocol, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP))
}

/// SO_TYPE.
///
/// # Errors
/// As [`is_tcp`].
pub fn is_stream(fd: Fd) -> Result<bool, Errno> {
    let kind: c_int = get_option(fd, libc::SOL_SOCKET, libc::SO_TYPE)?;
    Ok(kind == libc::SOCK_STREAM)
}

/// What TCP_INFO (tcp(7)) tells of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpState {
    /// TCP_CLOSE is [`TCP_CLOSED`].
    pub state: u8,
    /// The socket has sent something, a SYN at least, since it was created or disconnected. If it is closed, a connect has
    /// failed or a connection was reset, and the kernel may not have reported that yet.
    pub has_sent: bool,
}

/// See [`TcpState`].
///
/// # Errors
/// ENOPROTOOPT, EOPNOTSUPP: not a TCP socket, or MPTCP on a kernel without the option.
pub fn tcp_state(fd: Fd) -> Result<TcpState, Errno> {
    /// As far as tcpi_segs_out of struct tcp_info (Linux 4.2).
    const TAKEN: usize = 140;
    const SEGS_OUT: usize = 136;
    let info: [u8; TAKEN] = get_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(TcpState {
        state: info[0],
        has_sent: info[SEGS_OUT..].iter().any(|&byte| byte != 0),
    })
}

/// Neither connected nor connecting nor listening: TCP_CLOSE of netinet/tcp.h.
pub const TCP_CLOSED: u8 = 7;

/// TCP_SYN_SENT of netinet/tcp.h.
pub const TCP_CONNECTING: u8 = 2;

/// SO_COOKIE (Linux 4.12): unique among all sockets since boot, unlike fds and inode numbers.
pub fn cookie(fd: Fd) -> Option<u64> {
    get_option(fd, libc::SOL_SOCKET, libc::SO_COOKIE).ok()
}
