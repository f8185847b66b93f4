//! A mapping, seen as atomic words. The only place that turns addresses into references.
//!
//! **SIGBUS.** Touching a page of a mapped file kills the process when the file was truncated meanwhile or when
//! its file system has no room for the page. A library in a foreign process can neither install a handler
//! nor die, so [`Memory::words`] asks the kernel for the pages first, on every access, and says `None`
//! when they are not to be had. That is one madvise(2) of about 0.3 µs (0.65 µs on a slow virtual machine),
//! small beside the connection that follows. To remember which pages were once present would be cheaper, but a
//! file that is truncated later would then kill every process that has it mapped. What remains is a file that
//! is truncated within the nanoseconds between question and access, by its own user: the directory is closed
//! to others. Before Linux 5.14 there is no such question, and a futex operation that changes nothing is tried on each
//! page instead.

use super::sys::{self, Access, Backing};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::io;
use std::ptr::NonNull;

/// A mapping that lives as long as this value.
pub struct Memory {
    base: NonNull<u8>,
    len: usize,
    page: usize,
    /// Ask the kernel before each access.
    guarded: AtomicBool,
    /// By madvise(2); else by futex(2).
    advises: AtomicBool,
}

// SAFETY: the memory is only ever reached through atomic words, and the mapping is not bound to a thread.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Errors: those of mmap(2).
    pub fn map(backing: Backing, len: usize) -> io::Result<Memory> {
        Ok(Memory {
            base: sys::map(backing, len)?,
            len,
            page: sys::page_size(),
            guarded: AtomicBool::new(matches!(backing, Backing::File(_))),
            advises: AtomicBool::new(true),
        })
    }

    /// `count` words from byte `offset` on, ready for `access`. `None` when they are outside of the
    /// mapping, not aligned, or their pages cannot be had.
    pub fn words(&self, offset: usize, count: usize, access: Access) -> Option<&[AtomicU64]> {
        let first = self.locate::<AtomicU64>(offset, count, access)?;
        // SAFETY: `locate` checked bounds and alignment; every bit pattern is a valid word, and all processes
        // change the memory by atomic operations only; it stays mapped while `self` is borrowed.
        Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), count) })
    }

    /// As [`Memory::words`], with words of 32 bits.
    pub fn half_words(&self, offset: usize, count: usize, access: Access) -> Option<&[AtomicU32]> {
        let first = self.locate::<AtomicU32>(offset, count, access)?;
        // SAFETY: as in `words`.
        Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), count) })
    }

    fn locate<T>(&self, offset: usize, count: usize, access: Access) -> Option<NonNull<T>> {
        let bytes = count.checked_mul(size_of::<T>())?;
        let end = offset.checked_add(bytes)?;
        if end > self.len || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        self.make_present(offset, end, access)?;
        // SAFETY: `offset` is within the mapping, and the mapping's base is page-aligned.
        Some(unsafe { self.base.add(offset) }.cast())
    }

    fn make_present(&self, start: usize, end: usize, access: Access) -> Option<()> {
        if !self.guarded.load(Ordering::Relaxed) {
            return Some(());
        }
        // The kernel wants a page's start; it rounds the length up by itself.
        let start = start - start.checked_rem(self.page)?;
        // SAFETY: `start` is within the mapping.
        let first = unsafe { self.base.add(start) };
        while self.advises.load(Ordering::Relaxed) {
            match sys::populate(first, end - start, access) {
                Ok(()) => return Some(()),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR | libc::EAGAIN) => {}
                    Some(libc::EINVAL | libc::ENOSYS | libc::EPERM) => {
                        self.advises.store(false, Ordering::Relaxed);
                    }
                    _ => return None,
                },
            }
        }
        self.touch(start, end)
    }

    /// The first words of all pages from `start`, which is one's, to `end`.
    fn touch(&self, start: usize, end: usize) -> Option<()> {
        for page in (start..end).step_by(self.page) {
            // SAFETY: a page's start within the mapping.
            let word = unsafe { self.base.add(page) }.cast();
            match sys::touch(word) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EFAULT) => return None,
                // It may not be asked (seccomp).
                Err(_) => {
                    self.guarded.store(false, Ordering::Relaxed);
                    return Some(());
                }
            }
        }
        Some(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference outlives the borrow it was made from.
        unsafe { sys::unmap(self.base, self.len) };
    }
}
