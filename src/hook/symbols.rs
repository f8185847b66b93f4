//! Symbols looked up without dlsym(3), which is one of our hooks: the loaded objects are walked in the loader's order.

use core::ffi::{c_char, c_int, c_void, CStr};
use core::{mem, ptr, slice};
use libc::{dl_phdr_info, size_t, Elf64_Phdr, Elf64_Sym};

/// The first definition of `name` in an object that was loaded after this one: what RTLD_NEXT finds. NULL: none.
pub fn next(name: &CStr) -> *mut c_void {
    let mut passed = false;
    let found = visit_objects(&mut |object| {
        if !passed {
            passed = holds(object, own_address());
            return None;
        }
        // SAFETY: a loaded object.
        unsafe { defined(object, name) }
    });
    found.map_or(ptr::null_mut(), |address| address as *mut c_void)
}

/// Our own function of this name.
pub fn own(name: &CStr) -> *mut c_void {
    let found = visit_objects(&mut |object| {
        holds(object, own_address())
            // SAFETY: a loaded object.
            .then(|| unsafe { defined(object, name) })
            .flatten()
    });
    found.map_or(ptr::null_mut(), |address| address as *mut c_void)
}

/// Whether the object that holds `address` defines a function of this name.
pub fn defines(address: usize, name: &CStr) -> bool {
    visit_objects(&mut |object| {
        holds(object, address)
            // SAFETY: a loaded object.
            .then(|| unsafe { defined(object, name) })
            .flatten()
    })
    .is_some()
}

/// Whether two addresses are in one object.
pub fn are_together(one: usize, other: usize) -> bool {
    visit_objects(&mut |object| (holds(object, one) && holds(object, other)).then_some(()))
        .is_some()
}

/// Whether the object that holds `address` was loaded before this one.
pub fn is_before_us(address: usize) -> bool {
    visit_objects(&mut |object| match holds(object, own_address()) {
        true => Some(false),
        false => holds(object, address).then_some(true),
    }) == Some(true)
}

/// An address in this object.
fn own_address() -> usize {
    own_address as *const () as usize
}

/// What `visit` gives for the first object that it gives something for, in the loader's order.
fn visit_objects<R>(visit: &mut dyn FnMut(&dl_phdr_info) -> Option<R>) -> Option<R> {
    struct Visit<'a, R> {
        visit: &'a mut dyn FnMut(&dl_phdr_info) -> Option<R>,
        found: Option<R>,
    }
    unsafe extern "C" fn each<R>(
        info: *mut dl_phdr_info,
        _size: size_t,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader's own structure; the pointer that was given to dl_iterate_phdr below.
        let (info, data) = unsafe { (&*info, &mut *data.cast::<Visit<R>>()) };
        data.found = (data.visit)(info);
        c_int::from(data.found.is_some())
    }
    let mut data = Visit { visit, found: None };
    // SAFETY: the callback gets this pointer back, and only during the call.
    unsafe { libc::dl_iterate_phdr(Some(each::<R>), (&raw mut data).cast()) };
    data.found
}

fn headers(info: &dl_phdr_info) -> &[Elf64_Phdr] {
    if info.dlpi_phdr.is_null() {
        return &[];
    }
    // SAFETY: the loader says so.
    unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) }
}

fn holds(info: &dl_phdr_info, address: usize) -> bool {
    headers(info).iter().any(|header| {
        let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        header.p_type == libc::PT_LOAD && address.wrapping_sub(start) < header.p_memsz as usize
    })
}

/// An entry of the dynamic section, elf(5).
#[repr(C)]
struct Dynamic {
    tag: i64,
    value: u64,
}

const DT_NULL: i64 = 0;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_GNU_HASH: i64 = 0x6fff_fef5;

/// The address of a function that an object defines, by its GNU hash table.
///
/// # Safety
/// A loaded object's description.
unsafe fn defined(info: &dl_phdr_info, name: &CStr) -> Option<usize> {
    let base = info.dlpi_addr as usize;
    let dynamic = headers(info)
        .iter()
        .find(|header| header.p_type == libc::PT_DYNAMIC)?;
    let mut entry = base.wrapping_add(dynamic.p_vaddr as usize) as *const Dynamic;
    let (mut strings, mut symbols, mut hashes) = (0, 0, 0);
    loop {
        // SAFETY: the section ends with DT_NULL.
        let Dynamic { tag, value } = unsafe { entry.read() };
        // The loader has made them absolute, save for the vDSO's.
        let value = value as usize;
        let address = if value < base {
            value.wrapping_add(base)
        } else {
            value
        };
        match tag {
            DT_NULL => break,
            DT_STRTAB => strings = address,
            DT_SYMTAB => symbols = address,
            DT_GNU_HASH => hashes = address,
            _ => {}
        }
        entry = entry.wrapping_add(1);
    }
    if strings == 0 || symbols == 0 || hashes == 0 {
        return None;
    }
    // SAFETY: these are the tables of a loaded object.
    unsafe {
        candidates(hashes as *const u32, hash_of(name), |index| {
            let symbol = (symbols as *const Elf64_Sym).wrapping_add(index).read();
            let its_name = (strings as *const c_char).wrapping_add(symbol.st_name as usize);
            let is_function = symbol.st_info & 0xf == 2;
            (is_function && symbol.st_shndx != 0 && CStr::from_ptr(its_name) == name)
                .then(|| base.wrapping_add(symbol.st_value as usize))
        })
    }
}

/// The first symbol of this hash, by index, that `pick` takes.
///
/// # Safety
/// `table` is a GNU hash table: four words, the Bloom filter, the buckets, the chains.
unsafe fn candidates(
    table: *const u32,
    hash: u32,
    pick: impl Fn(usize) -> Option<usize>,
) -> Option<usize> {
    // SAFETY: the caller's contract, for all of it.
    unsafe {
        let [buckets, first, filter] =
            [0, 1, 2].map(|word| table.wrapping_add(word).read() as usize);
        let words = filter * (mem::size_of::<usize>() / mem::size_of::<u32>());
        let bucket = table.wrapping_add(4 + words);
        let chain = bucket.wrapping_add(buckets);
        let place = (hash as usize).checked_rem(buckets)?;
        let mut index = bucket.wrapping_add(place).read() as usize;
        if index < first {
            return None;
        }
        loop {
            let its_hash = chain.wrapping_add(index - first).read();
            if its_hash | 1 == hash | 1 {
                if let Some(found) = pick(index) {
                    return Some(found);
                }
            }
            // The last of a bucket has the lowest bit set.
            if its_hash & 1 == 1 {
                return None;
            }
            index += 1;
        }
    }
}

fn hash_of(name: &CStr) -> u32 {
    let step = |hash: u32, &byte: &u8| hash.wrapping_mul(33).wrapping_add(u32::from(byte));
    name.to_bytes().iter().fold(5381, step)
}
