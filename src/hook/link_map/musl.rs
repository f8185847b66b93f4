//! musl's list of loaded objects.

use super::{LinkMap, Object};
use core::ffi::c_int;

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
