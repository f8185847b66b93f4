//! Whether memory that the program passed can be read: a bad pointer must give EFAULT, as from the kernel, and not crash.

use super::errno;
use crate::errno::Errno;
use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The smallest page size. On a machine with larger pages some are checked twice.
const PAGE: usize = 4096;

/// Whether `length` bytes (1 to a page) at `address` can be read, by the kernel's judgement.
pub fn is_readable(address: *const u8, length: usize) -> bool {
    if is_on_main_stack(address, length) {
        return true;
    }
    pages(address, length).is_some_and(|(first, last)| {
        is_readable_page(first) && (first == last || is_readable_page(last))
    })
}

/// Whether the bytes belong to frames of the main thread that are in use, which calls this: their pages are mapped, and the
/// kernel need not be asked.
fn is_on_main_stack(address: *const u8, length: usize) -> bool {
    /// Nothing else is that close to the end of the main thread's stack: the kernel leaves a gap of 128 MiB or more.
    const NEAR: usize = 1 << 20;
    let frame = 0u8;
    let here = (&raw const frame).addr();
    // SAFETY: getauxval looks into a vector that the kernel made. The program's path is above all frames of the main thread
    // (execve(2) puts it there), so what is between it and this frame is that stack. On another stack, this frame is far
    // away from it.
    let end = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    let is_main_thread = end.checked_sub(here).is_some_and(|used| used < NEAR);
    let last = address.addr().checked_add(length);
    is_main_thread && here <= address.addr() && last.is_some_and(|last| last <= end)
}

/// As [`is_readable`], but a page that was readable when last checked is assumed to be so still, which saves the system
/// call: for functions that are called often. A program that unmaps such a page and then passes it gets SIGSEGV where the
/// kernel gives EFAULT.
pub fn was_readable(address: *const u8, length: usize) -> bool {
    static KNOWN: KnownPages = [const { AtomicUsize::new(0) }; 64];
    pages(address, length).is_some_and(|(first, last)| {
        let was_readable = |page| was_found(&KNOWN, page, is_readable_page);
        was_readable(first) && (first == last || was_readable(last))
    })
}

/// As [`was_readable`], for writing; the memory is readable.
pub fn was_writable(address: *const u8, length: usize) -> bool {
    static KNOWN: KnownPages = [const { AtomicUsize::new(0) }; 64];
    pages(address, length).is_some_and(|(first, last)| {
        let was_writable = |page| was_found(&KNOWN, page, is_writable_page);
        was_writable(first) && (first == last || was_writable(last))
    })
}

/// A direct-mapped cache of page addresses.
type KnownPages = [AtomicUsize; 64];

/// The start addresses of the pages of the first and the last byte. `None`: the range wraps around.
fn pages(address: *const u8, length: usize) -> Option<(usize, usize)> {
    let first = address as usize;
    let last = first.checked_add(length.saturating_sub(1))?;
    Some((first & !(PAGE - 1), last & !(PAGE - 1)))
}

fn was_found(known: &KnownPages, page: usize, look: fn(usize) -> bool) -> bool {
    let Some(place) = known.get(page / PAGE % known.len()) else {
        return look(page);
    };
    if page != 0 && place.load(Ordering::Relaxed) == page {
        return true;
    }
    let found = look(page);
    if found {
        place.store(page, Ordering::Relaxed);
    }
    found
}

/// madvise(2) with MADV_POPULATE_READ faults pages in as a read would, and fails with EFAULT or ENOMEM where a read would
/// raise a signal. Where it is not supported (before Linux 5.14, special mappings), [`is_copied`] decides.
fn is_readable_page(page: usize) -> bool {
    match syscall!(SYS_madvise, page, PAGE, libc::MADV_POPULATE_READ) {
        Ok(_) => true,
        Err(Errno::EFAULT | Errno::ENOMEM) => false,
        Err(_) => is_copied(page),
    }
}

/// madvise(2) with MADV_POPULATE_WRITE gives EINVAL for read-only memory, and before Linux 5.14. There readable memory
/// is assumed to be writable.
fn is_writable_page(page: usize) -> bool {
    let can = |advice: c_int| syscall!(SYS_madvise, page, PAGE, advice).is_ok();
    can(libc::MADV_POPULATE_WRITE) || !can(libc::MADV_POPULATE_READ)
}

/// rt_sigprocmask(2) copies 8 bytes from `page` before it rejects the invalid request. (NULL means no set, so nothing is
/// copied.) Only a fallback, since valgrind reports uninitialised bytes in the set.
fn is_copied(page: usize) -> bool {
    const NO_REQUEST: c_int = -1;
    let none = core::ptr::null_mut::<u8>();
    page != 0 && syscall!(SYS_rt_sigprocmask, NO_REQUEST, page, none, 8usize) != Err(Errno::EFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_readable_up_to_the_last_byte_of_the_last_page() {
        const PAGE: usize = 4096;
        // SAFETY: a new mapping of two pages, of which the second is then taken away.
        let pages = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let pages = libc::mmap(
                core::ptr::null_mut(),
                2 * PAGE,
                libc::PROT_READ,
                flags,
                -1,
                0,
            );
            assert_ne!(pages, libc::MAP_FAILED);
            libc::mprotect(pages.wrapping_byte_add(PAGE), PAGE, libc::PROT_NONE);
            pages.cast::<u8>()
        };
        for length in 1..=128 {
            assert!(is_readable(pages, length));
            assert!(is_readable(pages.wrapping_add(PAGE - length), length));
            assert!(!is_readable(pages.wrapping_add(PAGE - length + 1), length));
            assert!(!is_readable(pages.wrapping_add(PAGE), length));
        }
        // SAFETY: the mapping of this test.
        unsafe { libc::munmap(pages.cast(), 2 * PAGE) };
    }

    #[test]
    fn only_the_main_thread_is_on_its_stack() {
        let local = 0u8;
        // The test harness runs each test in a thread of its own, whose stack is not the main thread's.
        assert!(!is_on_main_stack(&raw const local, 1));
        assert!(is_readable(&raw const local, 1));
    }

    #[test]
    fn null_and_what_is_near_it_are_not_readable() {
        for (address, length) in [(0, 2), (0, 4), (0, 16), (1, 4), (4, 4), (4, 16)] {
            assert!(!is_readable(core::ptr::without_provenance(address), length));
        }
    }
}
