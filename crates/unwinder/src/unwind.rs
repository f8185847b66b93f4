//! What gcc's unwinder needs of libc, for a libc that does not have it.
//!
//! The unwinder that is linked in (see build.rs) finds the unwind tables of an address by `_dl_find_object`, which
//! glibc has since 2.35 only. Here it is by dl_iterate_phdr(3), which is slower, and used when a hook panics: never, if
//! all is well.

use core::ffi::{c_int, c_void};

/// `struct dl_find_object` of dlfcn.h, as far as it is used. The rest of what the caller reserves stays as it is.
#[repr(C)]
struct Found {
    flags: u64,
    map_start: *mut c_void,
    map_end: *mut c_void,
    link_map: *mut c_void,
    /// The contents of PT_GNU_EH_FRAME.
    eh_frame: *mut c_void,
}

struct Search {
    address: usize,
    found: Option<(usize, usize, usize)>,
}

/// 0 and the object that holds `address`, or -1.
///
/// # Safety
///
/// Called by the unwinder alone, with room for a dl_find_object behind `found`.
pub unsafe extern "C" fn find_object(address: *mut c_void, found: *mut c_void) -> c_int {
    let mut search = Search {
        address: address as usize,
        found: None,
    };
    // SAFETY: the callback gets a pointer to `search`, which lives through the call.
    unsafe { libc::dl_iterate_phdr(Some(look_at), (&raw mut search).cast()) };
    let Some((start, end, eh_frame)) = search.found else {
        return -1;
    };
    // SAFETY: the unwinder passes room for a whole dl_find_object, of which this is the beginning.
    unsafe {
        found.cast::<Found>().write(Found {
            flags: 0,
            map_start: start as *mut c_void,
            map_end: end as *mut c_void,
            link_map: core::ptr::null_mut(),
            eh_frame: eh_frame as *mut c_void,
        });
    }
    0
}

/// Is it in this object? 1 ends the iteration.
unsafe extern "C" fn look_at(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    search: *mut c_void,
) -> c_int {
    // SAFETY: dl_iterate_phdr passes a valid object, and what it was given.
    let (object, search) = unsafe { (&*object, &mut *search.cast::<Search>()) };
    if object.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the loader's own program headers, dlpi_phnum of them.
    let headers =
        unsafe { core::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    let base = object.dlpi_addr as usize;
    let span = |header: &libc::Elf64_Phdr| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        (start, start.wrapping_add(header.p_memsz as usize))
    };
    let loaded = headers
        .iter()
        .filter(|h| h.p_type == libc::PT_LOAD)
        .map(span);
    let holds = loaded
        .clone()
        .any(|(start, end)| (start..end).contains(&search.address));
    if !holds {
        return 0;
    }
    let start = loaded.clone().map(|(start, _)| start).min();
    let end = loaded.map(|(_, end)| end).max();
    let frames = headers
        .iter()
        .find(|h| h.p_type == libc::PT_GNU_EH_FRAME)
        .map(|h| span(h).0);
    if let (Some(start), Some(end), Some(frames)) = (start, end, frames) {
        search.found = Some((start, end, frames));
    }
    1
}
