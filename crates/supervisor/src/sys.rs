//! The supervisor's system calls, as safe functions that return an [`Errno`].

use crate::filter::Instruction;
use core::mem::{self, MaybeUninit};
use core::ptr;
use libc::{c_int, c_long, c_ulong, pid_t};
use tailchain_core::errno::Errno;
use tailchain_core::sys::{errno, Fd, OwnFd, SockAddr};

/// The result of a system call, with errno as the error.
macro_rules! syscall {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        // SAFETY: every argument is an integer, or a pointer to memory that the enclosing function keeps valid during
        // the call; the kernel checks the rest.
        match unsafe { libc::syscall(libc::$number $(, $argument)*) } {
            -1 => Err(Errno::from_raw(errno())),
            value => Ok(value),
        }
    };
}

/// PIDFD_THREAD of linux/pidfd.h (Linux 6.9): a pidfd of a thread, with access to its fds.
const PIDFD_THREAD: c_int = libc::O_EXCL;

/// pidfd_open(2) of any thread of a process.
pub fn open_thread(thread: pid_t) -> Result<OwnFd, Errno> {
    syscall!(SYS_pidfd_open, thread, PIDFD_THREAD).map(|fd| OwnFd::adopt(fd as Fd))
}

/// pidfd_open(2).
pub fn open_process(process: pid_t) -> Result<OwnFd, Errno> {
    syscall!(SYS_pidfd_open, process, 0usize).map(|fd| OwnFd::adopt(fd as Fd))
}

/// pidfd_getfd(2): the same open file, close-on-exec.
pub fn borrow_fd(process: &OwnFd, fd: Fd) -> Result<OwnFd, Errno> {
    syscall!(SYS_pidfd_getfd, process.fd(), fd, 0usize).map(|fd| OwnFd::adopt(fd as Fd))
}

/// process_vm_readv(2): all of `buffer`, or EFAULT.
pub fn read_memory(process: pid_t, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
    let (local, remote) = ranges(buffer.as_mut_ptr(), address, buffer.len());
    let read = syscall!(
        SYS_process_vm_readv,
        process,
        &raw const local,
        1usize,
        &raw const remote,
        1usize,
        0usize
    )?;
    whole(read, buffer.len())
}

/// process_vm_writev(2): all of `bytes`, or EFAULT.
pub fn write_memory(process: pid_t, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    let (local, remote) = ranges(bytes.as_ptr().cast_mut(), address, bytes.len());
    let written = syscall!(
        SYS_process_vm_writev,
        process,
        &raw const local,
        1usize,
        &raw const remote,
        1usize,
        0usize
    )?;
    whole(written, bytes.len())
}

/// As much of this process's memory as of another's.
fn ranges(local: *mut u8, remote: u64, length: usize) -> (libc::iovec, libc::iovec) {
    let range = |start| libc::iovec {
        iov_base: start,
        iov_len: length,
    };
    let remote = ptr::without_provenance_mut(remote as usize);
    (range(local.cast()), range(remote))
}

fn whole(moved: c_long, wanted: usize) -> Result<(), Errno> {
    match usize::try_from(moved) {
        Ok(moved) if moved == wanted => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Installs a filter with a listener on this thread and its descendants: seccomp(2). This requires PR_SET_NO_NEW_PRIVS,
/// so from then on no exec gains privileges.
pub fn install_filter(program: &[Instruction]) -> Result<OwnFd, Errno> {
    let mut instructions: Vec<libc::sock_filter> = program
        .iter()
        .map(|instruction| libc::sock_filter {
            code: instruction.code,
            jt: instruction.if_true,
            jf: instruction.if_false,
            k: instruction.k,
        })
        .collect();
    let filter = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(|_| Errno::EINVAL)?,
        filter: instructions.as_mut_ptr(),
    };
    syscall!(
        SYS_prctl,
        libc::PR_SET_NO_NEW_PRIVS,
        1usize,
        0usize,
        0usize,
        0usize
    )?;
    let flags: c_ulong = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    syscall!(
        SYS_seccomp,
        libc::SECCOMP_SET_MODE_FILTER,
        flags,
        &raw const filter
    )
    .map(|fd| OwnFd::adopt(fd as Fd))
}

/// Lets `process` read this process's memory and borrow its fds, which Yama would forbid (ptrace_scope 1).
pub fn allow_tracer(process: pid_t) {
    let _ = syscall!(
        SYS_prctl,
        libc::PR_SET_PTRACER,
        process as c_ulong,
        0usize,
        0usize,
        0usize
    );
}

/// The size of the kernel's notification, which may be larger than ours: SECCOMP_GET_NOTIF_SIZES.
pub fn notification_size() -> Result<usize, Errno> {
    // SAFETY: all zeroes is a valid value.
    let mut sizes: libc::seccomp_notif_sizes = unsafe { mem::zeroed() };
    syscall!(
        SYS_seccomp,
        libc::SECCOMP_GET_NOTIF_SIZES,
        0usize,
        &raw mut sizes
    )?;
    Ok(usize::from(sizes.seccomp_notif))
}

/// SECCOMP_IOCTL_NOTIF_SET_FLAGS (Linux 6.6): a notification or a reply wakes its receiver on the sender's CPU, since the
/// sender is about to sleep. A call to be answered then costs 3 µs, not up to 38.
pub fn wake_on_same_cpu(listener: Fd) {
    /// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP of linux/seccomp.h.
    const SYNC_WAKE_UP: usize = 1;
    let request = libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as c_ulong;
    let _ = syscall!(SYS_ioctl, listener, request, SYNC_WAKE_UP);
}

/// SECCOMP_IOCTL_NOTIF_RECV into a buffer of [`notification_size`] bytes, which is zeroed first.
///
/// # Errors
/// ENOENT: the caller was interrupted or has ended.
pub fn receive(listener: Fd, buffer: &mut [u64]) -> Result<libc::seccomp_notif, Errno> {
    buffer.fill(0);
    if mem::size_of_val(buffer) < size_of::<libc::seccomp_notif>() {
        return Err(Errno::EINVAL);
    }
    ioctl(
        listener,
        libc::SECCOMP_IOCTL_NOTIF_RECV as c_ulong,
        buffer.as_mut_ptr().cast(),
    )?;
    // SAFETY: large enough, as checked, aligned, and filled by the kernel; all fields are integers.
    Ok(unsafe { buffer.as_ptr().cast::<libc::seccomp_notif>().read() })
}

/// SECCOMP_IOCTL_NOTIF_SEND.
pub fn answer(listener: Fd, answer: &mut libc::seccomp_notif_resp) -> Result<(), Errno> {
    ioctl(
        listener,
        libc::SECCOMP_IOCTL_NOTIF_SEND as c_ulong,
        ptr::from_mut(answer).cast(),
    )
    .map(drop)
}

/// SECCOMP_IOCTL_NOTIF_ID_VALID: whether the call still waits for its answer.
pub fn is_waiting(listener: Fd, mut id: u64) -> bool {
    let request = libc::SECCOMP_IOCTL_NOTIF_ID_VALID as c_ulong;
    ioctl(listener, request, (&raw mut id).cast()).is_ok()
}

/// SECCOMP_IOCTL_NOTIF_ADDFD.
pub fn add_fd(listener: Fd, request: &mut libc::seccomp_notif_addfd) -> Result<Fd, Errno> {
    ioctl(
        listener,
        libc::SECCOMP_IOCTL_NOTIF_ADDFD as c_ulong,
        ptr::from_mut(request).cast(),
    )
    .map(|fd| fd as Fd)
}

fn ioctl(fd: Fd, request: c_ulong, argument: *mut libc::c_void) -> Result<c_long, Errno> {
    syscall!(SYS_ioctl, fd, request, argument)
}

/// Reads the start of a file with one read(2). The path ends with a NUL.
pub fn read_start(path: &str, buffer: &mut [u8]) -> Result<usize, Errno> {
    if !path.ends_with('\0') {
        return Err(Errno::EINVAL);
    }
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let file = syscall!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)?;
    let file = OwnFd::adopt(file as Fd);
    syscall!(SYS_read, file.fd(), buffer.as_mut_ptr(), buffer.len()).map(|read| read as usize)
}

/// SIOCOUTQ of a unix socket: the memory used by data that its peer has not read (unix(7)).
pub fn unread(fd: Fd) -> Result<usize, Errno> {
    let mut size: c_int = 0;
    ioctl(fd, libc::TIOCOUTQ as c_ulong, (&raw mut size).cast())?;
    Ok(usize::try_from(size).unwrap_or(0))
}

/// The two sides of a fork.
pub enum Fork {
    Parent(pid_t),
    Child,
}

/// clone(2) without an exit signal: wait(2) does not report such a child, so the program that the parent becomes never
/// sees it.
///
/// # Errors
/// EAGAIN: there are other threads, which may hold a lock.
pub fn fork_unseen() -> Result<Fork, Errno> {
    let threads = std::fs::read_dir("/proc/self/task").map_err(|_| Errno::ENOENT)?;
    if threads.count() != 1 {
        return Err(Errno::EAGAIN);
    }
    Ok(
        match syscall!(SYS_clone, 0usize, 0usize, 0usize, 0usize, 0usize)? {
            0 => Fork::Child,
            pid => Fork::Parent(pid as pid_t),
        },
    )
}

/// waitpid(2) for such a child.
pub fn reap(child: pid_t) {
    let none = ptr::null_mut::<c_int>();
    let _ = syscall!(SYS_wait4, child, none, libc::__WCLONE, none);
}

pub fn parent() -> pid_t {
    syscall!(SYS_getppid).unwrap_or(0) as pid_t
}

/// Starts a session, so that no terminal or process group stops or ends this process, and blocks all signals that can
/// be blocked.
pub fn detach() {
    let _ = syscall!(SYS_setsid);
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a valid signal set, filled and then passed to the kernel.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
    }
    let _ = syscall!(SYS_chdir, c"/".as_ptr());
    let _ = syscall!(SYS_prctl, libc::PR_SET_NAME, c"tailchain".as_ptr(), 0, 0, 0);
}

/// Replaces `fd` by /dev/null.
pub fn silence(fd: Fd) {
    if let Ok(null) = syscall!(
        SYS_openat,
        libc::AT_FDCWD,
        c"/dev/null".as_ptr(),
        libc::O_RDWR | libc::O_CLOEXEC
    ) {
        let null = OwnFd::adopt(null as Fd);
        let _ = syscall!(SYS_dup3, null.fd(), fd, 0);
    }
}

/// Raises the limit of open files to the hard limit.
pub fn raise_open_files() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid structure, filled and then read.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// socketpair(2) of unix streams, close-on-exec.
pub fn channel() -> Result<(OwnFd, OwnFd), Errno> {
    let mut pair: [c_int; 2] = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    syscall!(SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr())?;
    let [one, other] = pair.map(OwnFd::adopt);
    Ok((one, other))
}

/// write(2) of one integer.
pub fn send_int(channel: &OwnFd, number: i32) -> Result<(), Errno> {
    let bytes = number.to_ne_bytes();
    let written = syscall!(SYS_write, channel.fd(), bytes.as_ptr(), bytes.len())?;
    whole(written, bytes.len())
}

/// read(2) of one integer; EPIPE if the other end is closed.
pub fn receive_int(channel: &OwnFd) -> Result<i32, Errno> {
    let mut bytes = [0; 4];
    let read = syscall!(SYS_read, channel.fd(), bytes.as_mut_ptr(), bytes.len())?;
    whole(read, bytes.len()).map_err(|_| Errno::EPIPE)?;
    Ok(i32::from_ne_bytes(bytes))
}

/// recvfrom(2), non-blocking: the length of the datagram, and its source.
pub fn receive_from(fd: Fd, buffer: &mut [u8]) -> Result<(usize, std::net::SocketAddr), Errno> {
    look(fd, buffer, 0)
}

/// As [`receive_from`], with MSG_PEEK.
pub fn peek_from(fd: Fd, buffer: &mut [u8]) -> Result<(usize, std::net::SocketAddr), Errno> {
    look(fd, buffer, libc::MSG_PEEK)
}

fn look(fd: Fd, buffer: &mut [u8], flags: c_int) -> Result<(usize, std::net::SocketAddr), Errno> {
    let mut from = [0u8; size_of::<libc::sockaddr_storage>()];
    let mut length = from.len() as libc::socklen_t;
    let read = syscall!(
        SYS_recvfrom,
        fd,
        buffer.as_mut_ptr(),
        buffer.len(),
        flags | libc::MSG_DONTWAIT,
        from.as_mut_ptr(),
        &raw mut length
    )?;
    let from = from
        .get(..length as usize)
        .and_then(SockAddr::from_bytes)
        .and_then(|from| from.inet())
        .ok_or(Errno::EAFNOSUPPORT)?;
    Ok((read as usize, from))
}

/// listen(2).
pub fn listen(fd: Fd) -> Result<(), Errno> {
    syscall!(SYS_listen, fd, libc::SOMAXCONN).map(drop)
}

/// accept4(2), non-blocking and close-on-exec.
pub fn accept(listener: Fd) -> Result<OwnFd, Errno> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let none = ptr::null_mut::<libc::sockaddr>();
    syscall!(SYS_accept4, listener, none, none, flags).map(|fd| OwnFd::adopt(fd as Fd))
}

/// sendto(2), non-blocking and without SIGPIPE.
pub fn send_to(fd: Fd, bytes: &[u8], flags: c_int, to: Option<&SockAddr>) -> Result<usize, Errno> {
    let to = to.map_or(&[][..], |to| to.as_bytes());
    let address = match to.is_empty() {
        true => ptr::null(),
        false => to.as_ptr(),
    };
    syscall!(
        SYS_sendto,
        fd,
        bytes.as_ptr(),
        bytes.len(),
        flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        address,
        to.len()
    )
    .map(|sent| sent as usize)
}

/// getsockopt(2) of any option; returns its length.
pub fn get_option(fd: Fd, level: c_int, name: c_int, value: &mut [u8]) -> Result<usize, Errno> {
    let mut length = value.len() as libc::socklen_t;
    let value = value.as_mut_ptr();
    syscall!(SYS_getsockopt, fd, level, name, value, &raw mut length)?;
    Ok(length as usize)
}

/// setsockopt(2) of any option that contains no pointers.
pub fn set_option(fd: Fd, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
    syscall!(SYS_setsockopt, fd, level, name, value.as_ptr(), value.len()).map(drop)
}

/// sendmsg(2) with control data that contains no fds, non-blocking.
pub fn send_message(
    fd: Fd,
    bytes: &[u8],
    control: &[u8],
    flags: c_int,
    to: Option<&SockAddr>,
) -> Result<usize, Errno> {
    let vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let to = to.map_or(&[][..], SockAddr::as_bytes);
    // SAFETY: all zeroes is a valid value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    if !to.is_empty() {
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = to.len() as libc::socklen_t;
    }
    message.msg_iov = (&raw const vector).cast_mut();
    message.msg_iovlen = 1;
    message.msg_control = control.as_ptr().cast_mut().cast();
    message.msg_controllen = control.len() as _;
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    syscall!(SYS_sendmsg, fd, &raw const message, flags).map(|sent| sent as usize)
}

/// As [`open_thread`], or, before Linux 6.9, a pidfd of a process.
pub fn open_thread_or_process(thread: pid_t) -> Result<OwnFd, Errno> {
    match open_thread(thread) {
        Err(Errno::EINVAL) => open_process(thread),
        opened => opened,
    }
}

/// kcmp(2) KCMP_EPOLL_TFD: whether a program's `epoll` has our `file` registered as its `fd`. True if the kernel cannot
/// tell.
pub fn is_registered(file: Fd, thread: pid_t, epoll: Fd, fd: Fd) -> bool {
    const KCMP_EPOLL_TFD: c_int = 7;
    #[repr(C)]
    struct Slot {
        efd: u32,
        tfd: u32,
        toff: u32,
    }
    let slot = Slot {
        efd: epoll as u32,
        tfd: fd as u32,
        toff: 0,
    };
    let own = tailchain_core::sys::pid();
    match syscall!(SYS_kcmp, own, thread, KCMP_EPOLL_TFD, file, &raw const slot) {
        Ok(order) => order == 0,
        Err(Errno::ENOENT | Errno::EBADF | Errno::EINVAL) => false,
        Err(_) => true,
    }
}

/// unshare(2): gives this thread its own fd table.
pub fn unshare_fds() -> Result<(), Errno> {
    syscall!(SYS_unshare, libc::CLONE_FILES).map(drop)
}

/// Moves the open file to an fd other than `taken`.
pub fn move_away(fd: OwnFd, taken: Fd) -> Result<OwnFd, Errno> {
    if fd.fd() != taken {
        return Ok(fd);
    }
    let above = c_long::from(taken) + 1;
    syscall!(SYS_fcntl, taken, libc::F_DUPFD_CLOEXEC, above).map(|fd| OwnFd::adopt(fd as Fd))
}

/// _exit(2).
pub fn end() -> ! {
    // SAFETY: _exit ends the process without running any more of its code.
    unsafe { libc::_exit(0) }
}
