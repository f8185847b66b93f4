//! Signals read from an fd (signalfd(2)), without asynchronous handlers.

use std::io;
use std::mem::{size_of, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

/// A signal that this process has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub number: libc::c_int,
    /// Sent by the kernel, e.g. for Ctrl-C on the terminal: the whole foreground process group has received it.
    pub by_kernel: bool,
}

/// The signal mask at the start of this process.
static INHERITED: OnceLock<libc::sigset_t> = OnceLock::new();

pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks these signals, so that they are only read here. Children inherit the mask, unless [`unblock_in`] is called.
    ///
    /// # Errors
    ///
    /// As signalfd(2).
    pub fn new(numbers: &[libc::c_int]) -> io::Result<SignalFd> {
        let mut set = empty_set();
        for number in numbers {
            // SAFETY: set is initialized.
            unsafe { libc::sigaddset(&mut set, *number) };
        }
        let mut before = empty_set();
        // SAFETY: both sets are initialized.
        let failure = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before) };
        if failure != 0 {
            return Err(io::Error::from_raw_os_error(failure));
        }
        let _ = INHERITED.set(before);
        // SAFETY: set is initialized.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next pending signal.
    pub fn next(&self) -> Option<Received> {
        use std::os::fd::AsRawFd;
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer has room for `size` bytes.
        let read = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if usize::try_from(read) != Ok(size) {
            return None;
        }
        // SAFETY: the kernel has filled all of it.
        let info = unsafe { info.assume_init() };
        Some(Received {
            number: info.ssi_signo.try_into().ok()?,
            by_kernel: info.ssi_code == libc::SI_KERNEL,
        })
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives the child the signal mask at the start of this process.
pub fn unblock_in(command: &mut Command) {
    let Some(mask) = INHERITED.get().copied() else {
        return;
    };
    // SAFETY: sigprocmask is async-signal-safe, and mask is initialized.
    unsafe {
        command.pre_exec(move || {
            match libc::sigprocmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set that it is given, and cannot fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}
