//! The object of an address, by musl. musl never unloads an object.

use crate::hook::link_map::Object;
use crate::hook::symbols;
use core::ffi::{c_char, c_int, c_void};
use core::mem;

/// Whether the object is part of libc.
pub fn is_of_libc(object: Object) -> bool {
    of(libc::__errno_location as *const () as usize) == Some(object)
}

/// The object of an address: of running code, or of a function that was just looked up.
pub fn of(address: usize) -> Option<Object> {
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
    Object::all().find(|object| !path.is_null() && object.path() == path)
}
