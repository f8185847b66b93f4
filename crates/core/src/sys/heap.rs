//! The library's memory: a heap of its own, without a lock.
//!
//! malloc(3) has locks, and a process can be copied while a thread of ours holds one: by clone(2) as a bare system call,
//! for which libc makes no lock free again. In the copy nobody ever gives it back. A signal handler that interrupted
//! malloc(3) finds it held, too. Here nothing is held at any time: a thread that stops in the middle, or is not there in
//! a copy, costs the others one slab at most.
//!
//! Memory is mapped in *regions*. A region is cut into *slabs*, aligned to their size, each of blocks of one size
//! (*class*) for ever. One word for each slab says which of its blocks are free; a class has a stack of slabs with free
//! blocks. These words are apart from the blocks, which the heap itself never touches. Larger blocks are mappings of
//! their own.
//!
//! Tools that look after malloc(3) do not see what is done here. For valgrind see tests/probes/valgrind_heap.c.

use super::errno;
use crate::errno::Errno;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::alloc::Layout;
use core::ptr;

/// A slab is one or several of these.
const UNIT: usize = 1024;

/// The first region; each further one is twice as large. Pages cost nothing until they are written to.
const FIRST_REGION: usize = 64 * 1024;
const REGIONS: usize = 16;

/// 16, 32, 48 and 64 bytes; then 96, 128, 192, 256 and so on.
const CLASSES: usize = 18;
const SMALL_CLASSES: usize = 4;
const LARGEST: usize = 8 * 1024;

/// What the kernel aligns a mapping to, at least.
const PAGE: usize = 4096;

pub struct Heap {
    /// For each class the slab on top of its stack, and above that a count of changes: a slab that comes back to the top
    /// is not taken for one that never left.
    stacks: [AtomicU64; CLASSES],
    regions: [Region; REGIONS],
}

struct Region {
    /// NULL until it is mapped; never unmapped. It begins with the [`Slab`] of each of its units.
    base: AtomicPtr<u8>,
    /// How many units are given to slabs.
    used: AtomicU32,
}

/// What is known of one slab, in the place of its first unit. Zeroed memory is one that is not made yet.
struct Slab {
    /// A bit for each block that is free, and [`LISTED`].
    free: AtomicU64,
    /// The next one on the stack of its class.
    next: AtomicU32,
}

/// The slab is on its stack, or a thread is about to put it there or take it away.
const LISTED: u64 = 1 << 63;

/// Where a slab is: the region above, its first unit below. No slab is at the beginning of the first region.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SlabId(u32);

const NONE: SlabId = SlabId(0);
const UNIT_BITS: u32 = 26;

impl SlabId {
    fn new(region: usize, unit: usize) -> SlabId {
        SlabId((region as u32) << UNIT_BITS | unit as u32)
    }

    fn region(self) -> usize {
        (self.0 >> UNIT_BITS) as usize
    }

    fn unit(self) -> usize {
        (self.0 & ((1 << UNIT_BITS) - 1)) as usize
    }
}

/// Blocks of one size.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Class(usize);

impl Class {
    /// `None`: a mapping of its own.
    fn of(size: usize, align: usize) -> Option<Class> {
        const LEAST_ALIGN: usize = 16;
        let size = match align {
            ..=LEAST_ALIGN => size,
            // Blocks of a power of two are aligned to that, as far as their region is.
            _ => size.max(align).checked_next_power_of_two()?,
        };
        if size > LARGEST || align > PAGE {
            return None;
        }
        if size <= 64 {
            return Some(Class(size.saturating_sub(1) / 16));
        }
        let bits = usize::BITS - (size - 1).leading_zeros();
        let above = usize::from(size > 3 << (bits - 2));
        Some(Class(SMALL_CLASSES + (bits as usize - 7) * 2 + above))
    }

    const fn block_size(self) -> usize {
        match self.0.checked_sub(SMALL_CLASSES) {
            None => (self.0 + 1) * 16,
            Some(above) => (3 + above % 2) << (5 + above / 2),
        }
    }

    fn shape(self) -> Option<&'static Shape> {
        SHAPES.get(self.0)
    }
}

/// What follows from a class, at hand.
#[derive(Clone, Copy)]
struct Shape {
    block_size: u32,
    slab_size: u32,
    /// The word of a slab whose blocks are all free.
    all_free: u64,
}

impl Shape {
    const fn of(class: Class) -> Shape {
        let block_size = class.block_size();
        let least = block_size.next_power_of_two() * 4;
        let slab_size = if least > UNIT { least } else { UNIT };
        let blocks = slab_size / block_size;
        Shape {
            block_size: block_size as u32,
            slab_size: slab_size as u32,
            all_free: (1 << if blocks > 63 { 63 } else { blocks }) - 1,
        }
    }
}

#[allow(clippy::indexing_slicing)] // the compiler does it, and checks it
const SHAPES: [Shape; CLASSES] = {
    let mut shapes = [Shape::of(Class(0)); CLASSES];
    let mut class = 0;
    while class < CLASSES {
        shapes[class] = Shape::of(Class(class));
        class += 1;
    }
    shapes
};

impl Region {
    const fn new() -> Region {
        Region {
            base: AtomicPtr::new(ptr::null_mut()),
            used: AtomicU32::new(0),
        }
    }

    fn base(&self) -> *mut u8 {
        self.base.load(Ordering::Acquire)
    }

    fn size(index: usize) -> usize {
        FIRST_REGION << index
    }

    /// Map it, if nobody has. `None`: there is no memory.
    fn mapped(&self, index: usize) -> Option<*mut u8> {
        let base = self.base();
        if !base.is_null() {
            return Some(base);
        }
        let new = map(Region::size(index))?;
        let published = self
            .base
            .compare_exchange(base, new, Ordering::AcqRel, Ordering::Acquire);
        match published {
            Ok(_) => Some(new),
            Err(theirs) => {
                unmap(new, Region::size(index));
                Some(theirs)
            }
        }
    }

    /// The first unit of a new slab. `None`: it is full.
    fn cut(&self, index: usize, slab_size: usize) -> Option<usize> {
        let units = Region::size(index) / UNIT;
        let first = (units * size_of::<Slab>()).div_ceil(UNIT);
        let wanted = slab_size / UNIT;
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let start = (used as usize).max(first).next_multiple_of(wanted);
            let end = start + wanted;
            if end > units {
                return None;
            }
            match self.used.compare_exchange_weak(
                used,
                end as u32,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(start),
                Err(newer) => used = newer,
            }
        }
    }
}

impl Slab {
    /// Take a free block: its index.
    fn take(&self) -> Option<u32> {
        let mut word = self.free.load(Ordering::Relaxed);
        while word & !LISTED != 0 {
            let index = word.trailing_zeros();
            // What the block's last owner wrote is written before its next one has it.
            match self.free.compare_exchange_weak(
                word,
                word & !(1 << index),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(index),
                Err(newer) => word = newer,
            }
        }
        None
    }
}

impl Heap {
    #[allow(clippy::new_without_default)] // for a static
    pub const fn new() -> Heap {
        Heap {
            stacks: [const { AtomicU64::new(0) }; CLASSES],
            regions: [const { Region::new() }; REGIONS],
        }
    }

    /// A block, or null.
    pub fn allocate(&self, layout: Layout) -> *mut u8 {
        hidden(allocate as Allocate)(self, layout.size(), layout.align())
    }

    /// `false`: it is not a block of this heap.
    ///
    /// # Safety
    /// The block was given for this layout, and is nobody's any more. Where it [is large](Heap::is_large), it is of this
    /// heap.
    pub unsafe fn free(&self, block: *mut u8, layout: Layout) -> bool {
        // SAFETY: passed on.
        unsafe { hidden(free as Free)(self, block, layout.size(), layout.align()) }
    }

    /// Whether memory can be had now, and as much as a connect takes: from the kernel, since free blocks may be too few.
    pub fn has_memory(&self) -> bool {
        let Ok(layout) = Layout::from_size_align(64 * 1024, 16) else {
            return false;
        };
        let block = self.allocate(layout);
        // SAFETY: it was allocated just now, and is not used.
        !block.is_null() && unsafe { self.free(block, layout) }
    }

    /// Whether it is a mapping of its own.
    pub fn is_large(layout: Layout) -> bool {
        Class::of(layout.size(), layout.align()).is_none()
    }

    /// Whether this is a block of this heap that may stay where it is when it gets another size.
    pub fn fits(&self, block: *mut u8, layout: Layout, size: usize) -> bool {
        let class = Class::of(layout.size(), layout.align());
        let same = class.is_some() && class == Class::of(size, layout.align());
        same && self.place_of(block).is_some()
    }

    fn take(&self, class: Class) -> Option<*mut u8> {
        let shape = class.shape()?;
        let top = self.stacks.get(class.0)?.load(Ordering::Acquire);
        let taken = SlabId(top as u32);
        match self.slab(taken).and_then(Slab::take) {
            Some(index) => self.block(taken, index * shape.block_size),
            None => self.take_below(class, shape),
        }
    }

    /// As [`Heap::take`], where the slab on top was full.
    #[cold]
    fn take_below(&self, class: Class, shape: &Shape) -> Option<*mut u8> {
        let stack = self.stacks.get(class.0)?;
        loop {
            let top = stack.load(Ordering::Acquire);
            let id = SlabId(top as u32);
            if id == NONE {
                return self.take_of_new(class, shape);
            }
            let slab = self.slab(id)?;
            if let Some(index) = slab.take() {
                return self.block(id, index * shape.block_size);
            }
            let next = SlabId(slab.next.load(Ordering::Relaxed));
            if replace_top(stack, top, next) {
                // Freed since: it goes back.
                if slab.free.fetch_and(!LISTED, Ordering::AcqRel) & !LISTED != 0 {
                    self.list(class, id);
                }
            }
        }
    }

    /// The first block of a new slab.
    fn take_of_new(&self, class: Class, shape: &Shape) -> Option<*mut u8> {
        for (index, region) in self.regions.iter().enumerate() {
            region.mapped(index)?;
            if let Some(unit) = region.cut(index, shape.slab_size as usize) {
                let id = SlabId::new(index, unit);
                let word = &self.slab(id)?.free;
                word.store(shape.all_free & !1, Ordering::Relaxed);
                self.list(class, id);
                return self.block(id, 0);
            }
        }
        None
    }

    /// Put a slab with free blocks on its stack, unless it is there.
    #[cold]
    fn list(&self, class: Class, id: SlabId) {
        let (Some(stack), Some(slab)) = (self.stacks.get(class.0), self.slab(id)) else {
            return;
        };
        if slab.free.fetch_or(LISTED, Ordering::AcqRel) & LISTED != 0 {
            return;
        }
        loop {
            let top = stack.load(Ordering::Relaxed);
            slab.next.store(top as u32, Ordering::Relaxed);
            if replace_top(stack, top, id) {
                return;
            }
        }
    }

    fn give_back(&self, block: *mut u8, class: Class) -> Option<()> {
        let (region, offset) = self.place_of(block)?;
        let shape = class.shape()?;
        let inside = offset as u32 & (shape.slab_size - 1);
        let id = SlabId::new(region, (offset - inside as usize) / UNIT);
        let slab = self.slab(id)?;
        let bit = 1 << (inside / shape.block_size);
        let before = slab.free.fetch_or(bit, Ordering::Release);
        debug_assert_eq!(before & bit, 0, "freed twice");
        if before & LISTED == 0 {
            self.list(class, id);
        }
        Some(())
    }

    /// The region of a block, and how far in it is.
    fn place_of(&self, block: *mut u8) -> Option<(usize, usize)> {
        for (index, region) in self.regions.iter().enumerate() {
            let base = region.base();
            if base.is_null() {
                return None;
            }
            let offset = block.addr().wrapping_sub(base.addr());
            if offset < Region::size(index) {
                return Some((index, offset));
            }
        }
        None
    }

    fn slab(&self, id: SlabId) -> Option<&Slab> {
        let base = self.regions.get(id.region())?.base();
        // SAFETY: the region is mapped, as it has this slab, and begins with these for all its units. Zeroes are one.
        (!base.is_null()).then(|| unsafe { &*base.cast::<Slab>().add(id.unit()) })
    }

    fn block(&self, id: SlabId, offset: u32) -> Option<*mut u8> {
        let base = self.regions.get(id.region())?.base();
        Some(base.wrapping_add(id.unit() * UNIT + offset as usize))
    }
}

/// `false`: it is another by now.
fn replace_top(stack: &AtomicU64, top: u64, id: SlabId) -> bool {
    let changes = (top >> 32).wrapping_add(1);
    let new = changes << 32 | u64::from(id.0);
    stack
        .compare_exchange(top, new, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok()
}

// These two are functions of their own, with C's calling convention, so that valgrind can have malloc(3) in their place,
// which it knows (tests/probes/valgrind_heap.c).

type Allocate = extern "C" fn(&Heap, usize, usize) -> *mut u8;
type Free = unsafe extern "C" fn(&Heap, *mut u8, usize, usize) -> bool;

/// A function whose calls the compiler does not see: it would leave out arguments that are always the same.
fn hidden<F>(function: F) -> F {
    core::hint::black_box(function)
}

#[inline(never)]
extern "C" fn allocate(heap: &Heap, size: usize, align: usize) -> *mut u8 {
    let block = match Class::of(size, align) {
        Some(class) => heap.take(class),
        None if align <= PAGE => map(size),
        None => None,
    };
    block.unwrap_or(ptr::null_mut())
}

/// # Safety
/// As [`Heap::free`].
#[inline(never)]
unsafe extern "C" fn free(heap: &Heap, block: *mut u8, size: usize, align: usize) -> bool {
    match Class::of(size, align) {
        Some(class) => heap.give_back(block, class).is_some(),
        None => {
            unmap(block, size);
            true
        }
    }
}

/// Zeroed memory straight from the kernel.
fn map(size: usize) -> Option<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let anywhere = ptr::null_mut::<u8>();
    // The last argument is passed on the stack, where an int would leave half of the word as it was.
    let offset: libc::c_long = 0;
    let memory = syscall!(SYS_mmap, anywhere, size, access, kind, -1, offset).ok()?;
    Some(memory as *mut u8)
}

fn unmap(block: *mut u8, size: usize) {
    let _ = syscall!(SYS_munmap, block, size);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::mpsc;
    use std::thread;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// A block that knows what was written to it.
    struct Block {
        start: *mut u8,
        layout: Layout,
        mark: u8,
    }

    // SAFETY: a block of nobody else's.
    unsafe impl Send for Block {}

    impl Block {
        fn new(heap: &Heap, layout: Layout, mark: u8) -> Block {
            let start = heap.allocate(layout);
            assert!(!start.is_null());
            assert_eq!(start.addr() % layout.align(), 0);
            // SAFETY: a new block of this size.
            unsafe { start.write_bytes(mark, layout.size()) };
            Block {
                start,
                layout,
                mark,
            }
        }

        fn check(&self) {
            // SAFETY: a block of this size, written to in full.
            let kept =
                (0..self.layout.size()).all(|at| unsafe { self.start.add(at).read() } == self.mark);
            assert!(kept, "somebody else wrote to it");
        }

        fn free(self, heap: &Heap) {
            self.check();
            // SAFETY: of this heap, and used no more.
            assert!(unsafe { heap.free(self.start, self.layout) });
        }
    }

    #[test]
    fn a_class_is_the_least_that_is_large_enough() {
        let mut smaller = 0;
        for class in (0..CLASSES).map(Class) {
            let size = class.block_size();
            let shape = class.shape().unwrap();
            let slab_size = shape.slab_size as usize;
            assert!(Class::of(size, 1) == Some(class) && Class::of(smaller + 1, 16) == Some(class));
            assert!(slab_size.is_power_of_two() && slab_size.is_multiple_of(UNIT));
            let blocks = shape.all_free.count_ones() as usize;
            assert!((2..=63).contains(&blocks) && blocks * size <= slab_size);
            smaller = size;
        }
        assert_eq!(smaller, LARGEST);
        assert!(Class::of(LARGEST + 1, 1).is_none());
    }

    #[test]
    fn what_is_freed_is_used_again() {
        let heap = Heap::new();
        let blocks = |count| {
            (0..count)
                .map(|_| Block::new(&heap, layout(100, 8), 1))
                .collect::<Vec<_>>()
        };
        let first = blocks(1000);
        let starts: BTreeSet<_> = first.iter().map(|block| block.start).collect();
        assert_eq!(starts.len(), 1000);
        first.into_iter().for_each(|block| block.free(&heap));
        let second = blocks(1000);
        assert!(second.iter().all(|block| starts.contains(&block.start)));
        second.into_iter().for_each(|block| block.free(&heap));
    }

    #[test]
    fn little_is_written_to_for_a_few_small_blocks() {
        let heap = Heap::new();
        let pages: BTreeSet<_> = [16, 30, 40, 64, 90, 128]
            .map(|size| Block::new(&heap, layout(size, 8), 1).start.addr() / PAGE)
            .into();
        assert!(pages.len() <= 2);
    }

    #[test]
    fn more_than_one_region() {
        let heap = Heap::new();
        let many: Vec<_> = (0..1000)
            .map(|_| Block::new(&heap, layout(LARGEST, 8), 7))
            .collect();
        assert!(!heap.regions[3].base().is_null());
        many.into_iter().for_each(|block| block.free(&heap));
    }

    #[test]
    fn a_large_block_is_a_mapping() {
        let heap = Heap::new();
        let block = Block::new(&heap, layout(1 << 20, 4096), 3);
        assert!(heap.regions[0].base().is_null());
        let start = block.start;
        block.free(&heap);
        assert!(!super::super::is_readable(start.cast(), 1));
    }

    #[test]
    fn what_is_not_of_this_heap_is_told_apart() {
        let (heap, other) = (Heap::new(), Heap::new());
        let kind = layout(20, 8);
        let (own, theirs) = (Block::new(&heap, kind, 1), Block::new(&other, kind, 1));
        assert!(heap.fits(own.start, kind, 32) && !heap.fits(own.start, kind, 33));
        assert!(!heap.fits(theirs.start, kind, 21));
        // SAFETY: it is not freed.
        assert!(!unsafe { heap.free(theirs.start, kind) });
        own.free(&heap);
        theirs.free(&other);
    }

    #[test]
    fn no_block_is_aligned_to_more_than_a_page() {
        assert!(Heap::new().allocate(layout(1, 2 * PAGE)).is_null());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]
        #[test]
        fn blocks_never_overlap(steps in prop::collection::vec((1_usize..40_000, 0_u32..13, any::<u8>(), any::<bool>()), 1..300)) {
            let heap = Heap::new();
            let mut live: BTreeMap<usize, Block> = BTreeMap::new();
            for (size, shift, mark, frees) in steps {
                let block = Block::new(&heap, layout(size, 1 << shift), mark);
                let (start, end) = (block.start.addr(), block.start.addr() + size);
                let before = live.range(..end).next_back();
                prop_assert!(before.is_none_or(|(at, block)| at + block.layout.size() <= start));
                live.insert(start, block);
                if frees {
                    let chosen = *live.keys().nth(size % live.len()).unwrap();
                    live.remove(&chosen).unwrap().free(&heap);
                }
            }
            live.into_values().for_each(|block| block.free(&heap));
        }
    }

    #[test]
    fn threads_that_free_what_others_allocated() {
        const SIZES: [usize; 6] = [16, 24, 100, 500, 5000, 20_000];
        let heap = &Heap::new();
        thread::scope(|scope| {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::channel()).unzip();
            for (me, receiver) in receivers.into_iter().enumerate() {
                let next: mpsc::Sender<Block> = senders[(me + 1) % 4].clone();
                scope.spawn(move || {
                    for round in 0..5000 {
                        let size = SIZES[(round * (me + 1)) % SIZES.len()];
                        let block = Block::new(heap, layout(size, 8), round as u8);
                        match round % 3 {
                            0 => block.free(heap),
                            _ => next.send(block).unwrap(),
                        }
                        while let Ok(block) = receiver.try_recv() {
                            block.free(heap);
                        }
                    }
                    drop(next);
                    receiver.into_iter().for_each(|block| block.free(heap));
                });
            }
            drop(senders);
        });
        // All is free again.
        for (index, region) in heap
            .regions
            .iter()
            .enumerate()
            .take_while(|(_, region)| !region.base().is_null())
        {
            let units = 0..region.used.load(Ordering::Relaxed) as usize;
            for unit in units {
                let word = heap
                    .slab(SlabId::new(index, unit))
                    .unwrap()
                    .free
                    .load(Ordering::Relaxed);
                let full = (0..CLASSES).any(|class| SHAPES[class].all_free == word & !LISTED);
                assert!(
                    word == 0 || (word & LISTED != 0 && full),
                    "{index} {unit} {word:x}"
                );
            }
        }
    }
}
