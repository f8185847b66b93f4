//! A mapping, accessed as atomic words. The only place that turns addresses into references.
//!
//! **SIGBUS.** Touching a page of a mapped file kills the process if the file has been truncated meanwhile or its file
//! system has no space left for the page. A library in a foreign process may neither install a handler nor die, so
//! [`Memory::words`] first asks the kernel to populate the pages, on every access, and returns `None` if it cannot.
//! That is one madvise(2) of about 0.3 µs (0.65 µs on a slow virtual machine), small beside the connection that
//! follows. Remembering which pages were once present would be cheaper, but then truncating the file later would kill
//! every process that has it mapped. What remains is a truncation by the same user in the nanoseconds between the check
//! and the access; other users cannot enter the directory. Before Linux 5.14, which introduced that madvise, a futex
//! operation that changes nothing is tried on each page instead.

use super::sys::{self, Access, Backing};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::io;
use std::ptr::NonNull;

/// A mapping, unmapped on drop.
pub struct Memory {
    base: NonNull<u8>,
    len: usize,
    page: usize,
    /// Ask the kernel before each access.
    guarded: AtomicBool,
    /// With madvise(2); else with futex(2).
    advises: AtomicBool,
}

// SAFETY: the memory is accessed only through atomic words, and the mapping is not bound to a thread.
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

    /// `count` words from byte `offset` on, ready for `access`. `None` if they are outside the mapping or not aligned,
    /// or if their pages cannot be populated.
    pub fn words(&self, offset: usize, count: usize, access: Access) -> Option<&[AtomicU64]> {
        let first = self.locate::<AtomicU64>(offset, count, access)?;
        // SAFETY: `locate` checked bounds and alignment; every bit pattern is a valid word; all processes modify the
        // memory with atomic operations only; it stays mapped while `self` is borrowed.
        Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), count) })
    }

    /// As [`Memory::words`], with 32-bit words.
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
        // The kernel requires the start of a page; it rounds the length up itself.
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

    /// The first word of each page from `start`, which is page-aligned, to `end`.
    fn touch(&self, start: usize, end: usize) -> Option<()> {
        for page in (start..end).step_by(self.page) {
            // SAFETY: the start of a page within the mapping.
            let word = unsafe { self.base.add(page) }.cast();
            match sys::touch(word) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EFAULT) => return None,
                // The call may be forbidden (seccomp).
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
        // SAFETY: we own the mapping, and no reference outlives the borrow of `self` that it was made from.
        unsafe { sys::unmap(self.base, self.len) };
    }
}
