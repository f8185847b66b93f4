//! The objects that the dynamic loader has loaded, in load order: `struct link_map` of link.h.
//!
//! No function is called that a program may interpose: sanitizers, for instance, define their own `dl_iterate_phdr`,
//! which does not work yet while they look up the real functions. The walk covers only the objects up to this library
//! and libc. Those stay loaded and in place, so it does not need the loader's lock, which another thread may have held
//! at a fork.

#[cfg_attr(target_env = "gnu", path = "glibc.rs")]
#[cfg_attr(not(target_env = "gnu"), path = "musl.rs")]
mod loader;

use core::ffi::c_char;
use core::mem;
use loader::first;

/// The public part of `struct link_map`.
#[repr(C)]
pub struct LinkMap {
    /// The load bias: added to the addresses in the object's file.
    base: usize,
    #[cfg_attr(target_env = "gnu", allow(dead_code))]
    path: *const c_char,
    dynamic: *const Dynamic,
    next: *const LinkMap,
    _previous: *const LinkMap,
}

/// An entry of the dynamic section, elf(5).
#[repr(C)]
pub struct Dynamic {
    pub tag: i64,
    pub value: u64,
}

// This object's own dynamic section.
core::arch::global_asm!(
    ".hidden _DYNAMIC",
    ".pushsection .data.rel.ro.tailchain_own, \"aw\"",
    ".balign 8",
    ".globl tailchain_own_dynamic",
    ".hidden tailchain_own_dynamic",
    "tailchain_own_dynamic: .8byte _DYNAMIC",
    ".popsection",
);

extern "C" {
    static tailchain_own_dynamic: *const Dynamic;
}

/// An object that stays loaded while it is examined.
#[derive(Clone, Copy, PartialEq)]
pub struct Object(*const LinkMap);

impl Object {
    /// # Safety
    /// The link map of an object that stays loaded.
    #[cfg(target_env = "gnu")]
    pub unsafe fn new(map: *const LinkMap) -> Object {
        Object(map)
    }

    /// All objects of this library's namespace, in load order.
    pub fn all() -> impl Iterator<Item = Object> {
        first().into_iter().flat_map(all_from)
    }

    /// This library.
    pub fn own() -> Option<Object> {
        up_to_own().last()
    }

    /// The objects loaded after this one, in load order.
    pub fn following(self) -> impl Iterator<Item = Object> {
        core::iter::successors(self.next(), |object| object.next())
    }

    /// Whether it was loaded before this library.
    pub fn is_before_us(self) -> bool {
        Some(self) != Object::own() && up_to_own().any(|object| object == self)
    }

    /// The load bias: added to the addresses in the object's file.
    pub fn base(self) -> usize {
        self.map().base
    }

    /// Its dynamic section, which ends with DT_NULL.
    pub fn dynamic(self) -> *const Dynamic {
        self.map().dynamic
    }

    /// `l_name`: the path by which the loader opened it.
    #[cfg(not(target_env = "gnu"))]
    pub fn path(self) -> *const c_char {
        self.map().path
    }

    fn is_own(self) -> bool {
        // SAFETY: constant once the loader has relocated the library.
        self.dynamic() == unsafe { tailchain_own_dynamic }
    }

    fn next(self) -> Option<Object> {
        let next = self.map().next;
        (!next.is_null()).then_some(Object(next))
    }

    fn map(&self) -> &LinkMap {
        // SAFETY: the object is loaded.
        unsafe { &*self.0 }
    }
}

/// The objects from the first of this library's namespace to this library; empty if the loader does not provide the
/// list.
fn up_to_own() -> impl Iterator<Item = Object> {
    let mut passed = false;
    Object::all().take_while(move |object: &Object| !mem::replace(&mut passed, object.is_own()))
}

fn all_from(first: Object) -> impl Iterator<Item = Object> {
    core::iter::once(first).chain(first.following())
}
