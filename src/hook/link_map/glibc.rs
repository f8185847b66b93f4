//! glibc's list of loaded objects.

use super::{all_from, LinkMap, Object};
use core::ffi::c_int;
use core::ptr;

/// `struct r_debug_extended`: the first objects of a namespace (dlmopen(3)).
#[repr(C)]
struct Namespace {
    version: c_int,
    first: *const LinkMap,
    _changed: usize,
    _state: c_int,
    _loader: usize,
    /// Present since version 2 of the structure.
    next: *const Namespace,
}

extern "C" {
    /// The loader's interface for debuggers.
    static _r_debug: Namespace;
}

/// The first object of the namespace that this library is in (dlmopen(3)). In the program's namespace that is the
/// program.
pub fn first() -> Option<Object> {
    namespaces().find(|first| all_from(*first).any(Object::is_own))
}

/// The first object of each namespace, the program's namespace first. A non-PIE program may have its own copy of
/// `_r_debug`, made at its start, with the same first object.
fn namespaces() -> impl Iterator<Item = Object> {
    let main = &raw const _r_debug;
    core::iter::successors(Some(main), |namespace| {
        // SAFETY: the loader's own structure; this version has the last field.
        let next = unsafe {
            match (**namespace).version {
                ..2 => ptr::null(),
                _ => (**namespace).next,
            }
        };
        (!next.is_null()).then_some(next)
    })
    // SAFETY: as above.
    .map(|namespace| unsafe { (*namespace).first })
    .filter(|first| !first.is_null())
    .map(Object)
}
