//! The thread whose call waits for an answer: its fds, its memory, its program.
//!
//! If the caller has ended and its ID was reused, all of this may concern another thread. The results count only if the
//! call still waits afterwards (`Listener::is_waiting`).

#![forbid(unsafe_code)]

use crate::sys;
use libc::pid_t;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{Fd, OwnFd, SockAddr};
use tailchain_preflight::elf::Elf;
use tailchain_preflight::image::Image;

pub struct Caller {
    pub thread: pid_t,
    handle: Rc<Handle>,
}

/// A reference to a thread.
struct Handle {
    pidfd: OwnFd,
    process: pid_t,
}

/// The handles of recent callers.
#[derive(Default)]
pub struct Callers(RefCell<HashMap<pid_t, Rc<Handle>>>);

impl Callers {
    /// More threads than take turns in connecting.
    const MOST: usize = 256;

    pub fn open(&self, thread: pid_t) -> Result<Caller, Errno> {
        if let Some(handle) = self.0.borrow().get(&thread) {
            let handle = Rc::clone(handle);
            return Ok(Caller { thread, handle });
        }
        let caller = Caller::open(thread)?;
        // A thread's pidfd refers to that thread only, even if its ID is reused. A process's pidfd may refer to another
        // process than that of the thread which has the ID now, so it is not cached.
        if caller.handle.process == thread || sys::open_thread(thread).is_ok() {
            let mut known = self.0.borrow_mut();
            if known.len() >= Self::MOST {
                known.clear();
            }
            known.insert(thread, Rc::clone(&caller.handle));
        }
        Ok(caller)
    }

    /// Borrows what a thread has under `fd`, and returns the thread's handle.
    ///
    /// # Errors
    /// As [`Caller::borrow`]; also EACCES if the thread may not be opened.
    pub fn borrow(&self, thread: pid_t, fd: Fd) -> Result<(Caller, OwnFd), Errno> {
        let caller = self.open(thread).map_err(|_| Errno::EACCES)?;
        match sys::borrow_fd(&caller.handle.pidfd, fd) {
            // The thread has ended, and its ID was reused.
            Err(Errno::ESRCH) => {
                self.0.borrow_mut().remove(&thread);
                let caller = self.open(thread).map_err(|_| Errno::EACCES)?;
                let file = caller.borrow(fd)?;
                Ok((caller, file))
            }
            borrowed => Ok((caller, borrowed.map_err(as_refusal)?)),
        }
    }
}

fn as_refusal(errno: Errno) -> Errno {
    match errno {
        Errno::EBADF | Errno::EMFILE | Errno::ENFILE => errno,
        _ => Errno::EACCES,
    }
}

impl Caller {
    pub fn open(thread: pid_t) -> Result<Caller, Errno> {
        let process = process_of(thread)?;
        let pidfd = match sys::open_thread(thread) {
            // Before Linux 6.9 a thread has no pidfd of its own.
            Err(Errno::EINVAL) => sys::open_process(process)?,
            opened => opened?,
        };
        let handle = Rc::new(Handle { pidfd, process });
        Ok(Caller { thread, handle })
    }

    /// The process of the thread.
    pub fn process(&self) -> pid_t {
        self.handle.process
    }

    /// Borrows the open file of an fd.
    ///
    /// # Errors
    /// EBADF: it is not open. EACCES: not permitted.
    pub fn borrow(&self, fd: Fd) -> Result<OwnFd, Errno> {
        sys::borrow_fd(&self.handle.pidfd, fd).map_err(as_refusal)
    }

    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        sys::read_memory(self.thread, address, buffer).map_err(|_| Errno::EFAULT)
    }

    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        sys::write_memory(self.thread, address, bytes).map_err(|_| Errno::EFAULT)
    }

    pub fn read_int(&self, address: u64) -> Result<i32, Errno> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(i32::from_ne_bytes(bytes))
    }

    /// Reads a socket address as the kernel does for a system call.
    pub fn read_address(&self, address: u64, length: i32) -> Result<SockAddr, Errno> {
        let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
        if length > size_of::<libc::sockaddr_storage>() {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; length];
        if length > 0 {
            self.read(address, &mut bytes)?;
        }
        SockAddr::from_bytes(&bytes).ok_or(Errno::EINVAL)
    }

    /// Writes bytes to a program's buffer whose size is at `length`: as many as fit, and stores how many there are.
    pub fn write_sized(&self, address: u64, length: u64, bytes: &[u8]) -> Result<(), Errno> {
        let room = usize::try_from(self.read_int(length)?).map_err(|_| Errno::EINVAL)?;
        self.write(address, bytes.get(..room).unwrap_or(bytes))?;
        if room == bytes.len() {
            return Ok(());
        }
        let count = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        self.write(length, &count.to_ne_bytes())
    }
}

/// Whether an fd of a thread has FD_CLOEXEC.
pub fn closes_on_exec(thread: pid_t, fd: Fd) -> bool {
    // The format is `pos:\t0
    // flags:\t02004002
    // `, followed by more lines (proc(5)).
    let mut start = [0; 64];
    let Ok(length) = sys::read_start(&format!("/proc/{thread}/fdinfo/{fd}\0"), &mut start) else {
        return false;
    };
    let start = str::from_utf8(start.get(..length).unwrap_or_default()).unwrap_or_default();
    start
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & libc::O_CLOEXEC != 0)
}

/// Whether the thread's process has other threads. True if that cannot be determined.
pub fn has_threads(thread: pid_t) -> bool {
    let threads = fs::read_dir(format!("/proc/{thread}/task"));
    threads.map_or(true, |threads| threads.count() != 1)
}

/// Whether the thread's program has handlers of signals.
pub fn catches_signals(thread: pid_t) -> bool {
    /// libc's own: SIGCANCEL, SIGSETXID and, of musl, SIGSYNCCALL.
    const INTERNAL: u64 = 0b111 << 31;
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .and_then(|caught| u64::from_str_radix(caught.trim(), 16).ok())
        .is_some_and(|caught| caught & !INTERNAL != 0)
}

/// The process of a thread.
pub fn process_of(thread: pid_t) -> Result<pid_t, Errno> {
    // Most connects are made by the main thread, and this check is cheaper than procfs.
    if sys::open_process(thread).is_ok() {
        return Ok(thread);
    }
    let status = fs::read_to_string(format!("/proc/{thread}/status")).map_err(|_| Errno::ESRCH)?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:"))
        .and_then(|id| id.trim().parse().ok())
        .ok_or(Errno::ESRCH)
}

/// Which executables were built by Go, by their files.
#[derive(Default)]
pub struct Programs(HashMap<(u64, u64, i64), bool>);

/// More programs than a process tree usually has.
const MOST: usize = 1024;

impl Programs {
    /// Whether the thread's program was linked by the Go linker. False if the executable cannot be examined.
    pub fn is_go(&mut self, thread: pid_t) -> bool {
        let link = format!("/proc/{thread}/exe");
        let Ok(file) = fs::metadata(&link) else {
            return false;
        };
        if self.0.len() >= MOST {
            self.0.clear();
        }
        *self
            .0
            .entry((file.dev(), file.ino(), file.mtime()))
            .or_insert_with(|| is_go(Path::new(&link)))
    }
}

fn is_go(file: &Path) -> bool {
    Image::open(file)
        .ok()
        .and_then(|image| Elf::of(&image))
        .is_some_and(|elf| elf.is_go)
}
