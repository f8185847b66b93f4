//! Signals as something to read (signalfd(2)): no handler, nothing runs at an odd moment.

use std::io;
use std::mem::{size_of, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// A signal that was sent to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub number: libc::c_int,
    /// Sent by the kernel, as for a key on the terminal: the whole foreground group got it, not only we.
    pub by_kernel: bool,
    /// The process that sent it; 0 when it is outside of our PID namespace.
    pub sender: u32,
}

pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// From now on these signals are only read here. `Command` starts children with an empty signal mask, so
    /// that they do not inherit this.
    ///
    /// # Errors
    ///
    /// As signalfd(2).
    pub fn new(numbers: &[libc::c_int]) -> io::Result<SignalFd> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initializes the set that it is given, and cannot fail.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for number in numbers {
            // SAFETY: set is initialized.
            unsafe { libc::sigaddset(&mut set, *number) };
        }
        // SAFETY: set is initialized; the old mask is not asked for.
        let failure = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        if failure != 0 {
            return Err(io::Error::from_raw_os_error(failure));
        }
        // SAFETY: set is initialized.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that is waiting.
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
            sender: info.ssi_pid,
        })
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
