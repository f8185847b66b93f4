//! musl's list of loaded objects. musl never unloads an object.

use super::{all_from, LinkMap, Object};
use crate::hook::symbols;
use core::ffi::{c_char, c_int, c_void};
use core::mem;

/// `struct r_debug` of link.h.
#[repr(C)]
struct Debug {
    _version: c_int,
    first: *const LinkMap,
}

extern "C" {
    /// The loader's interface for debuggers.
    static _dl_debug_addr: *const Debug;
}

/// The program.
pub fn first() -> Option<Object> {
    // SAFETY: the loader's own structure.
    let first = unsafe { (*_dl_debug_addr).first };
    (!first.is_null()).then_some(Object(first))
}

pub fn is_of_libc(object: Object) -> bool {
    object_of(libc::__errno_location as *const () as usize) == Some(object)
}

pub fn object_of(address: usize) -> Option<Object> {
    type Dladdr = unsafe extern "C" fn(*const c_void, *mut Info) -> c_int;
    /// `Dl_info` of dlfcn.h.
    #[repr(C)]
    struct Info {
        path: *const c_char,
        _rest: [usize; 3],
    }
    let dladdr = symbols::next(c"dladdr");
    if dladdr.is_null() {
        return None;
    }
    // SAFETY: all zeroes is a valid structure; the function has this type by its man page.
    let path = unsafe {
        let mut info: Info = mem::zeroed();
        let dladdr = mem::transmute::<*mut c_void, Dladdr>(dladdr);
        dladdr(address as *const c_void, &mut info);
        info.path
    };
    // dladdr returns the same pointer as the link map's `path`.
    all_from(first()?).find(|object| !path.is_null() && object.map().path == path)
}
