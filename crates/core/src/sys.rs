//! The system calls that the I/O layer needs, as safe functions that return an [`Errno`].
//!
//! They go through syscall(2), not through the libc function of the same name: inside the preload library
//! `connect` *is* our hook. This also makes them no cancellation points (pthreads(7)), so no unwinding of a
//! cancelled thread starts below our frames, and async-signal-safe. They leave errno changed; the hook
//! boundary restores it.

use crate::errno::Errno;
use core::ffi::c_int;
use core::mem::{self, MaybeUninit};
use libc::c_long;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// A file descriptor number that somebody else owns. Ours are [`OwnFd`].
pub type Fd = c_int;

/// errno of this thread.
pub fn errno() -> c_int {
    // SAFETY: __errno_location returns a valid pointer to this thread's errno.
    unsafe { *libc::__errno_location() }
}

/// Write errno of this thread. Called at the hook boundary only (invariant 4).
pub fn set_errno(value: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value }
}

/// The value of a system call, or errno as an error.
macro_rules! syscall {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        // SAFETY: every argument is a number, or a pointer to memory that the enclosing function holds for
        // as long as the call lasts; the kernel checks the rest.
        match unsafe { libc::syscall(libc::$number $(, $argument)*) } {
            -1 => Err(Errno::from_raw(errno())),
            value => Ok(value),
        }
    };
}

/// A file descriptor of ours: close-on-exec, and closed when dropped.
#[derive(Debug)]
pub struct OwnFd(Fd);

impl OwnFd {
    /// Take over a descriptor that nobody else will close.
    pub fn adopt(fd: Fd) -> OwnFd {
        OwnFd(fd)
    }

    pub fn fd(&self) -> Fd {
        self.0
    }

    /// Forget it without closing: the number now belongs to somebody else.
    pub fn release(self) -> Fd {
        let fd = self.0;
        mem::forget(self);
        fd
    }
}

impl Drop for OwnFd {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// close(2). Its error is nobody's: the number is free afterwards in any case on Linux.
pub fn close(fd: Fd) {
    let _ = syscall!(SYS_close, fd);
}

/// While this lives, descriptors can have numbers beyond what the program may use.
///
/// RLIMIT_NOFILE (getrlimit(2)) bounds the numbers that are handed out, not those that are open. So the soft limit
/// is raised for an instant where the hard one allows, and our descriptors are put above it: there they take
/// nothing from the program's allowance, and a daemon that closes all that it could have opened does not meet
/// them. Only one thread may do this at a time: the caller holds a lock.
pub struct RaisedLimit {
    before: Option<libc::rlimit>,
    /// Where our numbers begin.
    base: libc::rlim_t,
}

/// How far up. The kernel allocates one bit for each number, and two words, as they are used.
const HEADROOM: libc::rlim_t = 1 << 16;
/// Where the limit cannot be raised: at least out of the way of those who expect the lowest free number.
const HIGH: libc::rlim_t = 512;

impl RaisedLimit {
    pub fn new() -> RaisedLimit {
        let Ok(before) = limit_open_files(None) else {
            return RaisedLimit {
                before: None,
                base: HIGH,
            };
        };
        let raised = libc::rlimit {
            rlim_cur: before
                .rlim_max
                .min(before.rlim_cur.saturating_add(HEADROOM)),
            rlim_max: before.rlim_max,
        };
        if raised.rlim_cur > before.rlim_cur && limit_open_files(Some(&raised)).is_ok() {
            RaisedLimit {
                base: before.rlim_cur,
                before: Some(before),
            }
        } else {
            RaisedLimit {
                before: None,
                base: HIGH.min(before.rlim_cur / 2),
            }
        }
    }

    /// A close-on-exec duplicate with a high number, fcntl(2) F_DUPFD_CLOEXEC.
    pub fn duplicate(&self, fd: Fd) -> Result<OwnFd, Errno> {
        let at_or_above = |base: libc::rlim_t| {
            syscall!(SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, base as c_long).map(|fd| OwnFd(fd as Fd))
        };
        match at_or_above(self.base) {
            // Full up there.
            Err(Errno::EINVAL | Errno::EMFILE) => at_or_above(0),
            other => other,
        }
    }

    /// The same open file under a high number.
    pub fn raise(&self, fd: OwnFd) -> OwnFd {
        self.duplicate(fd.0).unwrap_or(fd)
    }
}

impl Default for RaisedLimit {
    fn default() -> RaisedLimit {
        RaisedLimit::new()
    }
}

impl Drop for RaisedLimit {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = limit_open_files(Some(before));
        }
    }
}

/// prlimit(2) of this process: the limit as it was.
fn limit_open_files(new: Option<&libc::rlimit>) -> Result<libc::rlimit, Errno> {
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, new, &raw mut before)?;
    Ok(before)
}

/// Make `to` refer to the open file of `from`, dup3(2), atomically.
pub fn replace(from: Fd, to: Fd, close_on_exec: bool) -> Result<(), Errno> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    syscall!(SYS_dup3, from, to, flags).map(drop)
}

/// fcntl(2) F_GETFL.
pub fn status_flags(fd: Fd) -> Result<c_int, Errno> {
    syscall!(SYS_fcntl, fd, libc::F_GETFL).map(|flags| flags as c_int)
}

/// fcntl(2) F_SETFL with O_NONBLOCK set or cleared and every other flag kept.
pub fn set_nonblocking(fd: Fd, on: bool) -> Result<(), Errno> {
    let flags = status_flags(fd)?;
    let wanted = if on {
        flags | libc::O_NONBLOCK
    } else {
        flags & !libc::O_NONBLOCK
    };
    if wanted != flags {
        syscall!(SYS_fcntl, fd, libc::F_SETFL, wanted)?;
    }
    Ok(())
}

/// fcntl(2) F_GETFD: whether FD_CLOEXEC is set.
pub fn closes_on_exec(fd: Fd) -> Result<bool, Errno> {
    syscall!(SYS_fcntl, fd, libc::F_GETFD).map(|flags| flags as c_int & libc::FD_CLOEXEC != 0)
}

/// Device and inode of an open file: who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub fn inode(self) -> u64 {
        self.inode
    }
}

/// fstat(2).
pub fn file_id(fd: Fd) -> Result<FileId, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    syscall!(SYS_fstat, fd, stat.as_mut_ptr())?;
    // SAFETY: the kernel filled it, and all zeroes is a valid stat too.
    let stat = unsafe { stat.assume_init() };
    Ok(FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

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
    let folder = OwnFd(syscall!(SYS_openat, libc::AT_FDCWD, path, flags)? as Fd);
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
pub fn names_file(fd: Fd, expected: &[u8]) -> bool {
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
    let file = OwnFd(syscall!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)? as Fd);
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
    Ok(OwnFd(fd as Fd))
}

/// getpid(2), asked of the kernel each time: a cached one would be wrong after vfork.
pub fn pid() -> libc::pid_t {
    syscall!(SYS_getpid).unwrap_or(0) as libc::pid_t
}

/// CLOCK_MONOTONIC, from the vDSO.
pub fn now() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid timespec to fill; clock_gettime is not one of our hooks.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A socket address in the kernel's form, with its length.
#[derive(Clone, Copy)]
pub struct SockAddr {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl SockAddr {
    fn from_part<T: Copy>(part: T, length: usize) -> SockAddr {
        const { assert!(mem::size_of::<T>() <= mem::size_of::<libc::sockaddr_storage>()) };
        // SAFETY: all zeroes is a valid sockaddr_storage.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        // SAFETY: T fits, as asserted, and storage is aligned for every sockaddr.
        unsafe { (&raw mut storage).cast::<T>().write(part) };
        SockAddr {
            storage,
            length: length as libc::socklen_t,
        }
    }

    /// A unix socket's path; `ENAMETOOLONG`-like lengths become `None`.
    pub fn unix(path: &Path) -> Option<SockAddr> {
        // SAFETY: all zeroes is a valid sockaddr_un.
        let mut part: libc::sockaddr_un = unsafe { mem::zeroed() };
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() >= part.sun_path.len() {
            return None;
        }
        part.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (to, from) in part.sun_path.iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        Some(SockAddr::from_part(part, mem::size_of_val(&part)))
    }

    /// A unix socket's name in the abstract namespace (unix(7)). `None`: too long.
    pub fn unix_abstract(name: &[u8]) -> Option<SockAddr> {
        // SAFETY: all zeroes is a valid sockaddr_un.
        let mut part: libc::sockaddr_un = unsafe { mem::zeroed() };
        part.sun_family = libc::AF_UNIX as libc::sa_family_t;
        // Its first byte is the NUL that makes it abstract.
        let room = part.sun_path.get_mut(1..=name.len())?;
        for (to, from) in room.iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        let length = mem::offset_of!(libc::sockaddr_un, sun_path) + 1 + name.len();
        Some(SockAddr::from_part(part, length))
    }

    /// The name, when it is a unix socket's in the abstract namespace.
    pub fn abstract_name(&self) -> Option<&[u8]> {
        let path = mem::offset_of!(libc::sockaddr_un, sun_path);
        if self.family() != libc::AF_UNIX {
            return None;
        }
        // SAFETY: the storage's bytes, all of them initialized; the length is checked by get().
        let all: &[u8; mem::size_of::<libc::sockaddr_storage>()] =
            unsafe { &*(&raw const self.storage).cast() };
        all.get(path..self.length as usize)?.strip_prefix(b"\0")
    }

    /// Copy an address that a program passed. `None` for a NULL pointer or a length out of range.
    ///
    /// # Safety
    /// `address` is NULL or readable for `length` bytes.
    pub unsafe fn copy_from(
        address: *const libc::sockaddr,
        length: libc::socklen_t,
    ) -> Option<SockAddr> {
        if address.is_null() || length as usize > mem::size_of::<libc::sockaddr_storage>() {
            return None;
        }
        // SAFETY: all zeroes is a valid sockaddr_storage.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        // SAFETY: the caller vouches for the source; the length was checked against the destination.
        unsafe {
            core::ptr::copy_nonoverlapping(
                address.cast::<u8>(),
                (&raw mut storage).cast::<u8>(),
                length as usize,
            )
        };
        Some(SockAddr { storage, length })
    }

    /// Give it to a program the way getpeername(2) does: as much as fits, and the full length.
    ///
    /// # Safety
    /// `length` is writable, and `address` is writable for `*length` bytes.
    pub unsafe fn copy_to(&self, address: *mut libc::sockaddr, length: *mut libc::socklen_t) {
        // SAFETY: the caller vouches for both.
        unsafe {
            let room = (*length).min(self.length) as usize;
            core::ptr::copy_nonoverlapping(
                (&raw const self.storage).cast::<u8>(),
                address.cast::<u8>(),
                room,
            );
            *length = self.length;
        }
    }

    pub fn family(&self) -> c_int {
        c_int::from(self.storage.ss_family)
    }

    /// As an internet address, when it is one of full length.
    pub fn inet(&self) -> Option<SocketAddr> {
        let storage = &raw const self.storage;
        match self.family() {
            libc::AF_INET if self.length as usize >= mem::size_of::<libc::sockaddr_in>() => {
                // SAFETY: storage is larger than, and aligned for, a sockaddr_in; any bytes are valid.
                let part = unsafe { storage.cast::<libc::sockaddr_in>().read() };
                let ip = u32::from_be(part.sin_addr.s_addr);
                Some((std::net::Ipv4Addr::from(ip), u16::from_be(part.sin_port)).into())
            }
            // The kernel accepts a sockaddr_in6 without its scope (SIN6_LEN_RFC2133, 24 bytes).
            libc::AF_INET6 if self.length >= 24 => {
                // SAFETY: as above, for a sockaddr_in6.
                let part = unsafe { storage.cast::<libc::sockaddr_in6>().read() };
                Some(SocketAddr::V6(std::net::SocketAddrV6::new(
                    part.sin6_addr.s6_addr.into(),
                    u16::from_be(part.sin6_port),
                    part.sin6_flowinfo,
                    part.sin6_scope_id,
                )))
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(address: SocketAddr) -> SockAddr {
        match address {
            SocketAddr::V4(v4) => {
                // SAFETY: all zeroes is a valid sockaddr_in.
                let mut part: libc::sockaddr_in = unsafe { mem::zeroed() };
                part.sin_family = libc::AF_INET as libc::sa_family_t;
                part.sin_port = v4.port().to_be();
                part.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
                SockAddr::from_part(part, mem::size_of_val(&part))
            }
            SocketAddr::V6(v6) => {
                // SAFETY: all zeroes is a valid sockaddr_in6.
                let mut part: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                part.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                part.sin6_port = v6.port().to_be();
                part.sin6_flowinfo = v6.flowinfo();
                part.sin6_addr.s6_addr = v6.ip().octets();
                part.sin6_scope_id = v6.scope_id();
                SockAddr::from_part(part, mem::size_of_val(&part))
            }
        }
    }
}

/// socket(2), close-on-exec.
pub fn socket(family: c_int, kind: c_int, protocol: c_int) -> Result<OwnFd, Errno> {
    let fd = syscall!(SYS_socket, family, kind | libc::SOCK_CLOEXEC, protocol)?;
    Ok(OwnFd(fd as Fd))
}

/// connect(2).
pub fn connect(fd: Fd, address: &SockAddr) -> Result<(), Errno> {
    syscall!(SYS_connect, fd, &raw const address.storage, address.length).map(drop)
}

/// bind(2).
pub fn bind(fd: Fd, address: &SockAddr) -> Result<(), Errno> {
    syscall!(SYS_bind, fd, &raw const address.storage, address.length).map(drop)
}

/// connect(2) to AF_UNSPEC: dissolve the association; the options and an explicit bind stay. The ECONNRESET that
/// the kernel leaves on a socket that was connected is taken away: the program never was.
pub fn disconnect(fd: Fd) -> Result<(), Errno> {
    // SAFETY: all zeroes is a valid sockaddr, and AF_UNSPEC is 0.
    let address: libc::sockaddr = unsafe { mem::zeroed() };
    syscall!(
        SYS_connect,
        fd,
        &raw const address,
        mem::size_of_val(&address)
    )?;
    let _: Result<c_int, Errno> = get_option(fd, libc::SOL_SOCKET, libc::SO_ERROR);
    Ok(())
}

/// getsockname(2).
pub fn local_address(fd: Fd) -> Result<SockAddr, Errno> {
    // SAFETY: all zeroes is a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&storage) as libc::socklen_t;
    syscall!(SYS_getsockname, fd, &raw mut storage, &raw mut length)?;
    Ok(SockAddr { storage, length })
}

/// getpeername(2): the peer of a connected socket; ENOTCONN otherwise.
pub fn peer_address(fd: Fd) -> Result<SockAddr, Errno> {
    // SAFETY: all zeroes is a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&storage) as libc::socklen_t;
    syscall!(SYS_getpeername, fd, &raw mut storage, &raw mut length)?;
    Ok(SockAddr { storage, length })
}

/// send(2), never blocking and never raising SIGPIPE.
pub fn send(fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let none = core::ptr::null::<libc::sockaddr>();
    syscall!(SYS_sendto, fd, bytes.as_ptr(), bytes.len(), flags, none, 0).map(|n| n as usize)
}

/// recv(2), never blocking; 0 is the end of the stream.
pub fn receive(fd: Fd, buffer: &mut [u8], peek: bool) -> Result<usize, Errno> {
    let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
    let none = core::ptr::null_mut::<libc::sockaddr>();
    syscall!(
        SYS_recvfrom,
        fd,
        buffer.as_mut_ptr(),
        buffer.len(),
        flags,
        none,
        none
    )
    .map(|n| n as usize)
}

/// A plain value that a socket option holds: any bytes are a valid one.
///
/// # Safety
/// Implement it only for types for which that is true.
pub unsafe trait OptionValue: Copy {}
// SAFETY: integers, and structures of integers without padding that matters.
unsafe impl OptionValue for c_int {}
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

/// getsockname(2) with a program's own arguments.
///
/// # Safety
/// The pointers are the program's; the kernel checks them.
pub unsafe fn raw_local_address(
    fd: Fd,
    address: *mut libc::sockaddr,
    length: *mut libc::socklen_t,
) -> Result<(), Errno> {
    syscall!(SYS_getsockname, fd, address, length).map(drop)
}

/// SO_SNDTIMEO; `None` is without limit, as the kernel's 0 is.
pub fn send_timeout(fd: Fd) -> Result<Option<Duration>, Errno> {
    let time: libc::timeval = get_option(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO)?;
    let time = Duration::new(time.tv_sec.max(0) as u64, time.tv_usec.max(0) as u32 * 1000);
    Ok((!time.is_zero()).then_some(time))
}

/// See [`send_timeout`].
pub fn set_send_timeout(fd: Fd, timeout: Option<Duration>) -> Result<(), Errno> {
    let timeout = timeout.unwrap_or_default();
    let time = libc::timeval {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_usec: libc::suseconds_t::from(timeout.subsec_micros()),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &time)
}

/// SO_COOKIE (Linux 4.12): a number that no other socket of this boot has, unlike fd and inode numbers.
pub fn cookie(fd: Fd) -> Option<u64> {
    get_option(fd, libc::SOL_SOCKET, libc::SO_COOKIE).ok()
}

/// A socketpair(2) of unix streams, close-on-exec and non-blocking.
pub fn stream_pair() -> Result<(OwnFd, OwnFd), Errno> {
    let mut pair: [Fd; 2] = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    syscall!(SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr())?;
    let [one, other] = pair;
    Ok((OwnFd(one), OwnFd(other)))
}

/// ppoll(2). `None`: without limit. How many descriptors have events; 0 when the time is over.
pub fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> Result<usize, Errno> {
    let time = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
    });
    let time = time.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let no_mask = core::ptr::null::<libc::sigset_t>();
    syscall!(
        SYS_ppoll,
        fds.as_mut_ptr(),
        fds.len(),
        time,
        no_mask,
        0usize
    )
    .map(|n| n as usize)
}

/// Wait for one descriptor; `false` when the time is over.
pub fn poll_one(fd: Fd, events: libc::c_short, timeout: Option<Duration>) -> Result<bool, Errno> {
    let mut one = [libc::pollfd {
        fd,
        events,
        revents: 0,
    }];
    poll(&mut one, timeout).map(|ready| ready > 0)
}

/// clock_nanosleep(2) without an end before its time but for a signal (`EINTR`).
pub fn sleep(duration: Duration) -> Result<(), Errno> {
    poll(&mut [], Some(duration)).map(drop)
}

/// Whether `length` bytes (8 to a page) at `address` can be read: the kernel tries, so that a bad pointer of
/// the program becomes its EFAULT and not our crash. rt_sigprocmask(2) copies 8 bytes before it finds that
/// the request is none.
pub fn is_readable(address: *const u8, length: usize) -> bool {
    const NO_REQUEST: c_int = -1;
    let readable = |address: *const u8| {
        let none = core::ptr::null_mut::<u8>();
        syscall!(SYS_rt_sigprocmask, NO_REQUEST, address, none, 8usize) != Err(Errno::EFAULT)
    };
    let last = address.wrapping_add(length.saturating_sub(8));
    let same_page = (address as usize) >> 12 == (last as usize + 7) >> 12;
    readable(address) && (same_page || readable(last))
}

/// shutdown(2).
pub fn shutdown(fd: Fd, how: c_int) -> Result<(), Errno> {
    syscall!(SYS_shutdown, fd, how).map(drop)
}

/// close_range(2).
pub fn close_range(first: u32, last: u32, flags: c_int) -> Result<(), Errno> {
    syscall!(SYS_close_range, first, last, flags).map(drop)
}

/// eventfd(2), close-on-exec and non-blocking.
pub fn event_counter() -> Result<OwnFd, Errno> {
    let fd = syscall!(SYS_eventfd2, 0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)?;
    Ok(OwnFd(fd as Fd))
}

/// Wake whoever polls an eventfd.
pub fn signal_event(fd: Fd) {
    let one: u64 = 1;
    let _ = syscall!(SYS_write, fd, &raw const one, size_of::<u64>());
}

/// Make an eventfd quiet again.
pub fn clear_event(fd: Fd) {
    let mut count: u64 = 0;
    let _ = syscall!(SYS_read, fd, &raw mut count, size_of::<u64>());
}

/// epoll_create1(2), close-on-exec.
pub fn epoll() -> Result<OwnFd, Errno> {
    let fd = syscall!(SYS_epoll_create1, libc::EPOLL_CLOEXEC)?;
    Ok(OwnFd(fd as Fd))
}

/// epoll_ctl(2) EPOLL_CTL_ADD or EPOLL_CTL_MOD.
pub fn epoll_set(epoll: Fd, operation: c_int, fd: Fd, events: u32, data: u64) -> Result<(), Errno> {
    let event = libc::epoll_event { events, u64: data };
    syscall!(SYS_epoll_ctl, epoll, operation, fd, &raw const event).map(drop)
}

/// epoll_ctl(2) EPOLL_CTL_DEL.
pub fn epoll_remove(epoll: Fd, fd: Fd) -> Result<(), Errno> {
    let none = core::ptr::null::<libc::epoll_event>();
    syscall!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_DEL, fd, none).map(drop)
}

/// epoll_wait(2), the timeout rounded up to a millisecond; `None`: without limit.
pub fn epoll_wait(
    epoll: Fd,
    events: &mut [libc::epoll_event],
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let milliseconds = timeout.map_or(-1, |timeout| {
        c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
    });
    let no_mask = core::ptr::null::<libc::sigset_t>();
    syscall!(
        SYS_epoll_pwait,
        epoll,
        events.as_mut_ptr(),
        events.len() as c_int,
        milliseconds,
        no_mask,
        8usize
    )
    .map(|n| n as usize)
}

/// All signals of this thread blocked, for as long as it lives: pthread_sigmask(3).
pub struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    pub fn new() -> SignalsBlocked {
        let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: valid sets to fill and to read; sigfillset makes the first one whole.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            SignalsBlocked(before.assume_init())
        }
    }
}

impl Default for SignalsBlocked {
    fn default() -> SignalsBlocked {
        SignalsBlocked::new()
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set that pthread_sigmask gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, core::ptr::null_mut()) };
    }
}
