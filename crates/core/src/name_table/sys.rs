//! The system calls of the shared table that the standard library lacks, each as a safe function.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The user that the process acts as: geteuid(2).
pub fn effective_user() -> u32 {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// The size of a page in bytes: sysconf(3).
pub fn page_size() -> usize {
    // SAFETY: sysconf only reads its argument.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// The host name: gethostname(2). `None` if it is empty or too long for Linux.
pub fn host_name() -> Option<Vec<u8>> {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is writable for the given length.
    check(unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) }).ok()?;
    let name = CStr::from_bytes_until_nul(&buffer).ok()?.to_bytes();
    (!name.is_empty()).then(|| name.to_vec())
}

/// openat(2) below `directory`, or from the root for an absolute path. O_CLOEXEC is added.
pub fn open_at(
    directory: Option<BorrowedFd>,
    path: &CStr,
    flags: libc::c_int,
    mode: libc::mode_t,
) -> io::Result<OwnedFd> {
    let directory = directory.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd());
    // SAFETY: `path` is NUL-terminated and lives through the call; the mode is passed whatever the flags are.
    let fd =
        check(unsafe { libc::openat(directory, path.as_ptr(), flags | libc::O_CLOEXEC, mode) })?;
    // SAFETY: the fd is new, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// mkdir(2).
pub fn make_directory(path: &CStr, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: `path` is NUL-terminated and lives through the call.
    check(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(drop)
}

/// linkat(2) within one directory: fails with EEXIST if `new` exists, and never replaces it.
pub fn link(directory: BorrowedFd, old: &CStr, new: &CStr) -> io::Result<()> {
    let fd = directory.as_raw_fd();
    // SAFETY: both names are NUL-terminated and live through the call.
    check(unsafe { libc::linkat(fd, old.as_ptr(), fd, new.as_ptr(), 0) }).map(drop)
}

/// unlinkat(2) of a file.
pub fn unlink(directory: BorrowedFd, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated and lives through the call.
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

/// How many bytes a user may still write to the file system of `fd`: fstatvfs(3).
pub fn free_space(fd: BorrowedFd) -> io::Result<u64> {
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `answer` is writable and as large as the structure.
    check(unsafe { libc::fstatvfs(fd.as_raw_fd(), answer.as_mut_ptr()) })?;
    // SAFETY: zeroed and then filled in: every field is an integer.
    let answer = unsafe { answer.assume_init() };
    Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
}

/// What backs a mapping.
#[derive(Clone, Copy)]
pub enum Backing<'a> {
    /// Shared with all processes that map the file.
    File(BorrowedFd<'a>),
    /// Shared with the children that this process forks.
    Shared,
    /// Private to this process; a forked child gets a copy.
    Private,
}

/// mmap(2): `len` bytes, readable and writable, page-aligned, zero unless backed by a file with content.
pub fn map(backing: Backing, len: usize) -> io::Result<NonNull<u8>> {
    let (flags, fd) = match backing {
        Backing::File(fd) => (libc::MAP_SHARED, fd.as_raw_fd()),
        Backing::Shared => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
        Backing::Private => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    // Most of a table is never touched: do not count it against the overcommit limit.
    let flags = flags | libc::MAP_NORESERVE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: no address is given, so no existing mapping can be replaced.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, fd, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// munmap(2).
///
/// # Safety
/// `base` and `len` are those of one [`map`], and nothing refers to its memory any more.
pub unsafe fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's contract. It fails only for an invalid range, and then the mapping stays: nothing to do.
    unsafe { libc::munmap(base.as_ptr().cast(), len) };
}

/// The kind of access that a page must permit.
#[derive(Clone, Copy)]
pub enum Access {
    Read,
    Write,
}

/// Makes the page of `word` present and writable, on kernels without [`populate`]: futex(2) with FUTEX_WAKE_OP adds 0
/// to it, atomically, and fails where an access would raise SIGBUS. No waiter is woken.
pub fn touch(word: NonNull<u32>) -> io::Result<()> {
    // linux/futex.h: FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0).
    const ADD_NOTHING: libc::c_int = 1 << 28;
    let (operation, none) = (libc::FUTEX_WAKE_OP | libc::FUTEX_PRIVATE_FLAG, 0usize);
    let word = word.as_ptr();
    // SAFETY: the kernel validates the addresses, and changes nothing.
    check(unsafe {
        libc::syscall(libc::SYS_futex, word, operation, 0, none, word, ADD_NOTHING) as libc::c_int
    })
    .map(drop)
}

/// Makes the pages of a mapping present: madvise(2) with MADV_POPULATE_READ or MADV_POPULATE_WRITE. Fails with EFAULT
/// where an access would raise SIGBUS (the file was truncated, its file system is full).
///
/// Errors: EINVAL before Linux 5.14.
pub fn populate(base: NonNull<u8>, len: usize, access: Access) -> io::Result<()> {
    let advice = match access {
        Access::Read => libc::MADV_POPULATE_READ,
        Access::Write => libc::MADV_POPULATE_WRITE,
    };
    // SAFETY: populating neither changes nor frees memory, whatever the range holds.
    check(unsafe { libc::madvise(base.as_ptr().cast(), len, advice) }).map(drop)
}
