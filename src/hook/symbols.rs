//! Symbol lookup without dlsym(3), which is a hook itself, and without any other function that a program may interpose.

use super::link_map::{Dynamic, Object};
use core::ffi::{c_char, c_void, CStr};
use core::{mem, ptr};
use libc::Elf64_Sym;

/// The first definition of `name` in an object loaded after this one, as RTLD_NEXT finds it. NULL if not found.
pub fn next(name: &CStr) -> *mut c_void {
    let found = Object::own().and_then(|own| {
        // SAFETY: loaded objects. On glibc 2.34 and newer the search ends at libc.
        own.following()
            .find_map(|object| unsafe { defined(object, name) })
    });
    pointer(found)
}

/// This library's own function of this name.
pub fn own(name: &CStr) -> *mut c_void {
    // SAFETY: this library is loaded.
    pointer(Object::own().and_then(|own| unsafe { defined(own, name) }))
}

fn pointer(address: Option<usize>) -> *mut c_void {
    address.map_or(ptr::null_mut(), |address| address as *mut c_void)
}

/// Tables of an object, found by its dynamic section; 0 means absent.
#[derive(Default)]
struct Tables {
    strings: usize,
    symbols: usize,
    hashes: usize,
    /// DT_SONAME: offset in the string table.
    soname: Option<usize>,
}

const DT_NULL: i64 = 0;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_SONAME: i64 = 14;
const DT_GNU_HASH: i64 = 0x6fff_fef5;

/// # Safety
/// A loaded object.
unsafe fn tables(object: Object) -> Tables {
    let base = object.base();
    // The loader relocates these addresses, except in the vDSO.
    let address = |value: usize| match value < base {
        true => value.wrapping_add(base),
        false => value,
    };
    let mut tables = Tables::default();
    let mut entry = object.dynamic();
    if entry.is_null() {
        return tables;
    }
    loop {
        // SAFETY: the section ends with DT_NULL.
        let Dynamic { tag, value } = unsafe { entry.read() };
        let value = value as usize;
        match tag {
            DT_NULL => return tables,
            DT_STRTAB => tables.strings = address(value),
            DT_SYMTAB => tables.symbols = address(value),
            DT_GNU_HASH => tables.hashes = address(value),
            DT_SONAME => tables.soname = Some(value),
            _ => {}
        }
        entry = entry.wrapping_add(1);
    }
}

/// Whether this is the object's DT_SONAME.
///
/// # Safety
/// A loaded object.
#[cfg(target_env = "gnu")]
pub unsafe fn is_called(object: Object, name: &CStr) -> bool {
    // SAFETY: the caller's contract.
    let tables = unsafe { tables(object) };
    tables.soname.is_some_and(|soname| {
        let own = tables.strings.wrapping_add(soname) as *const c_char;
        // SAFETY: a C string in the object's string table.
        tables.strings != 0 && unsafe { CStr::from_ptr(own) } == name
    })
}

/// The address of a function that an object defines, by its GNU hash table.
///
/// # Safety
/// A loaded object.
pub unsafe fn defined(object: Object, name: &CStr) -> Option<usize> {
    // SAFETY: the caller's contract.
    let tables = unsafe { tables(object) };
    if tables.strings == 0 || tables.symbols == 0 || tables.hashes == 0 {
        return None;
    }
    // SAFETY: these are the tables of a loaded object.
    unsafe {
        candidates(tables.hashes as *const u32, hash_of(name), |index| {
            let symbol = (tables.symbols as *const Elf64_Sym)
                .wrapping_add(index)
                .read();
            let its_name = (tables.strings as *const c_char).wrapping_add(symbol.st_name as usize);
            let is_function = symbol.st_info & 0xf == 2;
            (is_function && symbol.st_shndx != 0 && CStr::from_ptr(its_name) == name)
                .then(|| object.base().wrapping_add(symbol.st_value as usize))
        })
    }
}

/// The first symbol with this hash that `pick` accepts, by index.
///
/// # Safety
/// `table` is a GNU hash table: a header of four words, the Bloom filter, the buckets, the chains.
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
        let bucket_index = (hash as usize).checked_rem(buckets)?;
        let mut index = bucket.wrapping_add(bucket_index).read() as usize;
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
            // The lowest bit marks the last symbol of a bucket.
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
