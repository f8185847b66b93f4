//! The object of an address, by glibc.

use crate::hook::link_map::{LinkMap, Object};
use crate::hook::symbols;
use core::ffi::{c_int, c_void, CStr};
use core::mem::{self, MaybeUninit};
use core::ptr;

/// Whether the object is part of libc.
pub fn is_of_libc(object: Object) -> bool {
    // Before 2.34, libpthread had its own `connect`, libresolv the queries, and libanl `getaddrinfo_a`.
    const LIBRARIES: [&CStr; 5] = [
        c"libc.so.6",
        c"libpthread.so.0",
        c"libresolv.so.2",
        c"libanl.so.1",
        c"libdl.so.2",
    ];
    LIBRARIES.iter().any(|library| is_called(object, library))
}

/// The object of an address: of running code, or of a function that was just looked up.
pub fn of(address: usize) -> Option<Object> {
    let libc = Object::all().find(|object| is_called(*object, c"libc.so.6"))?;
    // SAFETY: libc's own functions of these names.
    let map = unsafe {
        let function = |name| symbols::defined(libc, name);
        if let Some(function) = function(c"_dl_find_object") {
            find_object(function, address)
        } else if let Some(function) = function(c"dladdr1") {
            dladdr1(function, address)
        } else {
            dl_addr(function(c"_dl_addr")?, address)
        }
    };
    // SAFETY: a link map of the loader's, whose object holds the address.
    (!map.is_null()).then(|| unsafe { Object::new(map) })
}

/// Whether this is the object's DT_SONAME.
fn is_called(object: Object, name: &CStr) -> bool {
    // SAFETY: the object is loaded.
    unsafe { symbols::is_called(object, name) }
}

// Three functions that find the object of an address. None takes a lock that could stay locked in a forked child.

/// `_dl_find_object`, since glibc 2.35: lock-free.
///
/// # Safety
/// `function` is the address of that function.
unsafe fn find_object(function: usize, address: usize) -> *const LinkMap {
    type Function = unsafe extern "C" fn(*mut c_void, *mut Found) -> c_int;
    /// `struct dl_find_object` of dlfcn.h. The reserved fields give it the same size on all machines.
    #[repr(C)]
    struct Found {
        _flags: u64,
        _start: usize,
        _end: usize,
        map: *const LinkMap,
        _rest: [u64; 12],
    }
    let mut found = MaybeUninit::<Found>::zeroed();
    // SAFETY: the caller's contract; all zeroes is a valid structure.
    unsafe {
        let function = mem::transmute::<usize, Function>(function);
        function(address as *mut c_void, found.as_mut_ptr());
        found.assume_init().map
    }
}

/// `Dl_info`, whose content is not used.
type Info = [usize; 4];

/// dladdr1(3), in libc since glibc 2.34.
///
/// # Safety
/// `function` is the address of that function.
unsafe fn dladdr1(function: usize, address: usize) -> *const LinkMap {
    type Function =
        unsafe extern "C" fn(*const c_void, *mut Info, *mut *const LinkMap, c_int) -> c_int;
    /// Asks dladdr1 for the link map.
    const RTLD_DL_LINKMAP: c_int = 2;
    let (mut info, mut map) = (Info::default(), ptr::null());
    // SAFETY: the caller's contract.
    unsafe {
        let function = mem::transmute::<usize, Function>(function);
        function(
            address as *const c_void,
            &mut info,
            &mut map,
            RTLD_DL_LINKMAP,
        );
    }
    map
}

/// `_dl_addr`, which libdl's dladdr1 calls before glibc 2.34.
///
/// # Safety
/// `function` is the address of that function.
unsafe fn dl_addr(function: usize, address: usize) -> *const LinkMap {
    type Function = unsafe extern "C" fn(
        *const c_void,
        *mut Info,
        *mut *const LinkMap,
        *mut *const c_void,
    ) -> c_int;
    let (mut info, mut map) = (Info::default(), ptr::null());
    // SAFETY: the caller's contract; the last argument may be NULL.
    unsafe {
        let function = mem::transmute::<usize, Function>(function);
        function(
            address as *const c_void,
            &mut info,
            &mut map,
            ptr::null_mut(),
        );
    }
    map
}
