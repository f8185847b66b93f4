//! An allocator with a reserve. Where the heap is exhausted, Rust would abort the program, which may be able to go on:
//! connect(2) can fail with an errno.

use super::errno;
use super::heap::Heap;
use crate::errno::Errno;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::alloc::System;

/// Enough for two of the longest HTTP headers that are read. Pages cost nothing until they are written to.
const ROOM: usize = 512 * 1024;

/// New connects fail when more than this is in use, so that those in progress can finish.
const REFUSING: usize = ROOM / 4;

/// Allocates from the library's heap, or from the reserve when that fails. While the library is being loaded it uses the
/// program's malloc(3): most processes never connect, and their few allocations then share the program's pages.
pub struct ReservingAllocator {
    heap: Heap,
    loaded: AtomicBool,
    reserve: Reserve,
}

impl ReservingAllocator {
    #[allow(clippy::new_without_default)] // for a static
    pub const fn new() -> ReservingAllocator {
        ReservingAllocator {
            heap: Heap::new(),
            loaded: AtomicBool::new(false),
            reserve: Reserve::new(),
        }
    }

    /// The library is loaded: stop using malloc(3), whose locks may be held in a copy of this process (clone(2)).
    pub fn leave_malloc(&self) {
        self.loaded.store(true, Ordering::Relaxed);
    }

    fn uses_malloc(&self, layout: Layout) -> bool {
        !self.loaded.load(Ordering::Relaxed) && !Heap::is_large(layout)
    }

    /// Map the reserve; without memory for it there is none.
    ///
    /// Not a static: so large a one keeps the small ones beside it apart, and each start of a program writes to
    /// more pages.
    pub fn prepare(&self) {
        self.reserve.prepare();
    }

    /// ENOMEM when too little of the reserve is left to begin something, unless the heap has memory again: some of what
    /// was allocated from the reserve may never be freed.
    pub fn check(&self) -> Result<(), Errno> {
        let used = Usage::unpack(self.reserve.usage.load(Ordering::Relaxed)).end;
        match used > REFUSING && !self.heap.has_memory() {
            true => Err(Errno::ENOMEM),
            false => Ok(()),
        }
    }
}

// SAFETY: each block is malloc's, or one that the heap or the reserve has given to nobody else; `dealloc` and `realloc`
// tell them apart by their address.
unsafe impl GlobalAlloc for ReservingAllocator {
    #[inline(never)] // called from everywhere: the library would be larger by a tenth
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = match self.uses_malloc(layout) {
            // SAFETY: passed on.
            true => unsafe { System.alloc(layout) },
            false => self.heap.allocate(layout),
        };
        if block.is_null() {
            return self.reserve.take(layout);
        }
        block
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.reserve.owns(block) {
            self.reserve.give_back(block, layout);
            return;
        }
        // SAFETY: it is of the heap, or it is small and malloc's.
        unsafe {
            if !self.heap.free(block, layout) {
                System.dealloc(block, layout);
            }
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.reserve.owns(block) && self.heap.fits(block, layout, size) {
            return block;
        }
        // SAFETY: the caller keeps to what GlobalAlloc says of size and alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: `wanted` is not empty, as `size` is not.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: two blocks, both at least so long; the old one is given back once.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, size.min(layout.size()));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

/// A bump allocator that gives back the last block, and starts over as soon as no block is in use: for few blocks, for a
/// short time.
struct Reserve {
    /// NULL until prepared; never unmapped.
    base: AtomicPtr<u8>,
    /// A [`Usage`]: it gives each part of the room to one owner at a time.
    usage: AtomicU64,
}

#[derive(Clone, Copy)]
struct Usage {
    blocks: u32,
    end: usize,
}

impl Usage {
    fn pack(self) -> u64 {
        u64::from(self.blocks) << 32 | self.end as u64
    }

    fn unpack(word: u64) -> Usage {
        Usage {
            blocks: (word >> 32) as u32,
            end: word as u32 as usize,
        }
    }
}

impl Reserve {
    const fn new() -> Reserve {
        Reserve {
            base: AtomicPtr::new(ptr::null_mut()),
            usage: AtomicU64::new(0),
        }
    }

    fn prepare(&self) {
        let none = ptr::null_mut::<u8>();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // The last argument is passed on the stack, where an int would leave half of the word as it was.
        let offset: libc::c_long = 0;
        if let Ok(base) = syscall!(SYS_mmap, none, ROOM, access, kind, -1, offset) {
            self.base.store(base as *mut u8, Ordering::Release);
        }
    }

    fn base(&self) -> *mut u8 {
        self.base.load(Ordering::Acquire)
    }

    fn owns(&self, block: *mut u8) -> bool {
        let base = self.base();
        !base.is_null() && block.addr().wrapping_sub(base.addr()) < ROOM
    }

    /// A block, or NULL.
    fn take(&self, layout: Layout) -> *mut u8 {
        let base = self.base();
        if base.is_null() {
            return base;
        }
        let mut start = 0;
        let taken = self.update(|used| {
            let free = base.addr().checked_add(used.end)?;
            start = used.end + (free.checked_next_multiple_of(layout.align())? - free);
            let end = start.checked_add(layout.size())?;
            let blocks = used.blocks + 1;
            (end <= ROOM).then_some(Usage { blocks, end })
        });
        match taken {
            true => base.wrapping_add(start),
            false => ptr::null_mut(),
        }
    }

    fn give_back(&self, block: *mut u8, layout: Layout) {
        let start = block.addr().wrapping_sub(self.base().addr());
        self.update(|used| {
            let blocks = used.blocks.saturating_sub(1);
            let end = match start.checked_add(layout.size()) {
                _ if blocks == 0 => 0,
                Some(end) if end == used.end => start,
                _ => used.end,
            };
            Some(Usage { blocks, end })
        });
    }

    /// Replace the usage by what `change` makes of it. `false`: `change` declined. (The atomic's own method for this
    /// was renamed in Rust 1.99, and its new name is not in the oldest Rust that we build with.)
    fn update(&self, mut change: impl FnMut(Usage) -> Option<Usage>) -> bool {
        let mut now = self.usage.load(Ordering::Acquire);
        while let Some(new) = change(Usage::unpack(now)) {
            let swapped = self.usage.compare_exchange_weak(
                now,
                new.pack(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swapped {
                Ok(_) => return true,
                Err(newer) => now = newer,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    fn reserve() -> Reserve {
        let reserve = Reserve::new();
        reserve.prepare();
        reserve
    }

    #[test]
    fn before_it_is_prepared_there_is_none() {
        let reserve = Reserve::new();
        assert!(reserve.take(layout(1, 1)).is_null());
        assert!(!reserve.owns(reserve.base()));
    }

    #[test]
    fn blocks_are_aligned_and_do_not_overlap() {
        let reserve = reserve();
        let mut end = reserve.base();
        for (size, align) in [(1, 1), (8, 8), (3, 1), (100, 64), (1, 4096)] {
            let block = reserve.take(layout(size, align));
            assert!(reserve.owns(block) && block >= end);
            assert_eq!(block.addr() % align, 0);
            end = block.wrapping_add(size);
        }
    }

    #[test]
    fn a_full_reserve_starts_over_once_all_blocks_are_given_back() {
        let reserve = reserve();
        let first = reserve.take(layout(ROOM - 8, 1));
        assert!(!first.is_null());
        assert!(reserve.take(layout(9, 1)).is_null());
        assert!(!reserve.take(layout(8, 1)).is_null());
        reserve.give_back(first, layout(ROOM - 8, 1));
        assert!(reserve.take(layout(1, 1)).is_null());
        reserve.give_back(first.wrapping_add(ROOM - 8), layout(8, 1));
        assert_eq!(reserve.take(layout(ROOM, 1)), first);
    }

    #[test]
    fn the_last_block_is_given_back_at_once() {
        let reserve = reserve();
        reserve.take(layout(128, 8));
        let last = reserve.take(layout(56, 8));
        reserve.give_back(last, layout(56, 8));
        assert_eq!(reserve.take(layout(56, 8)), last);
    }

    #[test]
    fn what_is_not_in_it_is_not_its_own() {
        let reserve = reserve();
        assert!(!reserve.owns(reserve.base().wrapping_sub(1)));
        assert!(!reserve.owns(reserve.base().wrapping_add(ROOM)));
        assert!(reserve.owns(reserve.base().wrapping_add(ROOM - 1)));
    }

    #[test]
    fn threads_never_get_the_same_block() {
        let reserve = reserve();
        thread::scope(|scope| {
            for mark in 1..=4_u8 {
                let reserve = &reserve;
                scope.spawn(move || {
                    for _ in 0..2000 {
                        let block = reserve.take(layout(64, 8));
                        assert!(!block.is_null());
                        // SAFETY: a block of 64 bytes, nobody else's.
                        unsafe {
                            block.write_bytes(mark, 64);
                            thread::yield_now();
                            assert!((0..64).all(|at| block.add(at).read() == mark));
                        }
                        reserve.give_back(block, layout(64, 8));
                    }
                });
            }
        });
        assert_eq!(reserve.usage.load(Ordering::Relaxed), 0);
    }
}
