//! `_dl_find_object` for a libc that does not have it.
//!
//! The linked unwinder (see build.rs) calls `_dl_find_object` to find the unwind tables of an address; glibc has it since
//! 2.35. All frames between a panic and the place that catches it belong to this object, so no other object is searched.
//! Nothing here takes a lock or calls a function that a program may interpose.

use core::ffi::{c_int, c_void};
use core::slice;
use libc::{Elf64_Ehdr, Elf64_Phdr};

/// The used part of `struct dl_find_object` (dlfcn.h). The rest of the caller's struct is not written.
#[repr(C)]
struct Found {
    flags: u64,
    map_start: *mut c_void,
    map_end: *mut c_void,
    link_map: *mut c_void,
    /// The contents of PT_GNU_EH_FRAME.
    eh_frame: *mut c_void,
}

// The linker's name for the ELF header of this object.
core::arch::global_asm!(".hidden __ehdr_start");

extern "C" {
    static __ehdr_start: Elf64_Ehdr;
}

/// 0 and this object if it holds `address`, or -1.
///
/// # Safety
///
/// `found` points to a writable dl_find_object. Only the unwinder calls this.
pub unsafe extern "C" fn find_object(address: *mut c_void, found: *mut c_void) -> c_int {
    let Some(object) = own_object().filter(|object| object.holds(address as usize)) else {
        return -1;
    };
    // SAFETY: the unwinder passes a whole dl_find_object, of which `Found` is the beginning.
    unsafe {
        found.cast::<Found>().write(Found {
            flags: 0,
            map_start: object.start as *mut c_void,
            map_end: object.end as *mut c_void,
            link_map: core::ptr::null_mut(),
            eh_frame: object.eh_frame as *mut c_void,
        });
    }
    0
}

struct Object {
    start: usize,
    end: usize,
    eh_frame: usize,
}

impl Object {
    fn holds(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }
}

fn own_object() -> Option<Object> {
    let header = &raw const __ehdr_start;
    // SAFETY: the beginning of the file is mapped here, with the ELF header and, at `e_phoff`, the program headers.
    let headers = unsafe {
        let first = header
            .wrapping_byte_add((*header).e_phoff as usize)
            .cast::<Elf64_Phdr>();
        slice::from_raw_parts(first, (*header).e_phnum.into())
    };
    let all = |kind| headers.iter().filter(move |h| h.p_type == kind);
    let first = all(libc::PT_LOAD).find(|h| h.p_offset == 0)?;
    let base = (header as usize).wrapping_sub(first.p_vaddr as usize);
    let start = |h: &Elf64_Phdr| base.wrapping_add(h.p_vaddr as usize);
    let end = |h: &Elf64_Phdr| start(h).wrapping_add(h.p_memsz as usize);
    Some(Object {
        start: start(first),
        end: all(libc::PT_LOAD).map(end).max()?,
        eh_frame: all(libc::PT_GNU_EH_FRAME).map(start).next()?,
    })
}
