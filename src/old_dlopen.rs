//! Functions of glibc's other libraries, without dlopen(3) and dlsym(3): before glibc 2.34 these are in libdl, which the
//! program may not have loaded.

use core::ffi::{c_char, c_int, c_void, CStr};
use core::ptr;

type DlSym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
type DlOpen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;

/// Makes `__libc_dlopen_mode` behave as dlopen(3): __RTLD_DLOPEN of glibc's dlfcn.h.
const AS_DLOPEN: c_int = c_int::MIN;

// Weak: the address is null where libc.so.6 lacks the function. `__libc_dlopen_mode` and `__libc_dlsym`, with which
// glibc loads its NSS modules, exist until glibc 2.33; newer releases have dlopen and dlsym in libc.so.6 itself.
core::arch::global_asm!(
    ".weak __libc_dlopen_mode",
    ".weak __libc_dlsym",
    ".pushsection .data.rel.ro.tailchain_loader, \"aw\"",
    ".balign 8",
    ".globl tailchain_loader",
    ".hidden tailchain_loader",
    "tailchain_loader: .8byte __libc_dlopen_mode, __libc_dlsym",
    ".popsection",
);

#[repr(C)]
struct Loader {
    old_dlopen: Option<DlOpen>,
    old_dlsym: Option<DlSym>,
}

extern "C" {
    static tailchain_loader: Loader;
}

/// Loads `library` and looks up `name` in it. NULL if either fails, or glibc has dlopen in libc.so.6.
pub fn find(library: &CStr, name: &CStr) -> *mut c_void {
    // SAFETY: constant once the loader has relocated the library.
    let loader = unsafe { &tailchain_loader };
    loader.find(library, name)
}

impl Loader {
    fn find(&self, library: &CStr, name: &CStr) -> *mut c_void {
        let (Some(dlopen), Some(dlsym)) = (self.old_dlopen, self.old_dlsym) else {
            return ptr::null_mut();
        };
        // SAFETY: a valid name; the library is a part of glibc, and is never closed.
        let handle = unsafe { dlopen(library.as_ptr(), libc::RTLD_NOW | AS_DLOPEN) };
        if handle.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: a handle from the matching dlopen, and a valid name.
        unsafe { dlsym(handle, name.as_ptr()) }
    }
}
