//! Distinguishes a child with a copy of this memory from one that shares it: madvise(2), MADV_WIPEONFORK.

use super::errno;
use crate::errno::Errno;
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use core::ptr;

const SIZE: usize = 4096;

/// A word in a page that is zeroed in a child of fork(2), or of clone(2) without CLONE_VM, which runs no handlers of
/// pthread_atfork(3). A child that shares the memory, as after vfork(2), sees it unchanged.
pub struct WipedOnFork(AtomicPtr<AtomicU32>);

impl Default for WipedOnFork {
    fn default() -> WipedOnFork {
        WipedOnFork::new()
    }
}

impl WipedOnFork {
    /// Without a page yet.
    pub const fn new() -> WipedOnFork {
        WipedOnFork(AtomicPtr::new(ptr::null_mut()))
    }

    /// Map the page, zeroed. Not supported before Linux 4.14.
    pub fn prepare(&self) {
        let none = ptr::null_mut::<u8>();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let offset: libc::c_long = 0;
        let Ok(page) = syscall!(SYS_mmap, none, SIZE, access, kind, -1, offset) else {
            return;
        };
        if syscall!(SYS_madvise, page, SIZE, libc::MADV_WIPEONFORK).is_err() {
            let _ = syscall!(SYS_munmap, page, SIZE);
            return;
        }
        self.0.store(page as *mut AtomicU32, Ordering::Release);
    }

    pub fn word(&self) -> Option<&AtomicU32> {
        // SAFETY: null, or a page of zeroes or of what was stored here, which is never unmapped.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_with_a_copy_of_the_memory_finds_it_wiped() {
        let page = WipedOnFork::new();
        assert!(page.word().is_none());
        page.prepare();
        let word = page.word().unwrap();
        word.store(7, Ordering::Release);
        // SAFETY: the child does nothing but exit.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(word.load(Ordering::Acquire) as i32);
            }
            let mut status = 0;
            libc::waitpid(child, &mut status, 0);
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
        }
        assert_eq!(word.load(Ordering::Acquire), 7);
    }
}
